#pragma once
// Rows of codes whose lengths are whole steps of the kernels (core/kernels/matmul_codes.h).
#include <algorithm>
#include <cstdint>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/matmul_codes.h"

namespace coarsegrad::code_rows {

/// So many channels, and those that fill up the last step.
constexpr std::int64_t whole_steps(std::int64_t channels) {
  return (channels + kernels::kCodesPerStep - 1) / kernels::kCodesPerStep * kernels::kCodesPerStep;
}

/// to = `rows` rows of `columns` codes, each followed by zeros up to to_columns.
template <class Code>
void pad_rows(std::int64_t rows, std::int64_t columns, const Code* from, std::int64_t to_columns, Code* to) {
  parallel_ranges(rows, std::max(kTaskElements / std::max(to_columns, std::int64_t{1}), std::int64_t{1}),
                  [&](std::int64_t begin, std::int64_t end) {
                    for (std::int64_t r = begin; r < end; ++r) {
                      std::copy_n(from + r * columns, columns, to + r * to_columns);
                      std::fill(to + r * to_columns + columns, to + (r + 1) * to_columns, Code{0});
                    }
                  });
}

/// `rows` rows of codes, padded to whole steps: the codes themselves where they need no padding.
template <class Code>
class WholeRows {
 public:
  /// `codes` are (rows, columns), and stay where they are.
  WholeRows(std::int64_t rows, std::int64_t columns, const Code* codes)
      : codes_(codes), padded_(is_whole(columns) ? 0 : static_cast<std::size_t>(rows * whole_steps(columns))) {
    if (is_whole(columns)) return;
    pad_rows(rows, columns, codes, whole_steps(columns), padded_.data());
    codes_ = padded_.data();
  }
  /// (rows, whole_steps(columns)) codes.
  const Code* data() const { return codes_; }

 private:
  static bool is_whole(std::int64_t columns) { return columns % kernels::kCodesPerStep == 0; }
  const Code* codes_;
  Scratch<Code> padded_;
};

}  // namespace coarsegrad::code_rows
