#include "optim/optimizer.h"

#include <algorithm>
#include <functional>
#include <set>

#include "core/base/check.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

namespace {

void check_rate(const char* where, double rate) {
  check(in_range(rate, 0), where, ": given a learning rate of ", rate, ", expected a finite one >= 0");
}

// Checks one parameter before anything moves.
void check_settings(const Parameter& p, double lr) {
  check(in_range(lr * p.rate_factor, 0), "optimizer: given a learning rate of ", lr, " and a factor of ", p.rate_factor,
        ", expected a finite product >= 0");
  check(!p.bounds || p.bounds->lower <= p.bounds->upper, "optimizer: given the bounds ", p.bounds ? p.bounds->lower : 0,
        " and ", p.bounds ? p.bounds->upper : 0, ", expected lower <= upper");
}

}  // namespace

Optimizer::Optimizer(double rate) : lr(rate) { check_rate("optimizer", lr); }

void Optimizer::zero_grad() {
  for (Parameter* p : parameters()) p->zero_grad();
}

UpdateRule::UpdateRule(std::vector<Parameter*> parameters, double rate)
    : Optimizer(rate), parameters_(std::move(parameters)), steps_(parameters_.size()) {
  const std::set<Parameter*> distinct(parameters_.begin(), parameters_.end());
  check(distinct.size() == parameters_.size() && !distinct.contains(nullptr),
        "optimizer: given a parameter that is null or there twice");
}

void UpdateRule::check_step() {
  check_rate("optimizer", lr);
  for (const Parameter* p : parameters_) check_settings(*p, lr);
  const auto has_gradient = [](const Parameter* p) { return p->grad().defined(); };
  check(parameters_.empty() || std::ranges::any_of(parameters_, has_gradient) ||
            std::ranges::any_of(steps_, std::identity()),
        "optimizer: given a first step without gradients, expected backward() before step()");
}

void UpdateRule::step() {
  check_step();
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

State UpdateRule::state() const {
  State s{{}, {{"steps", steps_}}, {{"lr", {lr}}}, {}};
  for (const auto& [name, tensors] : slots_)
    for (std::size_t i = 0; i < tensors.size(); ++i) s.tensors.emplace_back(cat(name, ".", i), tensors[i]);
  return s;
}

void UpdateRule::load_state(const State& s) {
  s.expect_entries_of(state());
  const auto& steps = s.counts_of("steps");
  const double rate = s.number("lr");
  check_rate("load_state", rate);
  check(steps.size() == steps_.size(), "load_state: given ", steps.size(), " step counts, expected ", steps_.size());
  for (std::size_t k = 0; k < s.tensors.size(); ++k) {
    const auto& [name, value] = s.tensors[k];
    const Shape& wanted = parameters_[k % parameters_.size()]->value.shape();
    check(!value.defined() || value.shape() == wanted, "load_state: given '", name, "' of shape ", value.shape(),
          ", expected ", wanted);
  }
  for (std::size_t k = 0; k < s.tensors.size(); ++k)
    slots_[k / parameters_.size()].second[k % parameters_.size()] = s.tensors[k].second;
  steps_ = steps;
  lr = rate;
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
