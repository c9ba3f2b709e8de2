#pragma once
// Integer thresholds: where the codes change that a quantizer makes of whole sums, whatever floats stand between the
// two. They are found by asking that very arithmetic, so that ties, rounding, saturation, scales that are negative or
// zero and channels that never fire are decided as in training.
#include <cstdint>
#include <functional>
#include <vector>

#include "core/compute/bit_planes.h"
#include "core/compute/bit_thresholds.h"

namespace coarsegrad::packed {

/// Levels of sums: the k-th level above the lowest one is reached where direction * sum >= at[k - 1].
struct Thresholds {
  int levels = 1;                            ///< above the lowest one
  std::int64_t channels = 0;                 ///< of a pixel
  std::vector<std::int32_t> at = {};         ///< (levels, channels), ascending along the first axis
  std::vector<std::int32_t> direction = {};  ///< (channels), +1, or -1 where levels fall while sums rise
};

/// The arithmetic from sums to codes, (rows, channels) both: channel by channel, rising or falling.
using CodesOfSums = std::function<void(std::int64_t rows, const float* sums, std::uint8_t* codes)>;

/// The thresholds of `codes_of`, whose bytes are values of `code` up to `highest`, for sums within `range`, which floats
/// hold: it lies within 2^24. A level that no sum reaches has a threshold beyond the range. Throws Error for a range
/// beyond 2^24.
Thresholds find_thresholds(std::int64_t channels, const BitCode& code, int highest, const SumRange& range,
                           const CodesOfSums& codes_of);

/// Turns channels round, those whose flag is not 0: their levels are counted from the highest one down.
void turn(Thresholds& t, const std::vector<std::uint8_t>& channels);

/// As the kernels take them.
BitThresholds bit_thresholds(const Thresholds& t, const SumRange& range);

}  // namespace coarsegrad::packed
