#include "quant/weights/dorefa.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/compute/activation.h"
#include "core/compute/elementwise.h"
#include "core/map.h"
#include "quant/math/unit_interval.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

Tensor tanh_of(const Tensor& w) {
  Tensor t = Tensor::uninitialized(w.shape());
  tanh_forward<Real>(w.numel(), w.data(), t.mutable_data());
  return t;
}

Real tanh_of(Real x) {
  tanh_forward<Real>(1, &x, &x);
  return x;
}

class Dorefa : public WeightProjection {
 public:
  explicit Dorefa(const DorefaWeightOptions& o)
      : bits_(o.bits), n_(highest_unit_level(o.bits)), detach_max_(o.detach_max) {}
  std::string name() const override { return "dorefa"; }
  int bits() const override { return bits_; }

  Tensor project(const Tensor& w) override {
    if (w.numel() == 0) return w;
    const Magnitude<Real> size = magnitude<Real>(w.view());
    if (!std::isfinite(size.sum)) return Tensor(w.shape(), std::numeric_limits<Real>::quiet_NaN());
    if (size.max < std::numeric_limits<Real>::min()) return Tensor(w.shape());
    if (bits_ > kMostCodedUnitBits) return values_of_many_bits(w, 2 * tanh_of(size.max));
    const auto coded = std::make_shared<Coded>(w.numel(), bits_, Coded::Sign::two_s_complement,
                                               std::vector<Real>{1 / static_cast<Real>(n_)});
    encode(w, 2 * tanh_of(size.max), coded->codes());
    if (bits_ == kMostCodedUnitBits) return values(w.shape(), coded->codes());
    std::uint8_t* const codes = coded->codes();
    parallel_ranges(w.numel(), kTaskElements, [&, n = n_](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) codes[i] = static_cast<std::uint8_t>(2 * codes[i] - n);
    });
    return Tensor::deferred(w.shape(), coded);
  }

  ProjectionGradient gradient(const Tensor& w, const Tensor& g) override {
    ProjectionGradient same = WeightProjection::gradient(w, g);
    const Real max = magnitude<Real>(w.view()).max;
    if (max < std::numeric_limits<Real>::min()) return same;
    const Real m = tanh_of(max);
    const Tensor t = tanh_of(w);
    Tensor result = zip(g, t, [m](Real dy, Real at) { return dy * ((1 - at) * (1 + at) / m); });
    if (!detach_max_) subtract_max_term(w, max, t, g, result);
    return {result};
  }

 private:
  Tensor values_of_many_bits(const Tensor& w, Real twice_m) const {
    const auto n = static_cast<Real>(n_);
    return map(tanh_of(w), [twice_m, n](Real t) { return 2 * std::nearbyint(n * (t / twice_m + Real(0.5))) / n - 1; });
  }

  // j, 0 to n
  void encode(const Tensor& w, Real twice_m, std::uint8_t* j) const {
    Tensor r = tanh_of(w);
    r = map(r, [twice_m](Real t) { return t / twice_m + Real(0.5); });
    quantize_forward<Real>(r.numel(), r.data(), unit_interval<Real>(bits_), {}, nullptr, j, nullptr);
  }

  Tensor values(const Shape& shape, const std::uint8_t* j) const {
    Tensor y = Tensor::uninitialized(shape);
    Real* const to = y.mutable_data();
    const auto n = static_cast<Real>(n_);
    parallel_ranges(y.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) to[i] = (2 * static_cast<Real>(j[i]) - n) / n;
    });
    return y;
  }

  static void subtract_max_term(const Tensor& w, Real max, const Tensor& t, const Tensor& g, Tensor& result) {
    const Real *slope = g.data(), *at = t.data();
    const double sum = sum_in_pieces(
        g.numel(), [=](std::int64_t i) { return static_cast<double>(slope[i]) * static_cast<double>(at[i]); });
    const auto largest = std::ranges::find(w.view(), max, [](Real x) { return std::abs(x); });
    const std::int64_t i = largest - w.view().begin();
    const double top = static_cast<double>(at[i]);  // +-m
    result.mutable_data()[i] -= static_cast<Real>(sum / (top * top) * std::copysign(1 - top * top, top));
  }

  const int bits_, n_;
  const bool detach_max_;
};

}  // namespace

void describe(OptionVisitor& v, DorefaWeightOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 16});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag({"detach-max", "", "take the largest |tanh w| as a constant in the backward pass"}, o.detach_max);
  v.flag({"through-tanh", "", "with 1 bit: -1 and 1 as with more bits, not signs times the mean of |w|"},
         o.through_tanh);
}

std::unique_ptr<WeightProjection> dorefa_projection(const DorefaWeightOptions& o) {
  if (o.bits > 1 || o.through_tanh) return std::make_unique<Dorefa>(o);
  return uniform_projection(
      "dorefa", {o.bits, false},
      [thresholds = binary_thresholds<Real>(o.sign_of_zero)](std::span<const Real>) { return thresholds; });
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
