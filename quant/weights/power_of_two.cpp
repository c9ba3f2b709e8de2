#include "quant/weights/power_of_two.h"

#include <cmath>

#include "core/base/check.h"
#include "quant/math/power_of_two.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class PowerOfTwo : public PowerProjection {
 public:
  explicit PowerOfTwo(const PowerOfTwoOptions& options)
      : PowerProjection("power_of_two", {options.bits, options.per_channel}, power_magnitudes(options.bits)),
        mu_over_max_(options.mu_over_max) {
    check_usage(mu_over_max_ > 0 && std::isfinite(mu_over_max_),
                "power_of_two weights: given mu_over_max = ", mu_over_max_, ", expected a positive number");
  }

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    return encode_powers_by_max(w, bits(), mu_over_max_, codes);
  }

  double mu_over_max_;
};

class PowerOfTwoExact : public PowerProjection {
 public:
  explicit PowerOfTwoExact(const PowerOfTwoExactOptions& options)
      : PowerProjection("power_of_two_exact", {options.bits, options.per_channel}, power_magnitudes(options.bits)) {}

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    return encode_powers_exactly(w, bits(), codes);
  }
};

}  // namespace

Tensor PowerProjection::project(const Tensor& w) {
  if (w.numel() == 0) return w;
  Scratch<std::int8_t> codes(static_cast<std::size_t>(w.numel()));
  std::vector<Real> scales(static_cast<std::size_t>(groups(w)));
  encode_all(w, codes.data(), scales);
  return Tensor::deferred(
      w.shape(), std::make_shared<PowerCoded>(w.numel(), bits(), magnitudes_, std::move(codes), std::move(scales)));
}

void describe(OptionVisitor& v, PowerOfTwoOptions& o) {
  v.integer(option_text::bits(), o.bits, {2, 7});
  v.flag(option_text::per_channel(), o.per_channel);
  v.number({"mu-over-max", "1", "smallest weight that takes the largest power, over max|w|"}, o.mu_over_max,
           {1e-6, 10});
}

void describe(OptionVisitor& v, PowerOfTwoExactOptions& o) {
  v.integer(option_text::bits(), o.bits, {2, 7});
  v.flag(option_text::per_channel(), o.per_channel);
}

std::unique_ptr<WeightProjection> power_of_two(const PowerOfTwoOptions& options) {
  return std::make_unique<PowerOfTwo>(options);
}

std::unique_ptr<WeightProjection> power_of_two_exact(const PowerOfTwoExactOptions& options) {
  return std::make_unique<PowerOfTwoExact>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
