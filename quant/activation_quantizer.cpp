#include "quant/activation_quantizer.h"

#include "core/base/check.h"
#include "quant/activation.h"
#include "quant/asymptotic.h"
#include "quant/registry.h"
#include "quant/trained_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

nn::MakeActivation uniform(const ActivationOptions& o) {
  const Surrogate& s = surrogate(o.surrogate.empty() ? "clipped_relu" : o.surrogate);
  return [bits = o.bits, alpha = o.alpha == 0 ? half_gaussian_alpha(o.bits) : o.alpha,
          &s](const std::string&) { return std::make_unique<UniformActivation>(bits, alpha, s); };
}

nn::MakeActivation trained(const ActivationOptions& o) {
  check_usage(o.surrogate.empty() || o.surrogate == "clipped_relu",
              "trained activation: given the surrogate ", o.surrogate, ", expected clipped_relu");
  TrainedActivationOptions options{
      .bits = o.bits, .rule = o.alpha_rule, .alpha = o.alpha, .clamp_gradient = o.clamp_gradient};
  if (o.rate_factor != 0) options.rate_factor = o.rate_factor;
  return trained_activation(options, o.record_range);
}

Registry<MakeActivationQuantizer>& registry() {
  static Registry<MakeActivationQuantizer> r(
      "activation", {{"uniform", uniform}, {"trained", trained}, {"asymptotic", asymptotic_activation}});
  return r;
}

}  // namespace

nn::MakeActivation activation_quantizer(std::string_view name, const ActivationOptions& options) {
  const nn::MakeActivation make = registry().find(name)(options);
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
