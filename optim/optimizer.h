#pragma once
// Optimizer and UpdateRule. Nothing here knows of quantization: a parameter brings its rate factor, its say in weight
// decay and its bounds.
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"
#include "core/state.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace optim {

/// What moves parameters along their gradients. An optimizer is not copied: two of them would move the same parameters.
class Optimizer {
 public:
  /// Throws Error unless the rate is finite as a Real and not negative.
  explicit Optimizer(double rate);

  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// The parameters that step() moves.
  virtual std::vector<Parameter*> parameters() const = 0;
  /// Clears the gradients of parameters(): call it before each forward pass whose gradients step() is to see.
  virtual void zero_grad();
  /// Moves every parameter that has a gradient, then clamps it to its bounds. Gradients stay as they are until
  /// zero_grad(). A parameter without a gradient is left alone with its state, as PyTorch does; but a first step in
  /// which none has one is refused with an Error: backward() was left out. Throws Error when lr, or its product with
  /// a rate_factor, is negative or not finite as a Real, and for bounds that are none; nothing moves then.
  virtual void step() = 0;
  /// Throws what step() would refuse, and moves nothing.
  virtual void check_step() = 0;

  double lr;  ///< learning rate; schedules set it before each step

  /// Everything that step() depends on besides the parameters: tensors ("momentum.3" is that of the fourth
  /// parameter, undefined before its first step), `steps`, the updates of each parameter so far, and `lr`.
  virtual State state() const = 0;
  /// Takes back what state() gave. Throws Error, naming the entry, and changes nothing, when the state is not one of
  /// this optimizer over these parameters.
  virtual void load_state(const State& state) = 0;
};

/// The loop over the parameters that all update rules share: one writes update() and names its state.
class UpdateRule : public Optimizer {
 public:
  /// The parameters must outlive the update rule. Throws Error when one is null or given twice.
  UpdateRule(std::vector<Parameter*> parameters, double rate);

  std::vector<Parameter*> parameters() const override { return parameters_; }
  void step() override;
  void check_step() override;
  State state() const override;
  void load_state(const State& state) override;

 protected:
  /// Adds a slot, which holds one tensor per parameter (a momentum buffer, say), and returns its number. Constructors
  /// call it.
  std::size_t add_slot(std::string name);
  /// The tensor of a slot for a parameter, both by number; undefined until update() makes it.
  Tensor& slot(std::size_t slot, std::size_t parameter) { return slots_[slot].second[parameter]; }
  /// Number of updates of this parameter so far, the present one included.
  std::uint64_t steps(std::size_t parameter) const { return steps_[parameter]; }
  /// The whole of an update rule: moves p.value, given the learning rate for this parameter. p.grad() is defined.
  virtual void update(std::size_t index, Parameter& p, double rate) = 0;

 private:
  std::vector<Parameter*> parameters_;
  std::vector<std::pair<std::string, std::vector<Tensor>>> slots_;
  std::vector<std::uint64_t> steps_;
};

}  // namespace optim
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
