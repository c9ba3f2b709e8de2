#include "core/kernels/winograd.h"

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class L>
float element(const WinogradTile& t, int i, int j, std::int64_t c) {
  float sum = 0;
  for (int k = t.row_begin; k < t.row_end; ++k)
    for (int l = t.column_begin; l < t.column_end; ++l)
      sum += L::at(i, k) * L::at(j, l) * t.in[k * t.in_row + l * t.in_column + c];
  return t.bias ? sum + t.bias[c] : sum;
}

template <class L>
void transform(const WinogradTile& t) {
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j)
      for (std::int64_t c = 0; c < t.channels; ++c)
        t.out[i * t.out_row + j * t.out_column + c] = element<L>(t, i, j, c);
}

}  // namespace

const Winograd winograd{transform<WinogradInput>, transform<WinogradOutput>, transform<WinogradWeight>,
                        transform<Transposed<WinogradOutput>>, transform<Transposed<WinogradWeight>>};

}  // namespace coarsegrad::kernels::scalar
