#pragma once
// Projections of weights onto quantized ones, and their registry.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/part_registry.h"
#include "nn/module.h"
#include "quant/math/uniform_weight.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// What the gradient at projected weights means for what they were made of.
struct ProjectionGradient {
  Tensor weight;                        ///< of the float weight; undefined: it stays where it is
  std::vector<Tensor> parameters = {};  ///< of the projection's parameters(), in their order; empty: none
};

/// A projection of weights onto quantized ones: a forward map, and what the gradient at the quantized weights means for
/// the float ones. There is one object for each weight, so that it may remember something from step to step (a buffer)
/// or train something (a parameter).
class WeightProjection : public nn::Module {
 public:
  /// For graphs and errors: as registered.
  virtual std::string name() const = 0;
  /// Bits of a packed weight.
  virtual int bits() const = 0;
  /// Called once with the float weight, before it is projected: parameters and buffers take their shapes, and
  /// their first values, from it.
  virtual void begin(const Tensor& w) { static_cast<void>(w); }
  /// w: any shape. The result has its integer codes (Tensor::coded(), signed, one scale or one for each index
  /// of the first axis), unless it is empty or the projection has none. All zeros give zeros (-1 with fixed_levels
  /// of 1 bit), and a weight that is not finite makes its whole group NaN; neither is remembered. Bitwise the same for
  /// any number of threads; those shipped also for every kernel table, but for dorefa.
  virtual Tensor project(const Tensor& w) = 0;
  /// The gradients with respect to w and to the projection's own parameters from g, that with respect to
  /// project(w); w and g have one shape. By default g itself, straight through, and none for parameters.
  virtual ProjectionGradient gradient(const Tensor& w, const Tensor& g);
  /// project() and gradient() as one op of w and of the projection's parameters.
  Var forward(const Var& w) override;
};

/// How many bits a code has, and which weights share a scale.
struct WeightGrid {
  int bits = 1;              ///< 1 to 8
  bool per_channel = false;  ///< a scale for each index of the first axis instead of one for the tensor

  /// How many groups of weights have a scale of their own: 1, or the length of the first axis.
  std::int64_t groups(const Tensor& w) const;
};

/// Onto integer codes times a scale, group by group: the whole tensor, or each index of its first axis.
class CodedProjection : public WeightProjection {
 public:
  /// Throws UsageError for bits out of range.
  CodedProjection(std::string name, const WeightGrid& grid);
  std::string name() const override { return name_; }
  int bits() const override { return grid_.bits; }
  Tensor project(const Tensor& w) override;

 protected:
  /// How many groups of w have a scale of their own.
  std::int64_t groups(const Tensor& w) const { return grid_.groups(w); }
  /// encode() for every group of w, which is not empty, on several threads.
  void encode_all(const Tensor& w, std::int8_t* codes, std::span<Real> scales);
  /// Writes the codes of group number `group`, which is not empty, and returns its scale. Several groups are
  /// encoded at once.
  virtual double encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) = 0;

 private:
  const std::string name_;
  const WeightGrid grid_;
};

/// Where the codes of one group of weights change (quant/math/uniform_weight.h): all that a projection onto a
/// uniform grid chooses. One threshold for each code above 0, highest_weight_level(bits) of them; with 1 bit,
/// which has no code 0, that of binary_thresholds(). w is not empty.
using Thresholds = std::function<std::vector<Real>(std::span<const Real> w)>;

/// The projection with these thresholds: the scale is the best one for the codes that they give. begin() and
/// project() throw UsageError for thresholds that do not belong to the bits.
std::unique_ptr<WeightProjection> uniform_projection(std::string name, const WeightGrid& grid, Thresholds thresholds);

// Options of shipped projections. Each has `bits`, also where only one number of them is possible.

/// Options of `exact`.
struct ExactOptions {
  int bits = 1;              ///< 1 to 8
  int sign_of_zero = 1;      ///< of 1-bit codes: +1, or 0, which is outside of the grid {-delta, +delta}
  bool per_channel = false;  ///< a scale for each index of the first axis instead of one for the tensor
};
void describe(OptionVisitor& v, ExactOptions& o);
/// The nearest point of the grid, under any name. Throws UsageError for options out of range.
std::unique_ptr<WeightProjection> exact_projection(std::string name, const ExactOptions& options);

/// Options of `binary`.
struct BinaryOptions {
  int bits = 1;              ///< 1
  int sign_of_zero = 1;      ///< as in ExactOptions
  bool per_channel = false;  ///< as in ExactOptions
};
void describe(OptionVisitor& v, BinaryOptions& o);

/// Options of `ternary` and `twn`.
struct TernaryOptions {
  int bits = 2;              ///< 2
  bool per_channel = false;  ///< as in ExactOptions
};
void describe(OptionVisitor& v, TernaryOptions& o);

/// The projections of weights by name; those shipped are, from Yin et al., "Blended coarse gradient descent for full
/// quantization of deep neural networks" (2018), section 3,
///   exact       the nearest point of the grid of 1 to 8 bits
///   binary      exact with 1 bit: delta = mean |w|, code sign(w)
///   ternary     exact with 2 bits
///   lloyd       some steps of Lloyd's alternation from delta = 2 max|w| / (2^bits - 1)
/// and from elsewhere
///   none        float weights: makes no projection
///   warm_lloyd  some steps of Lloyd's alternation from the delta of the projection before (quant/weights/lloyd.h)
///   twn         2 bits, zero where |w| <= 0.7 mean|w| (Li, Zhang, Liu: Ternary weight networks, 2016)
///   sign, xnor  1 bit, without a scale, and with one for each channel (quant/weights/sign.h)
///   dorefa      1 to 16 bits, through tanh (quant/weights/dorefa.h)
///   lsq         2 to 8 bits, a trained step (quant/weights/learned_step.h)
///   power_of_two, power_of_two_exact  2 to 7 bits, 0 and powers of two (quant/weights/power_of_two.h)
///   fixed_levels  1 to 3 bits, levels without a scale (quant/weights/fixed_levels.h)
///   minmax      2 to 8 bits over [min w, max w], 0 among the levels; codes for the backward pass alone
///               (quant/weights/minmax.h)
/// A program adds its own.
PartRegistry<std::unique_ptr<WeightProjection>>& weight_projections();
/// A projection of weight_projections(). Throws UsageError for an unknown name, listing the known ones, and for options
/// out of range.
std::unique_ptr<WeightProjection> weight_projection(const Part& part);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
