#include "quant/weights/weight_rule.h"

#include <map>

#include "core/base/check.h"
#include "core/deferred.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// In the place of a weight that nobody has made: whoever reads it is told so.
class NotMade : public Deferred {
 public:
  void read(std::int64_t, std::int64_t, Real*) const override {
    throw Error(
        "weight rule: given a forward pass with weights that were not made, expected zero_grad() of the "
        "QuantizedOptimizer before each forward pass of a training, and an EvaluationScope around others");
  }
};

Tensor not_made(const Shape& shape) {
  static const auto source = std::make_shared<const NotMade>();
  return Tensor::deferred(shape, source);
}

}  // namespace

WeightRule::WeightRule(nn::Module& net, const MakeWeightProjection& make, std::unique_ptr<Relaxation> relaxation)
    : relaxation_(std::move(relaxation)) {
  std::map<const Parameter*, std::string> names;
  for (const auto& [name, parameter] : net.named_parameters()) names[parameter] = name;
  std::vector<LayerPlace> layers;
  std::vector<Parameter*> weights;
  for (const auto& [name, module] : net.named_modules())
    if (Parameter* weight = module->weight_parameter()) {
      layers.push_back({name, weights.empty()});
      weights.push_back(weight);
    }
  if (!layers.empty()) layers.back().last = true;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (auto projection = make(layers[i]))
      weights_.push_back({names.at(weights[i]), weights[i], std::move(projection)});
  for (const Entry& e : weights_)
    check(!e.weight->effective.defined(), "weight rule: given '", e.name, "', which is under another rule already");
  for (const Entry& e : weights_) e.projection->begin(e.weight->value);
  forget();
}

WeightRule::WeightRule(nn::Module& net, const Part& projection, const Part& relaxation,
                       const LayerExceptions& exceptions)
    : WeightRule(
          net, [&](const LayerPlace& layer) { return weight_projection(exceptions.weights(projection, layer)); },
          quant::relaxation(relaxation)) {}

WeightRule::~WeightRule() {
  for (const Entry& e : weights_) e.weight->effective = Tensor();
}

void WeightRule::make(const std::function<Tensor(const Entry& entry)>& maker) {
  for (const Entry& e : weights_) {
    e.weight->effective = Tensor();  // its memory serves the next one
    e.weight->effective = maker(e);
  }
}

void WeightRule::forget() {
  for (const Entry& e : weights_) e.weight->effective = not_made(e.weight->value.shape());
  projected_ = false;
}

void WeightRule::project() {
  make([this](const Entry& e) { return relaxation_->effective(*e.projection, e.weight->value); });
  projected_ = true;
}

void WeightRule::deploy() {
  make([](const Entry& e) { return e.projection->project(e.weight->value); });
  projected_ = false;
}

std::vector<Tensor> WeightRule::relaxed() {
  const State before = state();
  std::vector<Tensor> all;
  for (const Entry& e : weights_) all.push_back(relaxation_->effective(*e.projection, e.weight->value));
  load_state(before);
  return all;
}

WeightRule::Made WeightRule::made() {
  Made now{{}, state(), projected_};
  for (const Entry& e : weights_) now.effective.push_back(e.weight->effective);
  return now;
}

void WeightRule::bring_back(const Made& made) {
  for (std::size_t i = 0; i < weights_.size(); ++i) weights_[i].weight->effective = made.effective[i];
  load_state(made.projections);
  projected_ = made.projected;
}

void WeightRule::pull_gradients_back() {
  for (const Entry& e : weights_) {
    if (!e.weight->grad().defined()) continue;
    ProjectionGradient g = relaxation_->gradient(*e.projection, e.weight->value, e.weight->grad());
    const std::vector<Parameter*> own = e.projection->parameters();
    check(g.parameters.empty() || g.parameters.size() == own.size(), "weight rule: given gradients of ",
          g.parameters.size(), " parameters of ", e.projection->name(), ", expected ", own.size());
    e.weight->set_grad(std::move(g.weight));
    for (std::size_t i = 0; i < g.parameters.size(); ++i) own[i]->set_grad(std::move(g.parameters[i]));
  }
}

void WeightRule::before_step() {
  for (const Entry& e : weights_) relaxation_->before_step(e.weight->effective, e.weight->value);
}

void WeightRule::after_step(double rate) {
  for (const Entry& e : weights_) relaxation_->after_step(*e.projection, rate * e.weight->rate_factor, e.weight->value);
  forget();
}

std::vector<std::pair<std::string, Parameter*>> WeightRule::named_parameters() {
  std::vector<std::pair<std::string, Parameter*>> all;
  for (const Entry& e : weights_)
    for (const auto& [name, p] : e.projection->named_parameters()) all.emplace_back(cat(e.name, ".", name), p);
  return all;
}

std::vector<Parameter*> WeightRule::parameters() {
  std::vector<Parameter*> all;
  for (const auto& [name, p] : named_parameters()) all.push_back(p);
  return all;
}

nn::StateDict WeightRule::state_dict() { return state().tensors; }

void WeightRule::load_state_dict(const nn::StateDict& tensors) {
  State whole = state();
  whole.tensors = tensors;
  load_state(whole);
}

State WeightRule::state() {
  State all;
  for (const Entry& e : weights_) all.add(e.name, e.projection->state());
  return all;
}

void WeightRule::load_state(const State& given) {
  std::size_t taken = 0;
  for (const Entry& e : weights_) {
    const State own = given.part(e.name);
    taken += own.size();
    try {
      e.projection->load_state(own);
    } catch (const Error& error) {
      throw Error(cat(e.name, ": ", error.what()));
    }
  }
  check(taken == given.size(), "weight rule: given ", given.size(), " entries, of which ", taken,
        " belong to its weights");
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
