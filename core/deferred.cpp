#include "core/deferred.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/compute/code_weights.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

Coded::Coded(std::int64_t size, int bits, Sign sign, std::vector<Real> scales)
    : size_(size), bits_(bits), sign_(sign), scales_(std::move(scales)), codes_(static_cast<std::size_t>(size)) {
  const auto count = static_cast<std::int64_t>(scales_.size());
  check(bits >= 1 && bits <= 8 && count >= 1 && size % count == 0, "coded tensor: given ", bits, " bits, ", count,
        " scales for ", size, " elements, expected 1 to 8 bits, a number of scales that divides them");
}

void Coded::read(std::int64_t begin, std::int64_t end, Real* out) const {
  const std::int64_t slice = std::max<std::int64_t>(size_ / static_cast<std::int64_t>(scales_.size()), 1);
  for (std::int64_t i = begin; i < end;) {
    const std::int64_t next = std::min(end, (i / slice + 1) * slice);
    const Real scale = scales_[static_cast<std::size_t>(i / slice)];
    if (is_signed())
      real_kernels<Real>().projection.decode(next - i, signed_codes() + i, scale, out + (i - begin));
    else
      real_kernels<Real>().activation.decode(next - i, codes() + i, scale, out + (i - begin));
    i = next;
  }
}

BitCode Coded::code() const {
  if (!is_signed()) return BitCode::unsigned_bits(bits_);
  return bits_ == 1 ? BitCode::signs() : BitCode::signed_bits(bits_);
}

std::shared_ptr<const CodeWeights> Coded::packed_for(const BitCode& activation, const ConvShape& layer) const {
  check(is_signed(), "coded tensor: given unsigned codes as weights, expected signed ones");
  const std::lock_guard lock(packing_);
  if (!packed_ || !packed_->serve(activation, layer))
    packed_ = std::make_shared<const CodeWeights>(activation, layer, signed_codes());
  return packed_;
}

void* Coded::writable() {
  const std::lock_guard lock(packing_);
  packed_.reset();
  return codes_.data();
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
