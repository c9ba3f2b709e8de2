#include "experiments/training/statistics.h"

#include <cmath>
#include <numbers>
#include <numeric>

#include "core/base/check.h"
#include "experiments/support/text_table.h"

namespace coarsegrad::experiments {
namespace {

// P(|T| < t) for t = sqrt(degrees) tan(angle).
double probability_below(double angle, int degrees) {
  const double c = std::cos(angle), s = std::sin(angle);
  const bool odd = degrees % 2 == 1;
  double term = odd ? c : 1, sum = degrees > 1 ? term : 0;
  for (int k = odd ? 3 : 2; k < degrees; k += 2) {
    term *= c * c * (k - 1) / k;
    sum += term;
  }
  return odd ? 2 / std::numbers::pi * (angle + s * sum) : s * sum;
}

}  // namespace

double student_t_95(int degrees) {
  check(degrees >= 1, "student_t_95: given ", degrees, " degrees of freedom, expected at least 1");
  double low = 0, high = std::numbers::pi / 2;
  for (int halving = 0; halving < 60; ++halving) {
    const double middle = (low + high) / 2;
    (probability_below(middle, degrees) < 0.95 ? low : high) = middle;
  }
  return std::sqrt(degrees) * std::tan(low);
}

std::string plus_minus(const MeanDeviation& m, double unit) {
  const std::string mean = number(m.mean * unit);
  return std::isnan(m.half_width) ? mean : cat(mean, " +- ", number(m.half_width * unit, 2));
}

MeanDeviation mean_deviation(std::span<const double> values) {
  const double n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() < 2) return {mean, std::nan(""), std::nan("")};
  double squares = 0;
  for (const double v : values) squares += (v - mean) * (v - mean);
  const double deviation = std::sqrt(squares / (n - 1));
  return {mean, deviation, student_t_95(static_cast<int>(values.size()) - 1) * deviation / std::sqrt(n)};
}

}  // namespace coarsegrad::experiments
