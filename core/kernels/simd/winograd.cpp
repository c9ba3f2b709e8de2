#include "core/kernels/winograd.h"

#include "core/kernels/simd/vec.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// Row kRow of L times x, the elements before kColumn summed up in `sum`. Zeros and ones cost nothing.
template <class L, int kRow, int kColumn>
COARSEGRAD_INLINE F32 row_times(const F32* x, F32 sum, bool empty) {
  if constexpr (kColumn == L::kColumns) {
    return sum;
  } else {
    constexpr float factor = L::at(kRow, kColumn);
    if constexpr (factor == 0) {
      return row_times<L, kRow, kColumn + 1>(x, sum, empty);
    } else {
      F32 next;
      if constexpr (factor == 1)
        next = empty ? x[kColumn] : sum + x[kColumn];
      else if constexpr (factor == -1)
        next = empty ? -x[kColumn] : sum - x[kColumn];
      else
        next = empty ? set1(factor) * x[kColumn] : fma(set1(factor), x[kColumn], sum);
      return row_times<L, kRow, kColumn + 1>(x, next, false);
    }
  }
}

// y = L x.
template <class L, int kRow = 0>
COARSEGRAD_INLINE void times(const F32* x, F32* y) {
  if constexpr (kRow < L::kRows) {
    y[kRow] = row_times<L, kRow, 0>(x, zero(), true);
    times<L, kRow + 1>(x, y);
  }
}

// Transforms n <= kLanes channels. What is written is multiplied by 0 and added to `nothing`: NaN from the first value
// on that is not finite.
template <class L, bool kChecked>
COARSEGRAD_INLINE void transform_lanes(const WinogradTile& t, std::int64_t c, std::size_t n, F32& nothing) {
  F32 half[L::kRows][L::kColumns];  // L X
#pragma GCC unroll 1
  for (int l = 0; l < L::kColumns; ++l) {
    F32 x[L::kColumns], y[L::kRows];
    const bool inside = l >= t.column_begin && l < t.column_end;
    const float* column = t.in + l * t.in_column + c;
#pragma GCC unroll 6
    for (int k = 0; k < L::kColumns; ++k)
      x[k] = inside && k >= t.row_begin && k < t.row_end ? load_tail(column + k * t.in_row, n) : zero();
    times<L>(x, y);
#pragma GCC unroll 6
    for (int i = 0; i < L::kRows; ++i) half[i][l] = y[i];
  }
  const F32 bias = t.bias ? load_tail(t.bias + c, n) : zero();
#pragma GCC unroll 1
  for (int i = 0; i < t.rows; ++i) {
    F32 y[L::kRows];
    times<L>(half[i], y);
    float* row = t.out + i * t.out_row + c;
#pragma GCC unroll 6
    for (int j = 0; j < L::kRows; ++j)
      if (j < t.columns) {
        store_tail(row + j * t.out_column, y[j] + bias, n);
        if constexpr (kChecked) nothing = fma(y[j], zero(), nothing);
      }
  }
}

template <class L, bool kChecked>
COARSEGRAD_INLINE F32 transform_channels(const WinogradTile& t) {
  const auto channels = static_cast<std::size_t>(t.channels);
  F32 nothing = zero();
  std::size_t c = 0;
  for (; c + kLanes <= channels; c += kLanes)
    transform_lanes<L, kChecked>(t, static_cast<std::int64_t>(c), kLanes, nothing);
  if (c < channels) transform_lanes<L, kChecked>(t, static_cast<std::int64_t>(c), channels - c, nothing);
  return nothing;
}

template <class L>
void transform(const WinogradTile& t) {
  transform_channels<L, false>(t);
}

template <class L>
bool transform_checked(const WinogradTile& t) {
  const F32 nothing = transform_channels<L, true>(t);
  return bits(nothing != nothing) == 0;
}

template <int kKernel>
constexpr WinogradFilter filter{transform<WinogradWeight<kKernel>>, transform<Transposed<WinogradOutput<kKernel>>>,
                                transform_checked<WinogradOutput<kKernel>>,
                                transform_checked<Transposed<WinogradWeight<kKernel>>>};

}  // namespace

const Winograd winograd{transform<WinogradInput>, filter<3>, filter<5>};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
