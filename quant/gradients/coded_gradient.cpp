#include "quant/gradients/coded_gradient.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "core/base/check.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// The level nearest to 0 is the rest: no level has a smaller magnitude.
Levels levels_of(const Grid<Real>& grid) {
  const double step = static_cast<double>(grid.step), center = static_cast<double>(grid.center),
               half = static_cast<double>(grid.bins) / 2;
  const double nearest = step > 0 ? std::nearbyint(half - center / step) : 0;
  const int zero = static_cast<int>(std::clamp(nearest, 0.0, static_cast<double>(grid.bins)));
  return {step, zero, center + (zero - half) * step};
}

}  // namespace

CodedGradient::CodedGradient(std::int64_t size, std::vector<Grid<Real>> grids)
    : size_(size), grids_(std::move(grids)), codes_(static_cast<std::size_t>(size)) {
  const auto count = static_cast<std::int64_t>(grids_.size());
  check(count >= 1 && size % count == 0, "coded gradient: given ", count, " grids for ", size,
        " elements, expected a number that divides them");
}

void CodedGradient::read(std::int64_t begin, std::int64_t end, Real* out) const {
  const std::int64_t slice = std::max<std::int64_t>(size_ / static_cast<std::int64_t>(grids_.size()), 1);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t next = std::min(end, (i / slice + 1) * slice);
    real_kernels<Real>().stochastic.decode(next - i, grids_[static_cast<std::size_t>(i / slice)], codes_.data() + i,
                                           out + (i - begin));
    i = next;
  }
}

LeveledCodes CodedGradient::leveled() const {
  LeveledCodes all{codes_.data(), false, {}};
  all.levels.reserve(grids_.size());
  for (const Grid<Real>& grid : grids_) all.levels.push_back(levels_of(grid));
  return all;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
