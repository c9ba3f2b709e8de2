#pragma once
// What moves quantized weights, by name: the optimizer that moves everything else, or an update rule of a method's own.
#include <functional>
#include <memory>
#include <vector>

#include "core/base/part_registry.h"
#include "optim/optimizer.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Makes the optimizer that moves these parameters.
using MakeOptimizer = std::function<std::unique_ptr<optim::Optimizer>(std::vector<Parameter*> parameters)>;

/// Makes the optimizer of a training over all of its parameters, those of `rule` among them (null: float weights), with
/// `rest` for what the update does not move itself.
using WeightUpdate = std::function<std::unique_ptr<optim::Optimizer>(
    WeightRule* rule, std::vector<Parameter*> parameters, const MakeOptimizer& rest)>;

/// Options of `bop`: weights without float copies (optim/bop.h).
struct BopUpdateOptions {
  double rate = 1e-4;       ///< gamma, the adaptivity rate, which is scheduled as the learning rate is
  double threshold = 1e-8;  ///< tau: a mean gradient above it may flip a weight
};
void describe(OptionVisitor& v, BopUpdateOptions& o);

/// The updates of quantized weights by name; those shipped are
///   same  the optimizer that moves everything else
///   bop   binary weights flip by Bop, `rest` moves what is not quantized. Quantized weights start at what they are
///         projected to. Throws UsageError unless there is a weight rule of 1 bit and a learning rate above 0
/// A program adds its own.
PartRegistry<WeightUpdate>& weight_updates();

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
