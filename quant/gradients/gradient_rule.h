#pragma once
// Training with quantized gradients: the gradient of the output of a convolution or a dense layer is
// quantized before the two products of its backward pass.
//   GradientRule rule(net, {.input = gradient_quantizer("psq", {.bits = 5}),
//                           .weight = gradient_quantizer("ptq", {.bits = 8})}, rng.split("gradients"));
// A QuantizedOptimizer tells it the step; whoever takes gradients without one calls set_step(). What is drawn depends
// on the random stream, the name of the layer and the step alone (and on how many times the layer was passed backwards
// within the step), so a training that was broken off goes on with the same bits.
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/compute/random.h"
#include "core/state.h"
#include "nn/module.h"
#include "quant/gradients/gradient_quantizer.h"
#include "quant/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// The quantizers of a gradient rule.
struct GradientRuleOptions {
  std::shared_ptr<const GradientQuantizer> input;   ///< for the product that gives the gradient of the input
  std::shared_ptr<const GradientQuantizer> weight;  ///< for that of the weight, drawn apart; null: `input`,
                                                    ///< and one draw serves both products
};

/// Options of `dorefa`.
struct DorefaGradientOptions {
  int bits = 6;  ///< 1 to 8
};
void describe(OptionVisitor& v, DorefaGradientOptions& o);

/// Options of `ptq`, `psq` and `bhq`.
struct BifurcatedGradientOptions {
  int bits = 5;         ///< 1 to 8, of the gradient that becomes the input's
  int weight_bits = 8;  ///< 1 to 8, of the gradient that becomes the weight's
  bool integer = true;  ///< products of codes where both factors have them (core/ops_linear.cpp); false: in float
};
void describe(OptionVisitor& v, BifurcatedGradientOptions& o);

/// How gradients are quantized, by name; those shipped are
///   none           float gradients: `input` is null
///   dorefa         one quantized gradient for both products (DoReFa-Net, arXiv 1606.06160, equations 12 to 14)
///   ptq, psq, bhq  StatQuant's bifurcation: that quantizer for the input's gradient, ptq for the weight's (arXiv
///                  2010.14298, section 5)
/// A program adds its own.
PartRegistry<GradientRuleOptions>& gradient_rules();

/// Quantizes the gradients of layers' outputs, from its construction to its end.
class GradientRule {
 public:
  /// Takes every module of `net` that has an output_gradient_map(), as Conv2d and Linear do, but the exceptions, among
  /// which `first` and `last` are in the order of named_modules(). The network must outlive this object. Throws Error
  /// where a layer has a gradient map already, or options.input is null.
  GradientRule(nn::Module& net, GradientRuleOptions options, const Rng& rng, const LayerExceptions& exceptions = {});
  /// The layers pass on their gradients as they are again.
  ~GradientRule();
  /// Not copied: a layer has one gradient map.
  GradientRule(const GradientRule&) = delete;
  GradientRule& operator=(const GradientRule&) = delete;

  /// The next backward passes belong to this step (0 at first).
  void set_step(std::int64_t step);

  /// `step`, and as `calls.LAYER` how often its gradient was quantized within it: {for the input, for the weight}.
  State state() const;
  /// Throws Error, naming the entry, for a state of other layers.
  void load_state(const State& state);

  /// The two quantizers.
  const GradientRuleOptions& options() const { return options_; }
  /// Dotted names of the layers, in the order of named_modules().
  std::vector<std::string> layers() const;

 private:
  struct Layer;
  const GradientRuleOptions options_;
  std::vector<Layer> layers_;
  std::uint64_t step_ = 0;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
