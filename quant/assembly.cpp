#include "quant/assembly.h"

#include <iterator>

#include "quant/activations/activation_quantizer.h"
#include "quant/activations/dorefa.h"
#include "quant/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

std::unique_ptr<GradientRule> gradient_rule(const Method& m, nn::Module& net, const Rng& rng) {
  GradientRuleOptions options = gradient_rules().make(m.gradients);
  if (!options.input) return nullptr;
  return std::make_unique<GradientRule>(net, std::move(options), rng, LayerExceptions(m.layers));
}

void add_partner(Assembly& a, const Method& m, const MakeNetwork& network) {
  a.partner = network(nn::relu_activation());
  for (Parameter* p : a.partner->parameters()) p->rate_factor *= m.partner_rate;
}

void add_guidance(Assembly& a, const Method& m) {
  a.guide_map = make_activation(m.activations)("guide");
  a.guidance = std::make_unique<Guidance>(*a.net, *a.partner, m.guidance,
                                          [&q = *a.guide_map](const Var& map) { return q(map); });
}

std::vector<Parameter*> all_parameters(const Assembly& a) {
  std::vector<Parameter*> all = a.net->parameters();
  const auto append = [&all](const std::vector<Parameter*>& more) { all.insert(all.end(), more.begin(), more.end()); };
  if (a.partner) append(a.partner->parameters());
  if (a.weights) append(a.weights->parameters());
  return all;
}

// The activations of a method, in a network whose last layer reads the one called `last`; "": none of its own.
nn::MakeActivation activations_of(const Method& m, const std::string& last) {
  return [part = m.activations, exceptions = LayerExceptions(m.layers), last](const std::string& name) {
    return make_activation(exceptions.activation(part, {.name = name, .last = name == last}))(name);
  };
}

}  // namespace

nn::MakeActivation make_activation(const Method& method) { return activations_of(method, ""); }

std::unique_ptr<nn::Module> make_network(const Method& m, const MakeNetwork& network, const Shape& input) {
  auto net = network(make_activation(m));
  const LayerExceptions exceptions(m.layers);
  std::vector<std::string> names;
  for (const auto& [name, module] : net->named_modules())
    if (module->weight_parameter() || module->activation()) names.push_back(name);
  exceptions.expect_matches(names);
  if (exceptions.changes_last_activation())  // which one that is the network itself says
    if (const std::string last = last_activation(*net, input); !last.empty()) net = network(activations_of(m, last));
  if (!exceptions.last_activation()) keep_last_activation_float(*net, input);
  return net;
}

std::unique_ptr<WeightRule> make_rule(const Method& m, nn::Module& net) {
  if (m.weights.name == "none") return nullptr;
  return std::make_unique<WeightRule>(net, m.weights, m.relaxation, LayerExceptions(m.layers));
}

Assembly assemble(const AssemblyPlan& plan) {
  const Method m = with_bits(plan.method, plan.stage.value_or(target(plan.method)));
  Assembly a;
  a.net = make_network(m, plan.network, plan.input);
  const bool guided = m.guidance.guide != "none";
  if (guided) add_partner(a, m, plan.network);
  if (plan.prepare) plan.prepare(*a.net, a.partner.get());
  a.weights = make_rule(m, *a.net);
  a.gradients = gradient_rule(m, *a.net, plan.rng);
  if (guided) add_guidance(a, m);
  a.optimizer = weight_updates().make(m.update)(a.weights.get(), all_parameters(a), plan.optimizer);
  return a;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
