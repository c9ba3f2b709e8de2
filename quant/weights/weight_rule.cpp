#include "quant/weights/weight_rule.h"

#include "core/base/check.h"
#include "nn/layers.h"
#include "quant/weights/layer_choice.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

WeightRule::WeightRule(nn::Module& net, const MakeWeightProjection& make,
                       std::unique_ptr<Relaxation> relaxation, const WeightRuleOptions& options)
    : relaxation_(std::move(relaxation)) {
  for (const auto& [name, module] : net.named_modules())
    if (Parameter* weight = nn::weight_of(*module))
      weights_.push_back({cat(name, name.empty() ? "" : ".", "weight"), weight, nullptr});
  drop_ends(weights_, options.quantize_first, options.quantize_last);
  for (Entry& e : weights_) {
    e.projection = make(e.name);
    e.projection->begin(e.weight->value);
  }
}

WeightRule::WeightRule(nn::Module& net, const MakeWeightProjection& make, const WeightRuleOptions& options)
    : WeightRule(net, make, quant::relaxation("none"), options) {}

void WeightRule::project() {
  for (const Entry& e : weights_) {
    e.weight->used = Tensor();  // its memory serves the next one
    e.weight->used = relaxation_->used(*e.projection, e.weight->value);
  }
  projected_ = true;
}

void WeightRule::deploy() {
  for (const Entry& e : weights_) {
    e.weight->used = Tensor();
    e.weight->used = e.projection->project(e.weight->value);
  }
  projected_ = false;
}

void WeightRule::before_step() {
  check(std::exchange(projected_, false),
        "weight rule: given a step without project() since the one before, expected project() before each "
        "forward pass of the training");
  for (const Entry& e : weights_)
    for (const auto& [name, p] : e.projection->named_parameters())
      check(!p->grad().defined(), "weight rule: given a gradient of an earlier step in ", e.name, ".", name,
            ", expected the optimizer to have the rule's parameters() and to clear them");
  for (const Entry& e : weights_) {
    if (e.weight->grad().defined())
      e.weight->set_grad(relaxation_->gradient(*e.projection, e.weight->value, e.weight->grad()));
    relaxation_->before_step(e.weight->used, e.weight->value);
  }
}

void WeightRule::after_step(double rate) {
  for (const Entry& e : weights_)
    relaxation_->after_step(*e.projection, rate * e.weight->rate_factor, e.weight->value);
}

void WeightRule::release() {
  for (const Entry& e : weights_) e.weight->used = Tensor();
  projected_ = false;
}

std::vector<Parameter*> WeightRule::parameters() {
  std::vector<Parameter*> all;
  for (const Entry& e : weights_)
    for (Parameter* p : e.projection->parameters()) all.push_back(p);
  return all;
}

nn::StateDict WeightRule::state_dict() {
  nn::StateDict all;
  for (const Entry& e : weights_)
    for (auto& [name, value] : e.projection->state_dict()) all.emplace_back(cat(e.name, ".", name), value);
  return all;
}

void WeightRule::load_state_dict(const nn::StateDict& state) {
  std::size_t taken = 0;
  for (const Entry& e : weights_) {
    const std::string prefix = cat(e.name, ".");
    nn::StateDict own;
    for (const auto& [name, value] : state)
      if (name.starts_with(prefix)) own.emplace_back(name.substr(prefix.size()), value);
    taken += own.size();
    try {
      e.projection->load_state_dict(own);
    } catch (const Error& error) {
      throw Error(cat(e.name, ": ", error.what()));
    }
  }
  check(taken == state.size(), "weight rule: given ", state.size(), " entries, of which ", taken,
        " belong to its weights");
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
