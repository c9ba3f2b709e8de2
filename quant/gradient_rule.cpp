#include "quant/gradient_rule.h"

#include "core/base/check.h"
#include "nn/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Quantizes with numbers of its own in each step, and within a step in each call.
class Draws {
 public:
  explicit Draws(const Rng& rng) : rng_(rng), step_(rng.split(std::uint64_t{0})) {}
  void set_step(std::uint64_t step) {
    step_ = rng_.split(step);
    calls_ = 0;
  }
  Tensor quantize(const GradientQuantizer& quantizer, const Tensor& g) {
    return quantizer.quantize(g, step_.split(calls_++));
  }

 private:
  Rng rng_, step_;
  std::uint64_t calls_ = 0;
};

}  // namespace

struct GradientRule::Layer {
  std::string name;
  OutputGradientMap* map;
  // Shared with the maps: a history may outlive the rule.
  std::shared_ptr<Draws> input, weight;
};

GradientRuleOptions dorefa_gradients(int bits) {
  return {gradient_quantizer("dorefa", {.bits = bits}), nullptr, false, false};
}

GradientRuleOptions bifurcated_gradients(std::string_view name, int bits) {
  return {gradient_quantizer(name, {.bits = bits}), gradient_quantizer("ptq", {.bits = 8}), true, true};
}

GradientRule::GradientRule(nn::Module& net, GradientRuleOptions options, const Rng& rng)
    : options_(std::move(options)) {
  check(options_.input != nullptr, "gradient rule: given no quantizer, expected one for the input");
  for (const auto& [name, module] : net.named_modules())
    if (OutputGradientMap* map = nn::gradient_map_of(*module))
      layers_.push_back({name, map, std::make_shared<Draws>(rng.split(name).split("input")),
                         std::make_shared<Draws>(rng.split(name).split("weight"))});
  if (!options_.quantize_last && !layers_.empty()) layers_.pop_back();
  if (!options_.quantize_first && !layers_.empty()) layers_.erase(layers_.begin());
  for (const Layer& layer : layers_)
    check(!layer.map->for_input && !layer.map->for_weight, "gradient rule: ", layer.name,
          " has a gradient map already");
  for (const Layer& layer : layers_) {
    const auto quantized = [](const auto& quantizer, const auto& draws) {
      return [quantizer, draws](const Tensor& g) { return draws->quantize(*quantizer, g); };
    };
    layer.map->for_input = quantized(options_.input, layer.input);
    if (options_.weight) layer.map->for_weight = quantized(options_.weight, layer.weight);
  }
}

GradientRule::~GradientRule() {
  for (const Layer& layer : layers_) *layer.map = {};
}

void GradientRule::set_step(std::int64_t step) {
  for (const Layer& layer : layers_)
    for (const auto& draws : {layer.input, layer.weight}) draws->set_step(static_cast<std::uint64_t>(step));
}

std::vector<std::string> GradientRule::layers() const {
  std::vector<std::string> names;
  for (const Layer& layer : layers_) names.push_back(layer.name);
  return names;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
