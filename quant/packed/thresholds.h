#pragma once
// Integer thresholds: where the codes change that a quantizer makes of whole sums, whatever floats stand between the
// two. They are found by asking that very arithmetic, so that ties, rounding, saturation, scales that are negative or
// zero and channels that never fire are decided as in training.
#include <cstdint>
#include <functional>
#include <vector>

namespace coarsegrad::packed {

/// Codes of sums: the k-th level (the code -1 is the level 0 of signs) is reached where direction * sum >= at[k - 1].
struct Thresholds {
  int levels = 1;                            ///< above the lowest one
  bool with_sign = false;                    ///< codes are -1 and +1; otherwise 0 to `levels`
  std::int64_t channels = 0;                 ///< of a pixel
  std::vector<std::int32_t> at = {};         ///< (levels, channels), ascending along the first axis
  std::vector<std::int32_t> direction = {};  ///< (channels), +1, or -1 where codes fall while sums rise
};

/// The arithmetic from sums to codes, (rows, channels) both: channel by channel, rising or falling.
using CodesOfSums = std::function<void(std::int64_t rows, const float* sums, std::uint8_t* codes)>;

/// The thresholds of `codes_of` for sums from `lowest` to `highest`, -2^24 < lowest <= highest < 2^24: floats hold all
/// of them. A level that no sum reaches has a threshold beyond them. Throws Error for a range beyond that.
Thresholds find_thresholds(std::int64_t channels, int levels, bool with_sign, std::int64_t lowest, std::int64_t highest,
                           const CodesOfSums& codes_of);

/// Codes of sums, (rows, channels) both: what the arithmetic gives that the thresholds were found by.
void apply_thresholds(const Thresholds& t, std::int64_t rows, const float* sums, std::uint8_t* codes);

}  // namespace coarsegrad::packed
