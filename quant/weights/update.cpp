#include "quant/weights/update.h"

#include <utility>

#include "optim/bop.h"
#include "optim/joint.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

std::unique_ptr<optim::Optimizer> bop(const BopUpdateOptions& o, WeightRule* rule, std::vector<Parameter*> parameters,
                                      const MakeOptimizer& rest) {
  check_usage(rule != nullptr, "bop: given float weights, expected binary ones");
  std::vector<Parameter*> binary;
  for (const WeightRule::Entry& entry : rule->weights()) {
    check_usage(entry.projection->bits() == 1, "bop: given ", entry.projection->bits(), "-bit weights, expected 1");
    binary.push_back(entry.weight);
    std::erase(parameters, entry.weight);
  }
  auto others = rest(std::move(parameters));
  const double lr = others->lr;
  check_usage(lr > 0, "bop: given a learning rate of ", lr, ", expected more than 0");
  for (const WeightRule::Entry& entry : rule->weights()) {
    entry.weight->value = entry.projection->project(entry.weight->value);
    entry.weight->rate_factor = o.rate / lr;
  }
  std::vector<std::unique_ptr<optim::Optimizer>> rules;
  rules.push_back(std::make_unique<optim::Bop>(binary, optim::BopOptions{.lr = lr, .threshold = o.threshold}));
  rules.push_back(std::move(others));
  return std::make_unique<optim::Joint>(std::move(rules));
}

void add_shipped(PartRegistry<WeightUpdate>& all) {
  all.add("same", "", []() -> WeightUpdate {
    return [](WeightRule*, std::vector<Parameter*> parameters, const MakeOptimizer& rest) {
      return rest(std::move(parameters));
    };
  });
  all.add("bop", "Helwegen, Widdicombe, Geiger, Liu, Cheng, Nusselder: NeurIPS 2019 (1906.02107)", BopUpdateOptions{},
          [](const BopUpdateOptions& o) -> WeightUpdate {
            return [o](WeightRule* rule, std::vector<Parameter*> parameters, const MakeOptimizer& rest) {
              return bop(o, rule, std::move(parameters), rest);
            };
          });
}

}  // namespace

void describe(OptionVisitor& v, BopUpdateOptions& o) {
  v.number({"rate", "1", "adaptivity rate of Bop, scheduled as the learning rate is"}, o.rate, {0, 1});
  v.number({"threshold", "1", "mean gradient above which Bop may flip a weight"}, o.threshold, {0, 1});
}

PartRegistry<WeightUpdate>& weight_updates() {
  static PartRegistry<WeightUpdate> all("update", add_shipped);
  return all;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
