#include "quant/method.h"

#include "core/base/registry.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/mix.h"
#include "quant/activations/uniform.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/layers.h"
#include "quant/weights/dorefa.h"
#include "quant/weights/fixed_levels.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "quant/weights/update.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// clang-format off
std::deque<std::pair<std::string, Method>> shipped() {
  std::deque<std::pair<std::string, Method>> all;
  using Lines = std::vector<std::string>;
  const Lines kAll{}, kNotLast{"last: weights=float"}, kInner{"first: weights=float", "last: weights=float"},
      kDorefa{"first: float", "last: float"},
      kEightBits{"first: weights.bits=8", "last: weights.bits=8 activations.bits=8"};
  const auto add = [&all](Method m) { std::string name = m.name; all.emplace_back(std::move(name), std::move(m)); };
  add({.name = "float",
       .paper = "no quantization"});
  add({.name = "ste", .activations = {"uniform", UniformOptions{.bits = 2}},
       .paper = "Yin, Lyu, Zhang, Osher, Qi, Xin: Understanding straight-through estimator, ICLR 2019 (1903.05662)", .bits = {{0, 4}}});
  add({.name = "binary_connect", .weights = {"sign"}, .relaxation = {"clip"}, .layers = kAll,
       .paper = "Courbariaux, Bengio, David: BinaryConnect, NIPS 2015 (1511.00363)"});
  add({.name = "bcgd", .weights = {"exact"}, .relaxation = {"blend"}, .activations = {"trained"}, .layers = kNotLast,
       .paper = "Yin, Zhang, Lyu, Osher, Qi, Xin: Blended coarse gradient descent, 2018 (1808.05240)", .bits = {{2, 4}, {4, 4}, {0, 4}}});
  add({.name = "binary_relax", .weights = {"exact"}, .relaxation = {"relax"}, .layers = kNotLast, .epochs = 200,
       .paper = "Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, SIIMS 2018 (1801.06313)", .bits = {{2, 0}}});
  add({.name = "prox_quant", .weights = {"sign"}, .relaxation = {"prox"}, .layers = kNotLast, .epochs = 300,
       .paper = "Bai, Wang, Liberty: ProxQuant, ICLR 2019 (1810.00861)"});
  add({.name = "twn", .weights = {"twn"}, .layers = kNotLast,
       .paper = "Li, Zhang, Liu: Ternary weight networks, 2016 (1605.04711)"});
  add({.name = "bwn", .weights = {"xnor"}, .layers = kInner,
       .paper = "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279), binary weights alone"});
  add({.name = "xnor_net", .weights = {"xnor"}, .activations = {"sign"}, .layers = kInner,
       .paper = "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279)"});
  add({.name = "bnn", .weights = {"sign"}, .relaxation = {"clip"}, .activations = {"sign"}, .layers = kAll,
       .paper = "Courbariaux, Hubara, Soudry, El-Yaniv, Bengio: Binarized neural networks, NIPS 2016 (1602.02830)"});
  add({.name = "bop", .weights = {"sign"}, .activations = {"sign"}, .update = {"bop"}, .layers = kAll, .optimizer = "adam",
       .paper = "Helwegen, Widdicombe, Geiger, Liu, Cheng, Nusselder: Latent weights do not exist, NeurIPS 2019 (1906.02107)"});
  add({.name = "dorefa", .weights = {"dorefa", DorefaWeightOptions{.bits = 1}}, .activations = {"dorefa"}, .gradients = {"dorefa"}, .layers = kDorefa,
       .paper = "Zhou, Wu, Ni, Zhou, Wen, Zou: DoReFa-Net, 2016 (1606.06160)", .bits = {{1, 1}, {1, 4}, {8, 8}}});
  add({.name = "telcnn", .weights = {"dorefa"}, .activations = {"dorefa"}, .layers = kDorefa,
       .two_stage = true, .progressive = {32, 16, 8, 4}, .guidance = {},
       .paper = "Zhuang, Shen, Tan, Liu, Reid: Towards effective low-bitwidth CNNs, CVPR 2018 (1711.00205)", .bits = {{4, 4}}});
  add({.name = "pact", .weights = {"dorefa", DorefaWeightOptions{.bits = 4}}, .activations = {"pact"}, .layers = kInner,
       .paper = "Choi, Wang, Venkataramani, Chuang, Srinivasan, Gopalakrishnan: PACT, 2018 (1805.06085)", .bits = {{2, 2}, {3, 3}, {5, 5}}});
  add({.name = "lsq", .weights = {"lsq"}, .activations = {"lsq", LearnedStepOptions{.bits = 2}}, .layers = kEightBits,
       .paper = "Esser, McKinstry, Bablani, Appuswamy, Modha: LSQ, ICLR 2020 (1902.08153)", .bits = {{3, 3}, {4, 4}}});
  add({.name = "statquant", .weights = {"minmax"}, .activations = {"minmax"}, .gradients = {"bhq"}, .layers = kAll,
       .paper = "Chen, Gai, Yao, Mahoney, Gonzalez: A statistical framework for low-bitwidth training, NeurIPS 2020 (2010.14298)"});
  add({.name = "lbw_net", .weights = {"power_of_two"}, .layers = kAll,
       .paper = "Yin, Zhang, Qi, Xin: LBW-Net, 2016 (1612.06052)", .bits = {{2, 0}, {3, 0}, {5, 0}, {6, 0}}});
  add({.name = "aqe", .weights = {"fixed_levels", FixedLevelsOptions{.bits = 1}}, .relaxation = {"mix"}, .activations = {"mix"}, .layers = kAll,
       .paper = "Chen, Liu, Zhang, Hou, Yang: asymptotic-quantized estimator, JSTSP 2020 (2003.04296)", .bits = {{2, 2}, {3, 2}, {3, 3}}});
  return all;
}
// clang-format on

// Parts as nobody sets them have their options from here on.
Method completed(Method m) {
  m.weights = weight_projections().complete(m.weights);
  m.relaxation = relaxations().complete(m.relaxation);
  m.activations = activations().complete(m.activations);
  m.gradients = gradient_rules().complete(m.gradients);
  m.update = weight_updates().complete(m.update);
  return m;
}

Registry<Method>& registry() {
  static Registry<Method> all("method", [] {
    auto rows = shipped();
    for (auto& [name, method] : rows) method = completed(std::move(method));
    return rows;
  }());
  return all;
}

int bits_of(const Part& part, const PartCatalogue& parts) {
  const AnyOptions options = parts.complete(part).options;
  return options.has("bits") ? std::get<int>(options.get("bits")) : 0;
}

Part with_bits(Part part, const PartCatalogue& parts, int bits, const char* none) {
  if (bits == 0) return bits_of(part, parts) > 0 ? Part{none} : part;
  part = parts.complete(part);
  try {
    part.options.set("bits", bits);
  } catch (const UsageError& e) {
    throw UsageError(cat(part.name, ": ", e.what()));
  }
  return part;
}

}  // namespace

TrainingStage target(const Method& m) {
  return {bits_of(m.weights, weight_projections()), bits_of(m.activations, activations())};
}

Method with_bits(Method m, const TrainingStage& bits) {
  m.weights = with_bits(m.weights, weight_projections(), bits.weight_bits, "none");
  m.activations = with_bits(m.activations, activations(), bits.activation_bits, "relu");
  m.two_stage = false;
  m.progressive.clear();
  return m;
}

std::vector<TrainingStage> stages(const Method& m) { return coarsegrad::stages(target(m), m.progressive, m.two_stage); }

void check_parts(const Method& m) {
  weight_projections().make(m.weights);
  relaxations().make(m.relaxation);
  make_activation(m.activations);
  gradient_rules().make(m.gradients);
  weight_updates().make(m.update);
  const LayerExceptions all(m.layers);
}

std::string words(const Part& part, const PartCatalogue& parts) {
  if (part.name == "none" || part.name == "relu") return "float";
  const AnyOptions options = parts.complete(part).options;
  const AnyOptions standard = parts.part(part.name).options;
  std::string text = part.name;
  if (const int bits = bits_of(part, parts); bits > 0) text += cat(", ", bits, bits == 1 ? " bit" : " bits");
  for (const OptionField& field : options.fields())
    if (field.text.name != "bits" && field.value != standard.get(field.text.name))
      text += cat(", ", field.text.name, ' ', shown(field.value));
  return text;
}

std::string layers_in_words(const Method& m) {
  const bool all_float = m.weights.name == "none" && m.activations.name == "relu" && m.gradients.name == "none";
  std::string text;
  for (std::size_t i = 0; !all_float && i < m.layers.size(); ++i) text += cat(i == 0 ? "; layers " : ", ", m.layers[i]);
  return text;
}

std::string words(const Method& m) {
  std::string text = cat("weights ", words(m.weights, weight_projections()));
  if (m.weights.name != "none")
    text +=
        m.relaxation.name == "none" ? ", straight through" : cat(", relaxed by ", words(m.relaxation, relaxations()));
  if (m.update.name != "same") text += cat(", moved by ", words(m.update, weight_updates()));
  text += cat("; activations ", words(m.activations, activations()));
  text += cat("; gradients ", words(m.gradients, gradient_rules()));
  text += layers_in_words(m);
  const auto all = stages(m);
  for (std::size_t i = 0; all.size() > 1 && i < all.size(); ++i)
    text += cat(i == 0 ? "; in stages of " : ", ", all[i].weight_bits, "/", all[i].activation_bits);
  if (all.size() > 1) text += " bits of weights/activations, 0: float";
  return m.guidance.guide == "none" ? text : cat(text, "; beside a float partner by ", m.guidance.guide);
}

const Method& method(std::string_view name) { return registry().find(name); }

std::vector<std::string> method_names() { return registry().names(); }

void register_method(Method m) {
  check_parts(m);
  m = completed(std::move(m));
  std::string name = m.name;
  registry().add(std::move(name), std::move(m));
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
