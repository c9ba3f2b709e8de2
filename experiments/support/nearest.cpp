#include "experiments/support/nearest.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace coarsegrad::experiments {
namespace {

/// Levenshtein's distance, one row of its table at a time.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t k = 0; k < b.size(); ++k) {
      const std::size_t replaced = diagonal + (a[i] != b[k]);
      diagonal = row[k + 1];
      row[k + 1] = std::min({replaced, row[k] + 1, diagonal + 1});
    }
  }
  return row.back();
}

}  // namespace

std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 3, kLongest = 100;
  if (word.size() > kLongest) return {};
  std::vector<std::pair<std::size_t, std::string>> found;
  const std::size_t letters = word.size() - std::min(word.size(), word.find_first_not_of('-'));
  for (const std::string& name : names) {
    const std::size_t d = distance(word, name);
    const bool similar = d < letters && d <= std::max<std::size_t>(1, letters / 3);
    if (similar || (letters >= 2 && name.starts_with(word))) found.emplace_back(d, name);
  }
  std::ranges::stable_sort(found, {}, &std::pair<std::size_t, std::string>::first);
  std::vector<std::string> near;
  for (std::size_t i = 0; i < std::min(kMost, found.size()); ++i) near.push_back(found[i].second);
  return near;
}

}  // namespace coarsegrad::experiments
