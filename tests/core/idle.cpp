// A program that could multiply matrices and does nothing, or (idle multiply) multiplies two that are cut
// into several tasks, for process_limits_test.py.
#include <algorithm>
#include <cstdio>
#include <exception>
#include <vector>

#include "core/matrix_product.h"

int main(int argc, char**) try {
  if (argc == 1) return 0;
  constexpr std::int64_t n = 512;
  const std::vector<double> ones(n * n, 1);
  std::vector<double> product(n * n);
  coarsegrad::matrix_product<double>(n, n, n, {ones.data(), n}, {ones.data(), n}, product.data(), n);
  const bool right = std::ranges::all_of(product, [](double c) { return c == n; });
  return right ? 0 : 2;
} catch (const std::exception& e) {
  std::fprintf(stderr, "%s\n", e.what());
  return 1;
}
