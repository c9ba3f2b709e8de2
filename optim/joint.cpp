#include "optim/joint.h"

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {
namespace {

double common_rate(const std::vector<std::unique_ptr<Optimizer>>& rules) {
  check(!rules.empty(), "joint optimizer: given no rules, expected at least one");
  for (const auto& rule : rules)
    check(rule->lr == rules.front()->lr, "joint optimizer: given learning rates of ", rules.front()->lr,
          " and ", rule->lr, ", expected the same");
  return rules.front()->lr;
}

}  // namespace

Joint::Joint(std::vector<std::unique_ptr<Optimizer>> rules)
    : Optimizer(common_rate(rules)), rules_(std::move(rules)) {}

void Joint::zero_grad() {
  for (const auto& rule : rules_) rule->zero_grad();
}

void Joint::step() {
  for (const auto& rule : rules_) {
    rule->lr = lr;
    rule->step();
  }
}

OptimizerState Joint::state() const {
  OptimizerState all{{}, {}, lr};
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    const OptimizerState part = rules_[i]->state();
    for (const auto& [name, value] : part.tensors) all.tensors.emplace_back(cat(i, ".", name), value);
    all.steps.insert(all.steps.end(), part.steps.begin(), part.steps.end());
  }
  return all;
}

void Joint::load_state(const OptimizerState& s) {
  const OptimizerState before = state();
  check(s.tensors.size() == before.tensors.size() && s.steps.size() == before.steps.size(),
        "load_state: given ", s.tensors.size(), " tensors and ", s.steps.size(), " step counts, expected ",
        before.tensors.size(), " and ", before.steps.size());
  for (std::size_t k = 0; k < s.tensors.size(); ++k)
    check(s.tensors[k].first == before.tensors[k].first, "load_state: given ", in_quotes(s.tensors[k].first),
          ", expected '", before.tensors[k].first, "'");
  const auto load = [&](const OptimizerState& from) {
    std::size_t tensor = 0, step = 0;
    for (const auto& rule : rules_) {
      OptimizerState part = rule->state();
      for (auto& [name, value] : part.tensors) value = from.tensors[tensor++].second;
      for (std::int64_t& count : part.steps) count = from.steps[step++];
      part.lr = from.lr;
      rule->load_state(part);
    }
    lr = from.lr;
  };
  try {
    load(s);
  } catch (...) {
    load(before);
    throw;
  }
}

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
