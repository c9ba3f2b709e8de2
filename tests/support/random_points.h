#pragma once
// Random points of the two-layer model for property tests: fixed seed, the same on every machine with this
// compiler's standard library.
#include <algorithm>
#include <cmath>
#include <random>
#include <utility>

#include "quant/theory/two_layer.h"

namespace coarsegrad::test {

class RandomPoints {
 public:
  explicit RandomPoints(unsigned seed) : engine_(seed) {}

  double normal() { return normal_(engine_); }
  double uniform(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine_); }
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  theory::Vector normals(int length, double scale = 1) {
    theory::Vector x(static_cast<std::size_t>(length));
    for (double& value : x) value = scale * normal();
    return x;
  }
  /// A unit vector orthogonal to the unit vector `u`, of length 2 or more.
  theory::Vector orthogonal_to(const theory::Vector& u) {
    theory::Vector x = normals(static_cast<int>(u.size()));
    const double along = theory::dot(x, u);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] -= along * u[i];
    const double length = theory::norm(x);
    for (double& value : x) value /= length;
    return x;
  }

 private:
  std::mt19937_64 engine_;
  std::normal_distribution<double> normal_;
};

/// Largest absolute difference of two vectors; infinite if their lengths differ.
inline double distance(const theory::Vector& a, const theory::Vector& b) {
  if (a.size() != b.size()) return INFINITY;
  double worst = 0;
  for (std::size_t i = 0; i < a.size(); ++i) worst = std::max(worst, std::abs(a[i] - b[i]));
  return worst;
}

/// x a + y b
inline theory::Vector combine(double x, const theory::Vector& a, double y, const theory::Vector& b) {
  theory::Vector out(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) out[i] = x * a[i] + y * b[i];
  return out;
}

/// A teacher and a student with 1 to 6 and 2 to 6 Gaussian weights.
struct RandomCase {
  theory::TwoLayer model;
  theory::Vector v, w;
};

inline RandomCase random_case(RandomPoints& random, double scale_w = 1) {
  const int m = random.integer(1, 6), n = random.integer(2, 6);
  theory::TwoLayer model(random.normals(m), random.normals(n));
  theory::Vector v = random.normals(m), w = random.normals(n, scale_w);
  return {std::move(model), std::move(v), std::move(w)};
}

}  // namespace coarsegrad::test
