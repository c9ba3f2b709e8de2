#pragma once
// Weights, or activations, whose sizes are a scale times powers of two, as a tensor that keeps their codes.
#include <memory>
#include <span>
#include <vector>

#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Element i is scale Q with the code of quant/math/power_of_two.h: 0, or +-2^(|k| - n) with |k| <= n.
/// powers() are what a deployed network packs and shifts by. Up to n = 4 the elements are also multiples
/// +-2^(|k| - 1) of scale 2^(1-n) that fit a signed byte, and coded() has those: products with integer
/// activations are then computed as integers. For n = 8 the largest would be 128, one too many.
class PowerCoded : public Deferred {
 public:
  /// The largest n up to which coded() is there.
  static constexpr int kMostLinear = 4;

  /// `bits` is the size of a packed code, `magnitudes` is n; one scale, or one for each index of the first axis.
  PowerCoded(std::int64_t size, int bits, int magnitudes, Scratch<std::int8_t> codes, std::vector<Real> scales);

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  const Coded* coded() const override { return linear_.get(); }
  std::optional<PowerCodes> powers() const override {
    return PowerCodes{{codes_.data(), static_cast<std::size_t>(size_)}, magnitudes_, scales_};
  }
  int bits() const override { return bits_; }
  std::span<const Real> scales() const override { return scales_; }

 private:
  std::int64_t size_;
  int bits_, magnitudes_;
  Scratch<std::int8_t> codes_;
  std::vector<Real> scales_;
  std::unique_ptr<Coded> linear_;
};

/// The codes behind a tensor of power-of-two weights, which must outlive them; none for others.
std::optional<PowerCodes> power_codes(const Tensor& w);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
