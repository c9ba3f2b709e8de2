#include "quant/theory/teacher.h"

#include "core/base/check.h"

namespace coarsegrad::theory {
namespace {

Vector to_length(Vector x, double length) {
  const double factor = length / norm(x);
  for (double& value : x) value *= factor;
  return x;
}

}  // namespace

Vector reference_second_layer(int m) {
  constexpr double pattern[] = {1, 0.6, -0.4, 0.5};
  Vector v(static_cast<std::size_t>(m));
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = pattern[i % 4];
  return v;
}

Vector normal_vector(int length, Rng rng) {
  Vector x(static_cast<std::size_t>(length));
  rng.normal(x.data(), x.size());
  return x;
}

Vector random_unit_vector(int length, Rng rng) { return to_length(normal_vector(length, rng), 1); }

Vector random_orthogonal(const Vector& u, Rng rng) {
  check(u.size() >= 2, "random_orthogonal: given length ", u.size(), ", expected 2 or more");
  Vector x = normal_vector(static_cast<int>(u.size()), rng);
  for (int round = 0; round < 2; ++round) {  // twice, so that what rounding left along u goes as well
    const double along = dot(x, u);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= along * u[i];
  }
  return to_length(std::move(x), 1);
}

Point random_start(const TwoLayer& model, double norm_w, const Rng& rng) {
  return {normal_vector(model.m(), rng.split("v")), to_length(random_unit_vector(model.n(), rng.split("w")), norm_w)};
}

}  // namespace coarsegrad::theory
