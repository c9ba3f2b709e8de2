#include "quant/method.h"

#include "nn/activation.h"
#include "quant/registry.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Which layers are quantized.
constexpr WeightRuleOptions kAll{.quantize_first = true, .quantize_last = true},
    kNotLast{.quantize_first = true, .quantize_last = false},
    kInner{.quantize_first = false, .quantize_last = false};

// The parts, as the columns of the table below.
WeightParts w(const char* projection, int bits, WeightRuleOptions layers, const char* relaxation = "none",
              RelaxationOptions options = {}) {
  return {projection, {.bits = bits}, relaxation, options, layers};
}
ActivationParts a(const char* map, int bits, const char* surrogate = "") {
  return {map, {.bits = bits, .surrogate = surrogate}};
}

constexpr RelaxationOptions kBlend{.strength = 1e-5},
    kRelax{.strength = 1, .growth = 1.04, .hard_from = 0.75}, kProx{.strength = 1e-4, .hard_from = 2.0 / 3},
    kAqe{.strength = 0, .growth = 1, .hard_from = 0.95};

// clang-format off
std::deque<std::pair<std::string, Method>> shipped() {
  const Method all[] = {
    // name            weights: projection, bits, layers, relaxation       activations: map, bits, surrogate   gradients    training
    {"float",          {},                                                 {},                                 {},          {},
     "no quantization"},
    {"ste",            {},                                                 a("uniform", 2, "clipped_relu"),    {},          {},
     "Yin, Lyu, Zhang, Osher, Qi, Xin: Understanding straight-through estimator, ICLR 2019 (1903.05662)", {{0, 4}}},
    {"binary_connect", w("sign", 1, kAll, "clip"),                         {},                                 {},          {},
     "Courbariaux, Bengio, David: BinaryConnect, NIPS 2015 (1511.00363)"},
    {"bcgd",           w("exact", 1, kNotLast, "blend", kBlend),           a("trained", 4),                    {},          {},
     "Yin, Zhang, Lyu, Osher, Qi, Xin: Blended coarse gradient descent, 2018 (1808.05240)", {{2, 4}, {4, 4}, {0, 4}}},
    {"binary_relax",   w("exact", 1, kNotLast, "relax", kRelax),           {},                                 {},          {},
     "Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, SIIMS 2018 (1801.06313)", {{2, 0}}},
    {"prox_quant",     w("sign", 1, kNotLast, "prox", kProx),              {},                                 {},          {},
     "Bai, Wang, Liberty: ProxQuant, ICLR 2019 (1810.00861)"},
    {"twn",            w("twn", 2, kNotLast),                              {},                                 {},          {},
     "Li, Zhang, Liu: Ternary weight networks, 2016 (1605.04711)"},
    {"bwn",            w("xnor", 1, kInner),                               {},                                 {},          {},
     "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279), binary weights alone"},
    {"lbw_net",        w("power_of_two", 4, kAll),                         {},                                 {},          {},
     "Yin, Zhang, Qi, Xin: LBW-Net, 2016 (1612.06052)", {{2, 0}, {3, 0}, {5, 0}, {6, 0}}},
    {"aqe",            w("fixed_levels", 1, kNotLast, "asymptotic", kAqe), a("asymptotic", 1),                 {},          {},
     "Chen, Liu, Zhang, Hou, Yang: Asymptotic-quantized estimator, 2020 (2003.04296), reconstructed", {{2, 2}, {3, 3}}},
  };
  // clang-format on
  std::deque<std::pair<std::string, Method>> named;
  for (const Method& m : all) named.emplace_back(m.name, m);
  return named;
}

Registry<Method>& registry() {
  static Registry<Method> r("method", shipped());
  return r;
}

}  // namespace

std::unique_ptr<WeightRule> make_rule(const WeightParts& parts, nn::Module& net) {
  if (parts.options.bits == 0) return nullptr;
  return std::make_unique<WeightRule>(net, weight_projections(parts.projection, parts.options),
                                      quant::relaxation(parts.relaxation, parts.relaxation_options),
                                      parts.layers);
}

nn::MakeActivation make_activation(const ActivationParts& parts) {
  if (parts.options.bits == 0) return nn::relu_activation();
  return activation_quantizer(parts.map, parts.options);
}

const Method& method(std::string_view name) { return registry().find(name); }

std::vector<std::string> method_names() { return registry().names(); }

void register_method(Method m) {
  std::string name = m.name;
  registry().add(std::move(name), std::move(m));
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
