#include "quant/weights/power_coded.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/parallel.h"
#include "quant/math/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// 2^shift Q of every code, by its byte.
template <class T>
std::array<T, 256> by_code(int magnitudes, int shift) {
  std::array<T, 256> values{};
  for (int k = -magnitudes; k <= magnitudes; ++k)
    values[static_cast<std::uint8_t>(k)] = static_cast<T>(std::ldexp(power_value(k, magnitudes), shift));
  return values;
}

}  // namespace

PowerCoded::PowerCoded(std::int64_t size, int bits, int magnitudes, Scratch<std::int8_t> codes,
                       std::vector<Real> scales)
    : size_(size), bits_(bits), magnitudes_(magnitudes), codes_(std::move(codes)), scales_(std::move(scales)) {
  if (magnitudes > kMostLinear) return;
  std::vector<Real> units = scales_;
  for (Real& unit : units) unit = std::ldexp(unit, 1 - magnitudes);
  linear_ =
      std::make_unique<Coded>(size, bits == 1 ? 1 : magnitudes + 1, Coded::Sign::two_s_complement, std::move(units));
  const auto multiple = by_code<std::int8_t>(magnitudes, magnitudes - 1);
  parallel_ranges(size, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::int8_t* out = linear_->signed_codes();
    for (std::int64_t i = begin; i < end; ++i) out[i] = multiple[static_cast<std::uint8_t>(codes_.data()[i])];
  });
}

void PowerCoded::read(std::int64_t begin, std::int64_t end, Real* out) const {
  if (linear_) return linear_->read(begin, end, out);
  const auto values = by_code<Real>(magnitudes_, 0);
  const std::int64_t slice = std::max<std::int64_t>(size_ / static_cast<std::int64_t>(scales_.size()), 1);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t next = std::min(end, (i / slice + 1) * slice);
    const Real scale = scales_[static_cast<std::size_t>(i / slice)];
    for (; i < next; ++i) out[i - begin] = scale * values[static_cast<std::uint8_t>(codes_.data()[i])];
  }
}

std::optional<PowerCodes> power_codes(const Tensor& w) { return w.source() ? w.source()->powers() : std::nullopt; }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
