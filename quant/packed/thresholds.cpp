#include "quant/packed/thresholds.h"

#include <algorithm>

#include "core/base/check.h"

namespace coarsegrad::packed {
namespace {

constexpr std::int64_t kMost = (std::int64_t{1} << 24) - 1;

int level_of(std::uint8_t byte, const BitCode& code) {
  const int value = code.low < 0 ? static_cast<std::int8_t>(byte) : byte;
  return (value - code.low) / code.step;
}

// +1, or -1 where the highest sum has a lower code than the lowest one.
std::vector<std::int32_t> directions(std::int64_t channels, const BitCode& code, const SumRange& range,
                                     const CodesOfSums& codes_of) {
  const auto n = static_cast<std::size_t>(channels);
  std::vector<float> sums(2 * n, static_cast<float>(range.lowest));
  std::fill(sums.begin() + channels, sums.end(), static_cast<float>(range.highest));
  std::vector<std::uint8_t> codes(2 * n);
  codes_of(2, sums.data(), codes.data());
  std::vector<std::int32_t> all(n);
  for (std::size_t c = 0; c < n; ++c) all[c] = level_of(codes[n + c], code) < level_of(codes[c], code) ? -1 : 1;
  return all;
}

}  // namespace

// All searches go on together: each halves the interval from `at` to `high` that its threshold lies in, and looks at
// one of its ends, where nothing is decided by it, when it is done.
Thresholds find_thresholds(std::int64_t channels, const BitCode& code, int highest, const SumRange& range,
                           const CodesOfSums& codes_of) {
  check(-kMost <= range.lowest && range.lowest <= range.highest && range.highest <= kMost,
        "thresholds: given sums from ", range.lowest, " to ", range.highest, ", expected a range within 2^24");
  Thresholds t{(highest - code.low) / code.step, channels, {}, directions(channels, code, range, codes_of)};
  const auto size = static_cast<std::size_t>(t.levels * channels), n = static_cast<std::size_t>(channels);
  std::vector<std::int32_t> high(size);
  t.at.resize(size);
  for (std::size_t i = 0; i < size; ++i) {
    const bool rises = t.direction[i % n] > 0;
    t.at[i] = static_cast<std::int32_t>(rises ? range.lowest : -range.highest);
    high[i] = static_cast<std::int32_t>(rises ? range.highest : -range.lowest) + 1;
  }
  std::vector<float> sums(size);
  std::vector<std::uint8_t> codes(size);
  while (t.at != high) {
    const auto middle = [&](std::size_t i) { return t.at[i] + (high[i] - t.at[i]) / 2; };
    for (std::size_t i = 0; i < size; ++i) sums[i] = static_cast<float>(t.direction[i % n] * middle(i));
    codes_of(t.levels, sums.data(), codes.data());
    for (std::size_t i = 0; i < size; ++i) {
      if (t.at[i] == high[i]) continue;
      const bool reached = level_of(codes[i], code) > static_cast<int>(i / n);
      (reached ? high[i] : t.at[i]) = reached ? middle(i) : middle(i) + 1;
    }
  }
  return t;
}

// Not to reach at is to reach 1 - at in the other direction.
void turn(Thresholds& t, const std::vector<std::uint8_t>& channels) {
  const auto n = static_cast<std::size_t>(t.channels), levels = static_cast<std::size_t>(t.levels);
  const std::vector<std::int32_t> before = t.at;
  for (std::size_t c = 0; c < n; ++c) {
    if (channels[c] == 0) continue;
    for (std::size_t k = 0; k < levels; ++k) t.at[k * n + c] = 1 - before[(levels - 1 - k) * n + c];
    t.direction[c] = -t.direction[c];
  }
}

BitThresholds bit_thresholds(const Thresholds& t, const SumRange& range) {
  const auto n = static_cast<std::size_t>(t.channels), levels = static_cast<std::size_t>(t.levels);
  std::vector<std::int32_t> at(t.at.size());
  std::vector<std::uint8_t> descending(n);
  for (std::size_t c = 0; c < n; ++c) {
    descending[c] = t.direction[c] < 0;
    for (std::size_t k = 0; k < levels; ++k) at[c * levels + k] = t.direction[c] * t.at[k * n + c];
  }
  return {t.levels, at, descending, range};
}

}  // namespace coarsegrad::packed
