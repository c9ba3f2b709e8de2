#include "quant/activations/minmax.h"

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/compute/stochastic.h"
#include "core/ops.h"
#include "core/tracer.h"
#include "quant/activations/grid_activation.h"
#include "quant/activations/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

MinMaxActivation::MinMaxActivation(int bits) : bits_(bits) { highest_level(bits); }

// Whatever is in the batch, it is one op of a graph. Its grid has no scale before the batch is there.
Var MinMaxActivation::forward(const Var& x) {
  const auto attributes = [this] {
    return Attributes{{"bits", bits_},
                      {"levels", highest_level(bits_)},
                      {"range", "batch"},
                      {"rounding", "nearest"},
                      {"surrogate", "relu"}};
  };
  return as_one_op(
      "quantize_activation", attributes, [&] { return quantized(x); }, x);
}

Var MinMaxActivation::quantized(const Var& x) const {
  if (x.numel() == 0) return relu(x);
  const FlushDenormals flush;
  Real high = value_range<Real>(x.numel(), x.value().data()).high;
  if (std::isnan(high)) high = value_range<Real>(x.numel(), relu(x.detach()).value().data()).high;  // -inf is no more
  if (std::isnan(high)) return x * Var(high);
  const int levels = highest_level(bits_);
  const kernels::Quantizer<Real> grid{high, levels, kernels::Rounding::nearest, static_cast<Real>(levels)};
  if (!(grid.scale() >= std::numeric_limits<Real>::min())) return relu(x);  // zeros, or next to it
  return activate(x, onto_grid(grid, bits_, surrogate("relu")));
}

void describe(OptionVisitor& v, MinMaxOptions& o) { v.integer(option_text::activation_bits(), o.bits, {1, 8}); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
