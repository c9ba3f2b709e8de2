#include "quant/theory/integral.h"

#include <array>
#include <cmath>
#include <cstddef>
#include <numbers>
#include <numeric>
#include <utility>
#include <vector>

#include "core/base/check.h"

namespace coarsegrad::theory {
namespace {

constexpr int kPoints = 16;
constexpr double kAgreement = 1e-15;
constexpr int kMostHalvings = 2000;  // a jump takes 50; noise is never resolved

// Lobatto's rule on [-1, 1], whose outermost points are the ends: Gauss's would not see a jump beside one of them.
struct Rule {
  std::array<double, kPoints> nodes, weights;
};

// By Newton's method on the derivative of the Legendre polynomial of degree kPoints - 1, times 1 - x^2.
Rule lobatto() {
  constexpr int kDegree = kPoints - 1;
  Rule rule;
  for (std::size_t i = 0; i < kPoints; ++i) {
    double x = std::cos(std::numbers::pi * static_cast<double>(i) / kDegree), value = 1;
    for (int round = 0; round < 12; ++round) {
      double last = 1;
      value = x;
      for (int k = 2; k <= kDegree; ++k) last = std::exchange(value, ((2 * k - 1) * x * value - (k - 1) * last) / k);
      x -= (x * value - last) / (kPoints * value);
    }
    rule.nodes[i] = x;
    rule.weights[i] = 2 / (kPoints * kDegree * value * value);
  }
  return rule;
}

struct Panel {
  double low, high;
  double value = 0, size = 0;  // integrals of f and |f|
};

class Integral {
 public:
  explicit Integral(const std::function<double(double)>& f) : f_(f) {}

  double over(std::span<const double> ends) {
    std::vector<Panel> panels;
    double size = 0;
    for (std::size_t i = 1; i < ends.size(); ++i) {
      panels.push_back(panel(ends[i - 1], ends[i]));
      size += panels.back().size;
    }
    tolerance_ = kAgreement * size;
    double sum = 0;
    for (const Panel& whole : panels) sum += refined(whole);
    return sum;
  }

 private:
  Panel panel(double low, double high) const {
    static const Rule rule = lobatto();
    Panel p{low, high};
    const double middle = std::midpoint(low, high), half = (high - low) / 2;
    for (std::size_t i = 0; i < kPoints; ++i) {
      const double term = half * rule.weights[i] * f_(middle + half * rule.nodes[i]);
      p.value += term;
      p.size += std::abs(term);
    }
    return p;
  }

  double refined(const Panel& whole) {
    const double middle = std::midpoint(whole.low, whole.high);
    const Panel left = panel(whole.low, middle), right = panel(middle, whole.high);
    const double halves = left.value + right.value;
    const bool apart = std::abs(halves - whole.value) > tolerance_;  // false for NaN
    if (!apart || halvings_ == 0) return halves;
    --halvings_;
    const double first = refined(left);
    return first + refined(right);
  }

  const std::function<double(double)>& f_;
  double tolerance_ = 0;
  int halvings_ = kMostHalvings;
};

}  // namespace

double integral(const std::function<double(double)>& f, std::span<const double> ends) {
  check(ends.size() >= 2, "integral: given ", ends.size(), " ends, expected at least 2");
  return Integral(f).over(ends);
}

}  // namespace coarsegrad::theory
