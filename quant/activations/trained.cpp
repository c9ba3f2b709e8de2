#include "quant/activations/trained.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "quant/activations/option_text.h"
#include "quant/math/uniform_weight.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

bool names_alpha(const std::string& name) {
  const std::string last = name.substr(name.rfind('.') + 1);
  return last == "alpha" || last == "step";
}

ActivationMap map_of(const TrainedAlpha& trained) {
  const int levels = highest_level(trained.bits);
  return onto_trained_grid({trained.alpha.item(), levels}, trained.bits, trained.alpha,
                           [levels, rule = trained.rule, factor = trained.gradient_factor,
                            limit = trained.gradient_limit](const Tensor& g, const KeptActivation& kept) {
                             const double sum = quantize_alpha_gradient<Real>(
                                 g.numel(), kept.coded->codes(), kept.mask->data(), g.data(), levels, rule);
                             return Tensor::scalar(static_cast<Real>(std::clamp(factor * sum, -limit, limit)));
                           });
}

}  // namespace

Var quantize_activation(const Var& x, const TrainedAlpha& trained) { return activate(x, map_of(trained)); }

TrainedActivation::TrainedActivation(const TrainedActivationOptions& options)
    : alpha(register_parameter("alpha", Tensor::scalar(static_cast<Real>(
                                            options.alpha == 0 ? half_gaussian_alpha(options.bits) : options.alpha)))),
      options_(options),
      recording_(options.record_range) {
  check(options.rate_factor >= 0 && std::isfinite(options.rate_factor) && alpha.value.item() >= Real(kLeastAlpha) &&
            alpha.value.item() <= Real(kMostAlpha),
        "trained activation: given alpha = ", options.alpha, " and a rate factor of ", options.rate_factor,
        ", expected ", kLeastAlpha, " to ", kMostAlpha, " and one >= 0");
  alpha.bounds = Parameter::Bounds{Real(kLeastAlpha), Real(kMostAlpha)};
  if (!options.clamp_gradient) alpha.rate_factor = options.rate_factor;
}

ActivationMap TrainedActivation::map() const {
  TrainedAlpha quantizer{alpha.var(), options_.bits, options_.rule};
  if (options_.clamp_gradient) {
    quantizer.gradient_factor = options_.rate_factor;
    quantizer.gradient_limit = 1;
  }
  return map_of(quantizer);
}

Var TrainedActivation::forward(const Var& x) {
  if (!recording_) return GridActivation::forward(x);
  const Magnitude<Real> size = training() ? magnitude<Real>(x.value().view()) : Magnitude<Real>{};
  if (std::isfinite(size.sum) && size.max > 0) {
    const double range = static_cast<double>(size.max) / highest_level(options_.bits);
    alpha.value = Tensor::scalar(static_cast<Real>(std::clamp(range, kLeastAlpha, kMostAlpha)));
  }
  return relu(x);
}

void describe(OptionVisitor& v, TrainedActivationOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 8});
  std::string rule = name_of(o.rule);
  v.choice({"alpha-rule", "", "what stands for the derivative with respect to alpha"}, rule, alpha_rule_names());
  o.rule = alpha_rule(rule);
  v.number({"alpha", "1", "resolution at the start; 0: the one for half-Gaussian input"}, o.alpha,
           {0, TrainedActivation::kMostAlpha});
  v.number(option_text::rate_factor(), o.rate_factor, {0, 100});
  v.flag({"clamp-gradient", "", "let rate-factor multiply the gradient of alpha, clamped to [-1, 1] then"},
         o.clamp_gradient);
  v.flag({"record-range", "", "a float ReLU that leaves max|x| / (2^bits - 1) in alpha as a later start"},
         o.record_range);
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
