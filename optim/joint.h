#pragma once
// Several update rules as one optimizer.
#include <memory>

#include "optim/optimizer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// Several update rules, each over parameters of its own, as one optimizer: Bop for the binary weights and Adam for all
/// others, say. They share the learning rate and so its schedule; Parameter::rate_factor sets the parameters of one
/// update rule apart (gamma / lr for Bop).
class Joint : public Optimizer {
 public:
  /// Throws Error when there are no update rules or their rates differ. No two may move the same parameter.
  explicit Joint(std::vector<std::unique_ptr<Optimizer>> rules);

  std::vector<Parameter*> parameters() const override;
  void step() override;
  void check_step() override;
  /// An entry's name is the number of its update rule, a dot, and its name in the state of that: "1.mean.0".
  State state() const override;
  void load_state(const State& state) override;

 private:
  std::vector<std::unique_ptr<Optimizer>> rules_;
};

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
