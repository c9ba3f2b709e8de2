#include "core/kernels/winograd.h"

#include <cmath>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

template <class L>
float element(const WinogradTile& t, int i, int j, std::int64_t c) {
  float sum = 0;
  for (int k = t.row_begin; k < t.row_end; ++k)
    for (int l = t.column_begin; l < t.column_end; ++l) {
      const float factor = L::at(i, k) * L::at(j, l);
      if (factor != 0) sum += factor * t.in[k * t.in_row + l * t.in_column + c];
    }
  return sum;
}

template <class L>
bool transform_checked(const WinogradTile& t) {
  bool finite = true;
  for (int i = 0; i < t.rows; ++i)
    for (int j = 0; j < t.columns; ++j)
      for (std::int64_t c = 0; c < t.channels; ++c) {
        const float value = element<L>(t, i, j, c);
        finite &= std::isfinite(value);
        t.out[i * t.out_row + j * t.out_column + c] = t.bias ? value + t.bias[c] : value;
      }
  return finite;
}

template <class L>
void transform(const WinogradTile& t) {
  transform_checked<L>(t);
}

template <int kKernel>
constexpr WinogradFilter filter{transform<WinogradWeight<kKernel>>, transform<Transposed<WinogradOutput<kKernel>>>,
                                transform_checked<WinogradOutput<kKernel>>,
                                transform_checked<Transposed<WinogradWeight<kKernel>>>};

}  // namespace

const Winograd winograd{transform<WinogradInput>, filter<3>, filter<5>};

}  // namespace coarsegrad::kernels::scalar
