#pragma once
// The scales of a layer on codes.
#include <cstdint>
#include <span>

#include "core/base/check.h"
#include "core/base/memory.h"

namespace coarsegrad {

/// One scale for each of `channels` output channels, from as many or from one for all. Throws Error in the name of `op`
/// for any other number.
inline Scratch<float> scales_of_channels(const char* op, std::int64_t channels, std::span<const float> scale) {
  const auto given = static_cast<std::int64_t>(scale.size());
  check(given == 1 || given == channels, op, ": given ", given, " scales, expected 1 or one for each of ", channels,
        " channels");
  Scratch<float> all(static_cast<std::size_t>(channels));
  for (std::int64_t o = 0; o < channels; ++o)
    all[static_cast<std::size_t>(o)] = scale[static_cast<std::size_t>(given == 1 ? 0 : o)];
  return all;
}

}  // namespace coarsegrad
