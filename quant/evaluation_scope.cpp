#include "quant/evaluation_scope.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

EvaluationScope::EvaluationScope(nn::Module& net, WeightRule* rule) : rule_(rule) {
  for (const auto& [name, module] : net.named_modules()) training_.emplace_back(module, module->training());
  if (rule_) {
    made_ = rule_->made();
    rule_->deploy();
  }
  net.eval();
}

EvaluationScope::~EvaluationScope() {  // NOLINT(bugprone-exception-escape): the state is the rule's own
  for (const auto& [module, training] : training_) module->train(training);  // those below it come later
  if (rule_) rule_->bring_back(made_);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
