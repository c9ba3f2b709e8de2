#pragma once
// Random points of the two-layer model for property tests: fixed seed, the same on every machine with this
// compiler's standard library.
#include <cmath>
#include <random>

#include "quant/theory/two_layer.h"

namespace coarsegrad::test {

class RandomPoints {
 public:
  explicit RandomPoints(unsigned seed) : engine_(seed) {}

  double normal() { return normal_(engine_); }
  double uniform(double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(engine_);
  }
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

}  // namespace coarsegrad::test
