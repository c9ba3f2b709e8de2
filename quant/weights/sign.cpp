#include "quant/weights/sign.h"

#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class Sign : public CodedProjection {
 public:
  Sign(std::string name, const SignOptions& o)
      : CodedProjection(std::move(name), {o.bits, o.per_channel}),
        thresholds_(binary_thresholds<Real>(o.sign_of_zero)) {
    check_usage(o.bits == 1, this->name(), " weights: given ", o.bits, " bits, expected 1");
  }

 protected:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    const double mean = encode_weights<Real>(w, thresholds_, codes);
    return mean > 0 ? 1 : mean;  // NaN stays NaN
  }

  const std::vector<Real> thresholds_;
};

class Xnor : public Sign {
 public:
  explicit Xnor(const XnorOptions& o) : Sign("xnor", {o.bits, o.sign_of_zero, true}) {}

  ProjectionGradient gradient(const Tensor& w, const Tensor& g) override {
    Tensor result = Tensor::uninitialized(Sign::gradient(w, g).weight.shape());
    if (w.numel() == 0) return {result};
    const std::int64_t channels = groups(w), n = w.numel() / channels;
    const Real *from = g.data(), *at = w.data();
    Real* to = result.mutable_data();
    parallel_for(channels, [&](std::int64_t c) {
      const std::span<const Real> channel(at + c * n, static_cast<std::size_t>(n));
      const auto weights = static_cast<double>(n);
      const auto inside = static_cast<Real>((1 + magnitude<Real>(channel).sum) / weights),
                 outside = static_cast<Real>(1 / weights);
      for (std::int64_t i = c * n; i < (c + 1) * n; ++i) to[i] = from[i] * (std::abs(at[i]) <= 1 ? inside : outside);
    });
    return {result};
  }

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    return encode_weights<Real>(w, thresholds_, codes);
  }
};

}  // namespace

void describe(OptionVisitor& v, SignOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 1});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag(option_text::per_channel(), o.per_channel);
}

void describe(OptionVisitor& v, XnorOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 1});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
}

std::unique_ptr<WeightProjection> sign_projection(const SignOptions& options) {
  return std::make_unique<Sign>("sign", options);
}

std::unique_ptr<WeightProjection> xnor_projection(const XnorOptions& options) {
  return std::make_unique<Xnor>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
