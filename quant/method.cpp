#include "quant/method.h"

#include "core/base/registry.h"
#include "nn/activation.h"

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
ActivationParts bounded_last(const char* map, int bits) { return {map, {.bits = bits}, false}; }

constexpr RelaxationOptions kBlend{.strength = 1e-5},
    kRelax{.strength = 1, .growth = 1.04, .hard_from = 0.75}, kProx{.strength = 1e-4, .hard_from = 2.0 / 3};

const TrainingParts kFor200{.epochs = 200}, kFor300{.epochs = 300}, kBop{.update = "bop"},
    kTelcnn{.two_stage = true, .progressive = {32, 16, 8, 4}, .guided = true};

// clang-format off
std::deque<std::pair<std::string, Method>> shipped() {
  std::deque<std::pair<std::string, Method>> all;
  const auto row = [&all](const char* name, WeightParts weights, ActivationParts activations, GradientParts gradients,
                          TrainingParts training, const char* paper, std::vector<std::pair<int, int>> bits = {}) {
    all.emplace_back(name, Method{name, std::move(weights), std::move(activations), std::move(gradients),
                                  std::move(training), paper, std::move(bits)});
  };
  //  name            weights: projection, bits, layers, relaxation       activations: map, bits, surrogate   gradients    training
  row("float",          {},                                                 {},                                 {},          {},
      "no quantization");
  row("ste",            {},                                                 a("uniform", 2, "clipped_relu"),    {},          {},
      "Yin, Lyu, Zhang, Osher, Qi, Xin: Understanding straight-through estimator, ICLR 2019 (1903.05662)", {{0, 4}});
  row("binary_connect", w("sign", 1, kAll, "clip"),                         {},                                 {},          {},
      "Courbariaux, Bengio, David: BinaryConnect, NIPS 2015 (1511.00363)");
  row("bcgd",           w("exact", 1, kNotLast, "blend", kBlend),           a("trained", 4),                    {},          {},
      "Yin, Zhang, Lyu, Osher, Qi, Xin: Blended coarse gradient descent, 2018 (1808.05240)", {{2, 4}, {4, 4}, {0, 4}});
  row("binary_relax",   w("exact", 1, kNotLast, "relax", kRelax),           {},                                 {},          kFor200,
      "Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, SIIMS 2018 (1801.06313)", {{2, 0}});
  row("prox_quant",     w("sign", 1, kNotLast, "prox", kProx),              {},                                 {},          kFor300,
      "Bai, Wang, Liberty: ProxQuant, ICLR 2019 (1810.00861)");
  row("twn",            w("twn", 2, kNotLast),                              {},                                 {},          {},
      "Li, Zhang, Liu: Ternary weight networks, 2016 (1605.04711)");
  row("bwn",            w("xnor", 1, kInner),                               {},                                 {},          {},
      "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279), binary weights alone");
  row("xnor_net",       w("xnor", 1, kInner),                               a("sign", 1),                       {},          {},
      "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279)");
  row("bnn",            w("sign", 1, kAll, "clip"),                         a("sign", 1),                       {},          {},
      "Courbariaux, Hubara, Soudry, El-Yaniv, Bengio: Binarized neural networks, NIPS 2016 (1602.02830)");
  row("bop",            w("sign", 1, kAll),                                 a("sign", 1),                       {},          kBop,
      "Helwegen, Widdicombe, Geiger, Liu, Cheng, Nusselder: Latent weights do not exist, NeurIPS 2019 (1906.02107)");
  row("dorefa",         w("dorefa", 1, kInner),                             bounded_last("dorefa", 2),          {"dorefa", 6}, {},
      "Zhou, Wu, Ni, Zhou, Wen, Zou: DoReFa-Net, 2016 (1606.06160)", {{1, 1}, {1, 4}, {8, 8}});
  row("telcnn",         w("dorefa", 2, kInner),                             bounded_last("dorefa", 2),          {},          kTelcnn,
      "Zhuang, Shen, Tan, Liu, Reid: Towards effective low-bitwidth CNNs, CVPR 2018 (1711.00205)", {{4, 4}});
  row("pact",           w("dorefa", 4, kInner),                             a("pact", 4),                       {},          {},
      "Choi, Wang, Venkataramani, Chuang, Srinivasan, Gopalakrishnan: PACT, 2018 (1805.06085)", {{2, 2}, {3, 3}, {5, 5}});
  row("lsq",            w("lsq", 2, kInner),                                a("lsq", 2),                        {},          {},
      "Esser, McKinstry, Bablani, Appuswamy, Modha: LSQ, ICLR 2020 (1902.08153)", {{3, 3}, {4, 4}});
  row("statquant",      w("minmax", 8, kAll),                               a("minmax", 8),                     {"bhq", 5}, {},
      "Chen, Gai, Yao, Mahoney, Gonzalez: A statistical framework for low-bitwidth training, NeurIPS 2020 (2010.14298)");
  row("lbw_net",        w("power_of_two", 4, kAll),                         {},                                 {},          {},
      "Yin, Zhang, Qi, Xin: LBW-Net, 2016 (1612.06052)", {{2, 0}, {3, 0}, {5, 0}, {6, 0}});
  return all;
}
// clang-format on

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

std::unique_ptr<GradientRule> make_gradient_rule(const GradientParts& parts, nn::Module& net,
                                                 const Rng& rng) {
  if (parts.bits == 0) return nullptr;
  return std::make_unique<GradientRule>(net,
                                        parts.quantizer == "dorefa"
                                            ? dorefa_gradients(parts.bits)
                                            : bifurcated_gradients(parts.quantizer, parts.bits),
                                        rng);
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
