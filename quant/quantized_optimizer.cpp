#include "quant/quantized_optimizer.h"

#include <algorithm>
#include <limits>
#include <set>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

constexpr const char* kStep = "schedule.step";

// Weights that nobody moves are a mistake, and what a projection trains would have gradients that nobody clears.
void check_moved(const optim::Optimizer& inner, WeightRule& rule) {
  const std::vector<Parameter*> all = inner.parameters();
  const std::set<Parameter*> moved(all.begin(), all.end());
  const auto check_parameter = [&moved](const std::string& name, Parameter* p) {
    check(moved.contains(p), "quantized optimizer: given an optimizer that lacks ", name,
          ", expected one over the parameters of the network and of its weight rule");
  };
  for (const WeightRule::Entry& e : rule.weights()) check_parameter(e.name, e.weight);
  for (const auto& [name, p] : rule.named_parameters()) check_parameter(name, p);
}

}  // namespace

QuantizedOptimizer::QuantizedOptimizer(optim::Optimizer& inner, nn::Module& net, const QuantizedParts& parts,
                                       const TrainingLength& length)
    : Optimizer(inner.lr), inner_(inner), net_(net), parts_(parts), length_(length) {
  check(length.steps_per_epoch >= 1 && length.epochs >= 1, "quantized optimizer: given ", length.epochs, " epochs of ",
        length.steps_per_epoch, " steps, expected 1 or more of each");
  if (parts_.weights) check_moved(inner_, *parts_.weights);
}

void QuantizedOptimizer::advance(std::int64_t step) {
  const auto epochs = static_cast<double>(length_.epochs);
  const double epoch = static_cast<double>(step) / static_cast<double>(length_.steps_per_epoch);
  const Progress at{std::min(epoch, epochs), epochs};
  if (parts_.weights) parts_.weights->relaxation().advance(at);
  quant::advance(net_, at);
}

void QuantizedOptimizer::zero_grad() {
  inner_.zero_grad();
  collected_ = false;
  advance(steps_);
  if (parts_.weights) parts_.weights->project();
  if (parts_.gradients) parts_.gradients->set_step(steps_);
}

void QuantizedOptimizer::collect_gradients() {
  if (parts_.weights && !collected_) parts_.weights->pull_gradients_back();
  collected_ = true;
}

void QuantizedOptimizer::check_step() {
  check(!parts_.weights || parts_.weights->projected_,
        "quantized optimizer: given a step without zero_grad() since the one before, expected it before each forward "
        "pass of the training");
  collect_gradients();
  inner_.lr = lr;
  inner_.check_step();
}

void QuantizedOptimizer::step() {
  check_step();
  if (parts_.weights) parts_.weights->before_step();
  inner_.step();
  if (parts_.weights) parts_.weights->after_step(lr);
  ++steps_;
}

State QuantizedOptimizer::state() const {
  State all = inner_.state();
  all.counts[kStep] = {static_cast<std::uint64_t>(steps_)};
  return all;
}

void QuantizedOptimizer::load_state(const State& state) {
  const std::uint64_t steps = state.count(kStep);
  check(steps <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()), "load_state: given ", steps,
        " steps, expected fewer");
  State inner = state;
  inner.counts.erase(kStep);
  inner_.load_state(inner);
  lr = inner_.lr;
  steps_ = static_cast<std::int64_t>(steps);
  if (steps_ > 0) advance(steps_ - 1);  // where the last step has left them
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
