#include "quant/activations/uniform.h"

#include <cmath>

#include "core/base/check.h"
#include "core/in_range.h"
#include "quant/activations/option_text.h"
#include "quant/math/uniform_activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

Var quantize_activation(const Var& x, Real alpha, int bits, const Surrogate& surrogate) {
  return activate(x, onto_grid({alpha, highest_level(bits)}, bits, surrogate));
}

UniformActivation::UniformActivation(int bits, double alpha, const Surrogate& surrogate)
    : bits_(bits), alpha_(alpha), surrogate_(surrogate) {
  highest_level(bits);
  check(is_positive(alpha), "uniform activation: given alpha = ", alpha, ", expected a positive number");
}

UniformActivation::UniformActivation(const UniformOptions& o)
    : UniformActivation(o.bits, o.alpha == 0 ? half_gaussian_alpha(o.bits) : o.alpha,
                        coarsegrad::surrogate(o.surrogate)) {}

void describe(OptionVisitor& v, UniformOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 8});
  option_text::describe_surrogate(v, o.surrogate);
  v.number({"alpha", "1", "resolution; 0: the one for half-Gaussian input"}, o.alpha, {0, 1000});
}

ActivationMap UniformActivation::map() const {
  return onto_grid({static_cast<Real>(alpha_), highest_level(bits_)}, bits_, surrogate_);
}

nn::MakeActivation uniform_activation(int bits, const Surrogate& surrogate) {
  const double alpha = half_gaussian_alpha(bits);
  return [bits, alpha, &surrogate](const std::string&) {
    return std::make_unique<UniformActivation>(bits, alpha, surrogate);
  };
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
