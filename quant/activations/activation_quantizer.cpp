#include "quant/activations/activation_quantizer.h"

#include "core/base/check.h"
#include "core/base/registry.h"
#include "quant/activations/dorefa.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/minmax.h"
#include "quant/activations/pact.h"
#include "quant/activations/sign.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// The trained parameters' gradients are those that belong to it.
void expect_clipped_relu(const char* activation, const ActivationOptions& o) {
  check_usage(o.surrogate.empty() || o.surrogate == "clipped_relu", activation,
              " activation: given the surrogate ", o.surrogate, ", expected clipped_relu");
}

nn::MakeActivation uniform(const ActivationOptions& o) {
  const Surrogate& s = surrogate(o.surrogate.empty() ? "clipped_relu" : o.surrogate);
  return [bits = o.bits, alpha = o.alpha == 0 ? half_gaussian_alpha(o.bits) : o.alpha,
          &s](const std::string&) { return std::make_unique<UniformActivation>(bits, alpha, s); };
}

nn::MakeActivation trained(const ActivationOptions& o) {
  expect_clipped_relu("trained", o);
  TrainedActivationOptions options{
      .bits = o.bits, .rule = o.alpha_rule, .alpha = o.alpha, .clamp_gradient = o.clamp_gradient};
  if (o.rate_factor != 0) options.rate_factor = o.rate_factor;
  return trained_activation(options, o.record_range);
}

nn::MakeActivation sign(const ActivationOptions& o) {
  check_usage(o.bits == 1, "sign activation: given ", o.bits, " bits, expected 1");
  const Surrogate& s = surrogate(o.surrogate.empty() ? "hard_tanh" : o.surrogate);
  return [&s](const std::string&) { return std::make_unique<SignActivation>(s); };
}

MakeActivationQuantizer dorefa(Bounding h) {
  return [h](const ActivationOptions& o) {
    return dorefa_activation(o.bits, h, surrogate(o.surrogate.empty() ? "clipped_relu" : o.surrogate));
  };
}

nn::MakeActivation pact(const ActivationOptions& o) {
  expect_clipped_relu("pact", o);
  PactOptions options{.bits = o.bits};
  if (o.alpha != 0) options.alpha = o.alpha;
  if (o.rate_factor != 0) options.rate_factor = o.rate_factor;
  return [options](const std::string&) { return std::make_unique<PactActivation>(options); };
}

nn::MakeActivation lsq(const ActivationOptions& o) {
  expect_clipped_relu("lsq", o);
  LearnedStepOptions options{.bits = o.bits, .step = o.alpha};
  if (o.rate_factor != 0) options.rate_factor = o.rate_factor;
  return [options](const std::string&) { return std::make_unique<LearnedStepActivation>(options); };
}

Registry<MakeActivationQuantizer>& registry() {
  static Registry<MakeActivationQuantizer> r("activation", {{"uniform", uniform},
                                                            {"trained", trained},
                                                            {"sign", sign},
                                                            {"dorefa", dorefa(Bounding::clip)},
                                                            {"dorefa_abs", dorefa(Bounding::absolute)},
                                                            {"dorefa_tanh", dorefa(Bounding::tanh)},
                                                            {"pact", pact},
                                                            {"lsq", lsq},
                                                            {"minmax", minmax_activation}});
  return r;
}

}  // namespace

nn::MakeActivation activation_quantizer(std::string_view name, const ActivationOptions& options) {
  nn::MakeActivation make = registry().find(name)(options);
  make("");  // options out of range are reported here, not at the first place
  return make;
}

void register_activation(std::string name, MakeActivationQuantizer make) {
  registry().add(std::move(name), std::move(make));
}

std::vector<std::string> activation_names() { return registry().names(); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
