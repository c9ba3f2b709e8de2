#include "optim/joint.h"

#include <algorithm>
#include <iterator>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {
namespace {

double common_rate(const std::vector<std::unique_ptr<Optimizer>>& rules) {
  check(!rules.empty(), "joint optimizer: given no update rules, expected at least one");
  for (const auto& rule : rules)
    check(rule->lr == rules.front()->lr, "joint optimizer: given learning rates of ", rules.front()->lr, " and ",
          rule->lr, ", expected the same");
  return rules.front()->lr;
}

}  // namespace

Joint::Joint(std::vector<std::unique_ptr<Optimizer>> rules) : Optimizer(common_rate(rules)), rules_(std::move(rules)) {}

std::vector<Parameter*> Joint::parameters() const {
  std::vector<Parameter*> all;
  for (const auto& rule : rules_) std::ranges::copy(rule->parameters(), std::back_inserter(all));
  return all;
}

void Joint::check_step() {
  for (const auto& rule : rules_) {
    rule->lr = lr;
    rule->check_step();
  }
}

void Joint::step() {
  check_step();
  for (const auto& rule : rules_) rule->step();
}

State Joint::state() const {
  State all;
  for (std::size_t i = 0; i < rules_.size(); ++i) {
    rules_[i]->lr = lr;  // which each of them gets with the next step anyway
    all.add(std::to_string(i), rules_[i]->state());
  }
  return all;
}

void Joint::load_state(const State& s) {
  const State before = state();
  s.expect_entries_of(before);
  const auto load = [this](const State& from) {
    for (std::size_t i = 0; i < rules_.size(); ++i) rules_[i]->load_state(from.part(std::to_string(i)));
    lr = common_rate(rules_);
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
