#include "nn/init.h"

#include <cmath>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

std::int64_t fan_in(const Shape& weight) {
  check(weight.rank() >= 2 && weight[0] > 0, "fan_in: given shape ", weight, ", expected a weight (out, ..., in)");
  return weight.numel() / weight[0];
}

std::int64_t fan_out(const Shape& weight) { return fan_in(weight) / weight[-1] * weight[0]; }

Tensor uniform(const Shape& shape, double bound, Rng rng) {
  Tensor t = Tensor::uninitialized(shape);
  const Real b = static_cast<Real>(bound);
  rng.uniform(t.mutable_data(), static_cast<std::size_t>(t.numel()), -b, b);
  return t;
}

Tensor normal(const Shape& shape, double standard_deviation, Rng rng) {
  Tensor t = Tensor::uninitialized(shape);
  rng.normal(t.mutable_data(), static_cast<std::size_t>(t.numel()), Real(0), static_cast<Real>(standard_deviation));
  return t;
}

Tensor kaiming_normal(const Shape& weight, Rng rng) {
  return normal(weight, std::sqrt(2.0 / static_cast<double>(fan_in(weight))), rng);
}

Tensor kaiming_normal_fan_out(const Shape& weight, Rng rng) {
  return normal(weight, std::sqrt(2.0 / static_cast<double>(fan_out(weight))), rng);
}

Tensor xavier_uniform(const Shape& weight, Rng rng) {
  return uniform(weight, std::sqrt(6.0 / static_cast<double>(fan_in(weight) + fan_out(weight))), rng);
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
