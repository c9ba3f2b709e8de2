#include "quant/weights/power_of_two.h"

#include <cmath>

#include "core/base/check.h"
#include "quant/math/power_of_two.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class PowerOfTwo : public PowerProjection {
 public:
  explicit PowerOfTwo(const ProjectionOptions& options)
      : PowerProjection("power_of_two", options, power_magnitudes(options.bits)),
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
  explicit PowerOfTwoExact(const ProjectionOptions& options)
      : PowerProjection("power_of_two_exact", options, power_magnitudes(options.bits)) {}

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
  return Tensor::deferred(w.shape(), std::make_shared<PowerCoded>(w.numel(), bits(), magnitudes_,
                                                                  std::move(codes), std::move(scales)));
}

std::unique_ptr<WeightProjection> power_of_two(const ProjectionOptions& options) {
  return std::make_unique<PowerOfTwo>(options);
}

std::unique_ptr<WeightProjection> power_of_two_exact(const ProjectionOptions& options) {
  return std::make_unique<PowerOfTwoExact>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
