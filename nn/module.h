#pragma once
// Module: the base class of layers and networks.
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"
#include "core/compute/random.h"
#include "core/state.h"
#include "nn/progress.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
struct OutputGradientMap;
namespace nn {

class Activation;

/// Values by dotted name, in the order of registration: float copies of the parameters, then the buffers.
using StateDict = coarsegrad::StateDict;

/// A buffer that each forward pass in training mode moves towards what it sees of its batch:
/// (1 - momentum) value + momentum batch.
struct RunningStatistic {
  Tensor& value;    ///< the buffer, whose owner outlives this
  double momentum;  ///< weight of the batch, 0 to 1
};

/// Owns parameters, buffers, random streams and submodules by name; a network is a tree of modules. Whoever goes
/// through a network asks a module for what it offers, never for its type. A module is not copied or moved: others
/// keep references to it and to what it owns.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// What the module computes: of one input in forward(), of several in forward_inputs(). A module overrides
  /// the one that it can do; the other one throws Error.
  virtual Var forward(const Var& x);
  virtual Var forward_inputs(const std::vector<Var>& inputs);
  /// forward() or forward_inputs(), then the hooks; how a module is called: net(x), net({x, y}).
  Var operator()(const Var& x);
  Var operator()(const std::vector<Var>& inputs);

  /// Everything below this module, depth first, with dotted names ("layer1.conv.weight"). Pointers stay valid.
  std::vector<std::pair<std::string, Parameter*>> named_parameters();
  std::vector<std::pair<std::string, Tensor*>> named_buffers();
  /// Random streams that forward() draws from: their positions are a part of where a training stands.
  std::vector<std::pair<std::string, Rng*>> named_generators();
  /// Its dotted name in the outermost module around it, as named_modules() has it there; empty for that one.
  std::string path() const;
  /// This module itself comes first, with an empty name.
  std::vector<std::pair<std::string, Module*>> named_modules();
  /// The parameters of named_parameters(), without their names.
  std::vector<Parameter*> parameters();
  /// The name of its type, without namespaces.
  std::string kind() const;

  // What a module offers. By default nothing; a layer overrides what it has.

  /// The weight that its input is multiplied by, which is what a weight rule may quantize.
  virtual Parameter* weight_parameter() { return nullptr; }
  /// What maps the gradient of that product before the two products of the backward pass (core/ops.h).
  virtual OutputGradientMap* output_gradient_map() { return nullptr; }
  /// The buffers that its forward passes in training mode move.
  virtual std::vector<RunningStatistic> running_statistics() { return {}; }
  /// The module itself where it is an elementwise map (nn/activation.h).
  virtual Activation* activation() { return nullptr; }
  /// Called before each step of a training: sets what moves along with it apart from the learning rate, such as
  /// the sharpness of a smooth quantizer. Depends on `at` alone, so that a training which was broken off needs
  /// no state.
  virtual void advance(const Progress& at) { static_cast<void>(at); }
  /// What a graph says of its calls (nn/graph.h), such as the "bits" of a quantizer.
  virtual Attributes attributes() const { return {}; }

  /// Training mode (batch statistics, dropout) for this module and all below it; modules start in training mode.
  void train(bool on = true);
  void eval() { train(false); }
  /// Whether this module is in training mode.
  bool training() const { return training_; }

  /// Parameters (float copies) and buffers of this module and all below it, under their dotted names.
  StateDict state_dict();
  /// Throws Error, naming the entry, on a missing, unknown or misshapen one; nothing is changed then.
  void load_state_dict(const StateDict& state);

  /// state_dict(), and where the random streams stand: {key, position} of each in `counts`.
  State state();
  /// Takes back what state() gave. Throws Error as load_state_dict() does, and unless the streams are those of this
  /// module, with their keys; nothing is changed then.
  void load_state(const State& state);

  /// Called after each forward pass of this module with its input, the first one of several, and its output.
  using ForwardHook = std::function<void(Module& module, const Var& input, const Var& output)>;
  /// Hooks are called in the order of their registration. Returns a number for remove_hook().
  int register_forward_hook(ForwardHook hook);
  /// Nothing happens where no hook has this number.
  void remove_hook(int number);
  /// Whether a hook of this module itself is registered.
  bool has_hooks() const { return !hooks_.empty(); }

 protected:
  /// Each takes what it is given under `name` and returns a reference that stays valid as long as the module lives.
  /// Throws Error on a name that is empty, used twice or has a dot in it.
  Parameter& register_parameter(const std::string& name, Tensor init);
  Tensor& register_buffer(const std::string& name, Tensor init);
  Rng& register_generator(const std::string& name, const Rng& init);
  /// Makes the submodule in place: auto& conv = register_module<Conv2d>("conv", options, rng).
  template <class M, class... Arguments>
  M& register_module(const std::string& name, Arguments&&... arguments) {
    return static_cast<M&>(adopt(name, std::make_unique<M>(std::forward<Arguments>(arguments)...)));
  }
  /// Takes a submodule that exists already. Throws Error for null and for a name that
  /// register_parameter() refuses.
  Module& adopt(const std::string& name, std::unique_ptr<Module> child);

 private:
  template <class T>
  using Named = std::vector<std::pair<std::string, std::unique_ptr<T>>>;
  void check_name(const std::string& name) const;
  Var call(const std::vector<Var>& inputs);
  Var traced_call(const std::vector<Var>& inputs);
  void run_hooks(const Var& x, const Var& y);

  Named<Parameter> parameters_;
  Named<Tensor> buffers_;
  Named<Rng> generators_;
  Named<Module> children_;
  const Module* parent_ = nullptr;  // owns this one, and does not move
  std::string name_;                // the parent's for this one
  std::vector<std::pair<int, ForwardHook>> hooks_;
  int hooks_made_ = 0;
  bool training_ = true;
};

/// Feeds the output of each module to the next.
class Sequential : public Module {
 public:
  Var forward(const Var& x) override;
  /// Appends a module made in place, as register_module() does; returns it.
  template <class M, class... Arguments>
  M& add(const std::string& name, Arguments&&... arguments) {
    return static_cast<M&>(append(name, std::make_unique<M>(std::forward<Arguments>(arguments)...)));
  }
  /// Appends a module that exists already, as adopt() does; returns it.
  Module& append(const std::string& name, std::unique_ptr<Module> child);

 private:
  std::vector<Module*> order_;
};

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
