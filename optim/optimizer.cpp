#include "optim/optimizer.h"

#include <algorithm>
#include <set>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

Optimizer::Optimizer(double rate) : lr(rate) {
  check(lr >= 0, "optimizer: given a learning rate of ", lr, ", expected >= 0");
}

UpdateRule::UpdateRule(std::vector<Parameter*> parameters, double rate)
    : Optimizer(rate), parameters_(std::move(parameters)), steps_(parameters_.size()) {
  const std::set<Parameter*> distinct(parameters_.begin(), parameters_.end());
  check(distinct.size() == parameters_.size() && !distinct.contains(nullptr),
        "optimizer: given a parameter that is null or there twice");
}

void UpdateRule::zero_grad() {
  for (Parameter* p : parameters_) p->zero_grad();
}

void UpdateRule::step() {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    Parameter& p = *parameters_[i];
    if (!p.grad().defined()) continue;
    ++steps_[i];
    update(i, p, lr * p.rate_factor);
    if (p.bounds)
      for (Real& v : p.value.mut()) v = std::clamp(v, p.bounds->lower, p.bounds->upper);
  }
}

std::size_t UpdateRule::add_slot(std::string name) {
  slots_.emplace_back(std::move(name), std::vector<Tensor>(parameters_.size()));
  return slots_.size() - 1;
}

OptimizerState UpdateRule::state() const {
  OptimizerState s{{}, steps_, lr};
  for (const auto& [name, tensors] : slots_)
    for (std::size_t i = 0; i < tensors.size(); ++i) s.tensors.emplace_back(cat(name, ".", i), tensors[i]);
  return s;
}

void UpdateRule::load_state(const OptimizerState& s) {
  const OptimizerState own = state();
  check(s.lr >= 0, "load_state: given a learning rate of ", s.lr, ", expected >= 0");
  check(s.steps.size() == steps_.size() &&
            std::all_of(s.steps.begin(), s.steps.end(), [](auto n) { return n >= 0; }),
        "load_state: given ", s.steps.size(), " step counts, expected ", steps_.size(), ", none negative");
  check(s.tensors.size() == own.tensors.size(), "load_state: given ", s.tensors.size(), " tensors, expected ",
        own.tensors.size());
  for (std::size_t k = 0; k < own.tensors.size(); ++k) {
    const auto& [name, value] = s.tensors[k];
    check(name == own.tensors[k].first, "load_state: given ", in_quotes(name), ", expected '",
          own.tensors[k].first, "'");
    const Shape& wanted = parameters_[k % parameters_.size()]->value.shape();
    check(!value.defined() || value.shape() == wanted, "load_state: given '", name, "' of shape ",
          value.shape(), ", expected ", wanted);
  }
  for (std::size_t k = 0; k < own.tensors.size(); ++k)
    slots_[k / parameters_.size()].second[k % parameters_.size()] = s.tensors[k].second;
  steps_ = s.steps;
  lr = s.lr;
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
