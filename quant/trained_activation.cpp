#include "quant/trained_activation.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "quant/activation_codes.h"
#include "quant/uniform_weight.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

bool names_alpha(const std::string& name) { return name == "alpha" || name.ends_with(".alpha"); }

Quantizer<Real> quantizer_of(const TrainedAlpha& trained) {
  return {trained.alpha.item(), highest_level(trained.bits)};
}

// From the gradient of the activation to that of alpha.
auto alpha_gradient(const TrainedAlpha& trained, const ActivationCodes& out) {
  return [coded = out.coded, mask = out.mask, rule = trained.rule, levels = highest_level(trained.bits),
          factor = trained.gradient_factor, limit = trained.gradient_limit](const Tensor& g) {
    const double sum =
        quantize_alpha_gradient<Real>(g.size(), coded->codes(), mask->data(), g.data(), levels, rule);
    return Tensor::scalar(static_cast<Real>(std::clamp(factor * sum, -limit, limit)));
  };
}

}  // namespace

Var quantize_activation(const Var& x, const TrainedAlpha& trained) {
  const ActivationCodes out =
      encode_activation(x.value(), quantizer_of(trained), trained.bits, Ste::clipped_relu);
  return record(
      "quantize_activation", out.value, {x, trained.alpha},
      [mask = out.mask, alpha_gradient = alpha_gradient(trained, out)](const Tensor& g) -> Gradients {
        Tensor dx = Tensor::uninitialized(g.shape());
        mask_backward<Real>(g.size(), mask->data(), g.data(), dx.mutable_data());
        return {dx, alpha_gradient(g)};
      });
}

TrainedActivation::TrainedActivation(const TrainedActivationOptions& options)
    : alpha(register_parameter(
          "alpha", Tensor::scalar(static_cast<Real>(options.alpha == 0 ? half_gaussian_alpha(options.bits)
                                                                       : options.alpha)))),
      options_(options) {
  check(options.rate_factor >= 0 && std::isfinite(options.rate_factor) &&
            alpha.value.item() >= Real(kLeastAlpha) && alpha.value.item() <= Real(kMostAlpha),
        "trained activation: given alpha = ", options.alpha, " and a rate factor of ", options.rate_factor,
        ", expected ", kLeastAlpha, " to ", kMostAlpha, " and one >= 0");
  alpha.bounds = Parameter::Bounds{Real(kLeastAlpha), Real(kMostAlpha)};
  if (!options.clamp_gradient) alpha.rate_factor = options.rate_factor;
}

TrainedAlpha TrainedActivation::quantizer() const {
  TrainedAlpha quantizer{alpha.var(), options_.bits, options_.rule};
  if (options_.clamp_gradient) {
    quantizer.gradient_factor = options_.rate_factor;
    quantizer.gradient_limit = 1;
  }
  return quantizer;
}

Var TrainedActivation::forward(const Var& x) {
  if (!recording_) return quantize_activation(x, quantizer());
  if (training()) {
    const double range =
        static_cast<double>(magnitude<Real>(x.value().view()).max) / highest_level(options_.bits);
    alpha.value = Tensor::scalar(static_cast<Real>(std::clamp(range, kLeastAlpha, kMostAlpha)));
  }
  return relu(x);
}

Var TrainedActivation::after_norm(nn::BatchNorm& norm, const Var& x, const Var& shortcut) {
  if (recording_ || !fuses(norm)) return Activation::after_norm(norm, x, shortcut);
  const FlushDenormals flush;
  const Normalized n = norm.normalized(x);
  const TrainedAlpha trained = quantizer();
  const ActivationCodes out =
      encode_activation(n, shortcut.value(), quantizer_of(trained), trained.bits, Ste::clipped_relu);
  return record_activated(
      "norm_quantize", n, shortcut,
      {out.value, [mask = out.mask] { return mask; }, trained.alpha, alpha_gradient(trained, out)});
}

nn::MakeActivation trained_activation(const TrainedActivationOptions& options, bool record_range) {
  return [options, record_range](const std::string&) {
    auto activation = std::make_unique<TrainedActivation>(options);
    activation->record_range(record_range);
    return activation;
  };
}

void record_ranges(nn::Module& net, bool on) {
  for (const auto& [name, module] : net.named_modules())
    if (auto* activation = dynamic_cast<TrainedActivation*>(module)) activation->record_range(on);
}

void load_state_with_any_alphas(nn::Module& net, const nn::StateDict& state) {
  const auto named = [](const nn::StateDict& list, const std::string& name) {
    return std::ranges::find(list, name, [](const auto& entry) { return entry.first; });
  };
  const nn::StateDict own = net.state_dict();
  nn::StateDict complete;
  for (const auto& entry : state)
    if (!names_alpha(entry.first) || named(own, entry.first) != own.end()) complete.push_back(entry);
  for (const auto& entry : own)
    if (names_alpha(entry.first) && named(state, entry.first) == state.end()) complete.push_back(entry);
  net.load_state_dict(complete);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
