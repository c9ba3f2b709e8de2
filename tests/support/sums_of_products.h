#pragma once
// For tests of everything that sums products: inputs for which the sums are exact, inputs for which they are
// not, and the distance between a result and its reference.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace coarsegrad::testing {

enum class Fill { kIntegers, kReals };

/// n values. Integers from -4 to 4: sums of up to 2^20 products of two of them are exact in float, in any
/// order. Reals: uniform in (-1, 1), with full mantissas.
template <class T>
std::vector<T> filled(std::int64_t n, Fill fill, std::uint64_t seed) {
  std::vector<T> values(static_cast<std::size_t>(n));
  std::uint64_t state = 2 * seed + 1;
  for (T& v : values) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    const auto bits = static_cast<std::int32_t>(state >> 32);
    v = fill == Fill::kIntegers ? static_cast<T>(bits % 5) : static_cast<T>(bits) / static_cast<T>(2147483648.0);
  }
  return values;
}

/// Sums of products in double, and the sums of the products' magnitudes that their errors are measured by.
struct ReferenceSums {
  std::vector<double> value, magnitude;
  explicit ReferenceSums(std::int64_t n) : value(static_cast<std::size_t>(n)), magnitude(value) {}
  void add(std::int64_t i, double a, double b) {
    value[static_cast<std::size_t>(i)] += a * b;
    magnitude[static_cast<std::size_t>(i)] += std::abs(a * b);
  }
};

/// The largest |got - value| / (epsilon of T * magnitude); 0 where all are equal, infinite where there is
/// something but should be nothing, or the sizes differ.
template <class T>
double worst_error(const std::vector<T>& got, const ReferenceSums& expected) {
  if (got.size() != expected.value.size()) return std::numeric_limits<double>::infinity();
  double worst = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(static_cast<double>(got[i]) - expected.value[i]);
    const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) * expected.magnitude[i];
    const double ratio = error == 0 ? 0 : error / unit;
    worst = std::isnan(ratio) ? std::numeric_limits<double>::infinity() : std::max(worst, ratio);
  }
  return worst;
}

/// What worst_error() may be: nothing for integers; for reals 16 roundings' worth, which holds with room to
/// spare for the sums of these tests and is far below one product of a sum gone wrong.
inline double allowed_error(Fill fill) { return fill == Fill::kIntegers ? 0 : 16; }

}  // namespace coarsegrad::testing
