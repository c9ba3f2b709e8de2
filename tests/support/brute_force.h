#pragma once
// The projection of a few weights onto a scaled grid by looking at every point of it.
#include <algorithm>
#include <vector>

namespace coarsegrad::testing {

inline double squared_norm(const std::vector<double>& w) {
  double sum = 0;
  for (const double x : w) sum += x * x;
  return sum;
}

/// The smallest |w - delta q|^2 over all q with entries from `grid`, each with its own best delta >= 0.
inline double brute_force(const std::vector<double>& w, const std::vector<int>& grid) {
  double best = squared_norm(w);
  std::vector<std::size_t> digit(w.size());
  for (bool more = true; more;) {
    double wq = 0, qq = 0;
    for (std::size_t i = 0; i < w.size(); ++i) {
      wq += w[i] * grid[digit[i]];
      qq += grid[digit[i]] * grid[digit[i]];
    }
    if (qq > 0 && wq > 0) best = std::min(best, squared_norm(w) - wq * wq / qq);
    more = false;
    for (std::size_t i = 0; i < w.size() && !more; ++i) {
      more = ++digit[i] < grid.size();
      if (!more) digit[i] = 0;
    }
  }
  return best;
}

}  // namespace coarsegrad::testing
