#include "quant/gradients/gradient_rule.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Quantizes the gradients of one layer with numbers of its own in each step, and within a step in each call.
class Draws {
 public:
  Draws(const Rng& layer, const GradientRuleOptions& options)
      : quantizers_{options.input, options.weight}, streams_{layer.split("input"), layer.split("weight")} {
    set_step(0);
  }

  void set_step(std::uint64_t step) {
    for (int i = 0; i < 2; ++i) {
      step_[i] = streams_[i].split(step);
      calls_[i] = 0;
    }
    measured_ = Tensor();
  }

  /// Calls within the step.
  std::vector<std::uint64_t> calls() const { return {calls_[0], calls_[1]}; }
  void set_calls(const std::vector<std::uint64_t>& calls) { std::ranges::copy(calls, calls_); }

  // If the weight's product follows, it need not look for the ranges of the samples again.
  Tensor for_input(const Tensor& g) {
    known_.clear();
    if (quantizers_[1]) measured_ = g;
    return draw(0, g);
  }
  Tensor for_weight(const Tensor& g) {
    if (!measured_.defined() || measured_.data() != g.data()) known_.clear();
    measured_ = Tensor();
    return draw(1, g);
  }

 private:
  Tensor draw(int which, const Tensor& g) {
    return quantizers_[which]->quantize_with(known_, g, step_[which].split(calls_[which]++));
  }

  std::shared_ptr<const GradientQuantizer> quantizers_[2];
  Rng streams_[2], step_[2];
  std::uint64_t calls_[2] = {};
  Tensor measured_;  // what known_ is about
  SampleRanges known_;
};

OptionText bits_text() { return {"bits", "bit", "bits of a quantized gradient"}; }

GradientRuleOptions bifurcated(const char* name, const BifurcatedGradientOptions& o) {
  return {gradient_quantizer(name, {.bits = o.bits, .codes = o.integer}),
          gradient_quantizer("ptq", {.bits = o.weight_bits, .codes = o.integer})};
}

void add_shipped(PartRegistry<GradientRuleOptions>& all) {
  all.add("none", "", [] { return GradientRuleOptions{}; });
  all.add("dorefa", "Zhou, Wu, Ni, Zhou, Wen, Zou: DoReFa-Net, 2016 (1606.06160), section 2.5", DorefaGradientOptions{},
          [](const DorefaGradientOptions& o) {
            return GradientRuleOptions{gradient_quantizer("dorefa", {.bits = o.bits}), nullptr};
          });
  constexpr const char* kStatQuant =
      "Chen, Gai, Yao, Mahoney, Gonzalez: StatQuant, NeurIPS 2020 (2010.14298), section 5";
  for (const char* name : {"ptq", "psq", "bhq"})
    all.add(name, kStatQuant, BifurcatedGradientOptions{},
            [name](const BifurcatedGradientOptions& o) { return bifurcated(name, o); });
}

}  // namespace

struct GradientRule::Layer {
  std::string name;
  OutputGradientMap* map;
  std::shared_ptr<Draws> draws;  // and of the maps: a history may outlive the rule
};

void describe(OptionVisitor& v, DorefaGradientOptions& o) { v.integer(bits_text(), o.bits, {1, 8}); }

void describe(OptionVisitor& v, BifurcatedGradientOptions& o) {
  v.integer(bits_text(), o.bits, {1, 8});
  v.integer({"weight-bits", "bit", "bits of the gradient behind the gradient of the weights"}, o.weight_bits, {1, 8});
  v.flag({"integer", "1", "multiply the codes of gradients, weights and activations as integers"}, o.integer);
}

PartRegistry<GradientRuleOptions>& gradient_rules() {
  static PartRegistry<GradientRuleOptions> all("gradients", add_shipped);
  return all;
}

GradientRule::GradientRule(nn::Module& net, GradientRuleOptions options, const Rng& rng,
                           const LayerExceptions& exceptions)
    : options_(std::move(options)) {
  check(options_.input != nullptr, "gradient rule: given no quantizer, expected one for the input");
  std::vector<LayerPlace> places;
  for (const auto& [name, module] : net.named_modules())
    if (OutputGradientMap* map = module->output_gradient_map()) {
      places.push_back({name, places.empty()});
      layers_.push_back({name, map, std::make_shared<Draws>(rng.split(name), options_)});
    }
  if (!places.empty()) places.back().last = true;
  std::erase_if(layers_, [&](const Layer& layer) {
    return !exceptions.gradients(*std::ranges::find(places, layer.name, &LayerPlace::name));
  });
  for (const Layer& layer : layers_)
    check(!layer.map->for_input && !layer.map->for_weight, "gradient rule: ", layer.name,
          " has a gradient map already");
  for (const Layer& layer : layers_) {
    layer.map->for_input = [draws = layer.draws](const Tensor& g) { return draws->for_input(g); };
    if (options_.weight)
      layer.map->for_weight = [draws = layer.draws](const Tensor& g) { return draws->for_weight(g); };
  }
}

GradientRule::~GradientRule() {
  for (const Layer& layer : layers_) *layer.map = {};
}

void GradientRule::set_step(std::int64_t step) {
  step_ = static_cast<std::uint64_t>(step);
  for (const Layer& layer : layers_) layer.draws->set_step(step_);
}

State GradientRule::state() const {
  State all;
  for (const Layer& layer : layers_) all.counts["calls." + layer.name] = layer.draws->calls();
  all.counts["step"] = {step_};
  return all;
}

void GradientRule::load_state(const State& given) {
  given.expect_entries_of(state());
  const auto calls_of = [&given](const Layer& layer) { return given.counts_of("calls." + layer.name); };
  for (const Layer& layer : layers_)
    check(calls_of(layer).size() == 2, "gradient rule: given ", calls_of(layer).size(), " numbers of calls for ",
          layer.name, ", expected 2");
  set_step(static_cast<std::int64_t>(given.count("step")));
  for (const Layer& layer : layers_) layer.draws->set_calls(calls_of(layer));
}

std::vector<std::string> GradientRule::layers() const {
  std::vector<std::string> names;
  for (const Layer& layer : layers_) names.push_back(layer.name);
  return names;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
