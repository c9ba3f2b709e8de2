#include "quant/packed/thresholds.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad::packed {
namespace {

constexpr std::int64_t kMost = (std::int64_t{1} << 24) - 1;

int level_of(std::uint8_t code, bool with_sign) {
  return with_sign ? static_cast<std::int8_t>(code) > 0 : static_cast<int>(code);
}

// +1, or -1 where the highest sum has a lower code than the lowest one.
std::vector<std::int32_t> directions(std::int64_t channels, bool with_sign, std::int64_t lowest, std::int64_t highest,
                                     const CodesOfSums& codes_of) {
  const auto n = static_cast<std::size_t>(channels);
  std::vector<float> sums(2 * n, static_cast<float>(lowest));
  std::fill(sums.begin() + channels, sums.end(), static_cast<float>(highest));
  std::vector<std::uint8_t> codes(2 * n);
  codes_of(2, sums.data(), codes.data());
  std::vector<std::int32_t> all(n);
  for (std::size_t c = 0; c < n; ++c)
    all[c] = level_of(codes[n + c], with_sign) < level_of(codes[c], with_sign) ? -1 : 1;
  return all;
}

}  // namespace

// All searches go on together: each halves the interval from `at` to `high` that its threshold lies in, and looks at
// one of its ends, where nothing is decided by it, when it is done.
Thresholds find_thresholds(std::int64_t channels, int levels, bool with_sign, std::int64_t lowest, std::int64_t highest,
                           const CodesOfSums& codes_of) {
  check(-kMost <= lowest && lowest <= highest && highest <= kMost, "thresholds: given sums from ", lowest, " to ",
        highest, ", expected a range within 2^24");
  Thresholds t{levels, with_sign, channels, {}, directions(channels, with_sign, lowest, highest, codes_of)};
  const auto size = static_cast<std::size_t>(levels * channels), n = static_cast<std::size_t>(channels);
  std::vector<std::int32_t> high(size);
  t.at.resize(size);
  for (std::size_t i = 0; i < size; ++i) {
    const bool rises = t.direction[i % n] > 0;
    t.at[i] = static_cast<std::int32_t>(rises ? lowest : -highest);
    high[i] = static_cast<std::int32_t>(rises ? highest : -lowest) + 1;
  }
  std::vector<float> sums(size);
  std::vector<std::uint8_t> codes(size);
  while (t.at != high) {
    const auto middle = [&](std::size_t i) { return t.at[i] + (high[i] - t.at[i]) / 2; };
    for (std::size_t i = 0; i < size; ++i) sums[i] = static_cast<float>(t.direction[i % n] * middle(i));
    codes_of(levels, sums.data(), codes.data());
    for (std::size_t i = 0; i < size; ++i) {
      if (t.at[i] == high[i]) continue;
      const bool reached = level_of(codes[i], with_sign) > static_cast<int>(i / n);
      (reached ? high[i] : t.at[i]) = reached ? middle(i) : middle(i) + 1;
    }
  }
  return t;
}

void apply_thresholds(const Thresholds& t, std::int64_t rows, const float* sums, std::uint8_t* codes) {
  const std::int64_t n = t.channels, step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(n, 1), 1);
  parallel_ranges(rows, step, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<std::int32_t> space(static_cast<std::size_t>(2 * n));
    std::int32_t *const sum = space.data(), *const level = sum + n;
    for (std::int64_t r = begin; r < end; ++r) {
      const float* const from = sums + r * n;
      for (std::int64_t c = 0; c < n; ++c) sum[c] = t.direction.data()[c] * static_cast<std::int32_t>(from[c]);
      std::fill_n(level, n, 0);
      for (int k = 0; k < t.levels; ++k) {
        const std::int32_t* const at = t.at.data() + k * n;
        for (std::int64_t c = 0; c < n; ++c) level[c] += sum[c] >= at[c];
      }
      const std::int32_t factor = t.with_sign ? 2 : 1, offset = t.with_sign ? 1 : 0;
      for (std::int64_t c = 0; c < n; ++c) codes[r * n + c] = static_cast<std::uint8_t>(factor * level[c] - offset);
    }
  });
}

}  // namespace coarsegrad::packed
