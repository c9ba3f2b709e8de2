#pragma once
// Sums down the columns of a row-major matrix. All of it is local to the translation unit, as in vec.h.
#include "core/kernels/norm.h"
#include "core/kernels/simd/sweep.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

/// Some vectors of neighbouring columns whose sums are kept in registers.
template <int n, class Lanes>
struct Panel {
  static constexpr int kVectors = n;
  Lanes lanes;
};

COARSEGRAD_INLINE std::int64_t columns_of(Panel<4, Whole>) { return 4 * kWidth; }
COARSEGRAD_INLINE std::int64_t columns_of(Panel<1, Whole>) { return kWidth; }
COARSEGRAD_INLINE std::int64_t columns_of(Panel<1, Part> p) { return static_cast<std::int64_t>(p.lanes.n); }

/// body(c, panel) for the panels that `cols` columns fall into; c is the first column.
template <class Body>
COARSEGRAD_INLINE void for_panels(std::int64_t cols, Body body) {
  std::int64_t c = 0;
  for (; c + 4 * kWidth <= cols; c += 4 * kWidth) body(c, Panel<4, Whole>{});
  for (; c + kWidth <= cols; c += kWidth) body(c, Panel<1, Whole>{});
  if (c < cols) body(c, Panel<1, Part>{{static_cast<std::size_t>(cols - c)}});
}

/// One value for each column of a panel, in registers.
template <int n>
struct Columns {
  F32 vector[n];
};
template <int n, class Lanes>
COARSEGRAD_INLINE Columns<n> load_columns(const float* p, Panel<n, Lanes> panel) {
  Columns<n> columns;
  for (int v = 0; v < n; ++v) columns.vector[v] = panel.lanes.load(p + v * kWidth);
  return columns;
}

/// body(i, v) for vector v of the panel that begins at column c, in each row; i is its place in the matrix.
template <int n, class Lanes, class Body>
COARSEGRAD_INLINE void for_rows(std::int64_t rows, std::int64_t cols, std::int64_t c, Panel<n, Lanes>, Body body) {
  for (std::int64_t r = 0; r < rows; ++r)
#pragma GCC unroll 4
    for (int v = 0; v < n; ++v) body(r * cols + c + v * kWidth, v);
}

/// sums[k][j] = k-th of N sums down column j of a panel. add(i, j, lanes, s) adds to s[0] ... s[N - 1] what
/// element i (counted from the panel's first one) in column j of the panel contributes. Floats for kSumRows
/// rows, then double.
template <int N, class AnyPanel, class Add>
COARSEGRAD_INLINE void sum_panel(std::int64_t rows, std::int64_t cols, AnyPanel panel, double* const (&sums)[N],
                                 Add add) {
  constexpr int vectors = AnyPanel::kVectors;
  for (int k = 0; k < N; ++k)
    for (std::int64_t j = 0; j < columns_of(panel); ++j) sums[k][j] = 0;
  for (std::int64_t begin = 0; begin < rows; begin += kSumRows) {
    const std::int64_t end = begin + kSumRows < rows ? begin + kSumRows : rows;
    F32 s[vectors][N];
    for (auto& of_vector : s)
      for (F32& sum : of_vector) sum = zero();
    for (std::int64_t r = begin; r < end; ++r)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) add(r * cols + v * kWidth, v * kWidth, panel.lanes, s[v]);
    for (int v = 0; v < vectors; ++v)
      for (int k = 0; k < N; ++k) add_to(sums[k] + v * kWidth, s[v][k], panel.lanes);
  }
}

constexpr std::int64_t kMostColumns = 4 * kWidth;  // in a panel

/// sums[j] = sum of term(i, j) down column j of `columns` neighbouring ones, i and j as in sum_panel(), all in double.
template <class Term>
void sum_wide(std::int64_t rows, std::int64_t cols, std::int64_t columns, double* sums, Term term) {
  for (std::int64_t j = 0; j < columns; ++j) sums[j] = 0;
  for (std::int64_t r = 0; r < rows; ++r)
    for (std::int64_t j = 0; j < columns; ++j) sums[j] += term(r * cols + j, j);
}

/// Takes sums of sum_panel() that are not finite again by sum_wide(): a float may have overflowed on the way.
template <class AnyPanel, class Term>
COARSEGRAD_INLINE void repair_overflow(std::int64_t rows, std::int64_t cols, AnyPanel panel, double* sums, Term term) {
  const std::int64_t columns = columns_of(panel);
  bool all_finite = true;
  for (std::int64_t j = 0; j < columns; ++j) all_finite = all_finite && finite(sums[j]);
  if (all_finite) return;
  double wide[kMostColumns];
  sum_wide(rows, cols, columns, wide, term);
  for (std::int64_t j = 0; j < columns; ++j)
    if (!finite(sums[j])) sums[j] = wide[j];
}

}  // namespace
}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
