#include "quant/power_coded.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "core/base/parallel.h"
#include "quant/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

PowerCoded::PowerCoded(std::int64_t size, int bits, int magnitudes, Scratch<std::int8_t> codes,
                       std::vector<Real> scales)
    : size_(size),
      bits_(bits),
      magnitudes_(magnitudes),
      codes_(std::move(codes)),
      scales_(std::move(scales)) {
  if (magnitudes > kMostLinear) return;
  std::vector<Real> units = scales_;
  for (Real& unit : units) unit = std::ldexp(unit, 1 - magnitudes);
  linear_ = std::make_unique<Coded>(size, bits == 1 ? 1 : magnitudes + 1, Coded::Sign::two_s_complement,
                                    std::move(units));
  constexpr std::int8_t kMultiple[] = {0, 1, 2, 4, 8};
  parallel_ranges(size, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::int8_t* out = linear_->signed_codes();
    for (std::int64_t i = begin; i < end; ++i) {
      const int k = codes_.data()[i];
      out[i] = k < 0 ? static_cast<std::int8_t>(-kMultiple[-k]) : kMultiple[k];
    }
  });
}

void PowerCoded::read(std::int64_t begin, std::int64_t end, Real* out) const {
  if (linear_) return linear_->read(begin, end, out);
  std::array<Real, 256> values{};  // by the byte of the code
  for (int k = -magnitudes_; k <= magnitudes_; ++k)
    values[static_cast<std::uint8_t>(k)] = static_cast<Real>(power_value(k, magnitudes_));
  const std::int64_t slice = std::max<std::int64_t>(size_ / static_cast<std::int64_t>(scales_.size()), 1);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t next = std::min(end, (i / slice + 1) * slice);
    const Real scale = scales_[static_cast<std::size_t>(i / slice)];
    for (; i < next; ++i) out[i - begin] = scale * values[static_cast<std::uint8_t>(codes_.data()[i])];
  }
}

const PowerCoded* power_codes(const Tensor& w) { return dynamic_cast<const PowerCoded*>(w.source()); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
