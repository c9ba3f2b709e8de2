#pragma once
// Integer thresholds: from sums of products to the levels of the next layer.
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace coarsegrad {

/// Whole numbers from `lowest` to `highest`.
struct SumRange {
  std::int64_t lowest,  ///< the least
      highest;          ///< the greatest
};

/// Integer thresholds of each channel: what batch normalisation, bias and quantizer become. A channel's level is the
/// number of its thresholds t with sum >= t, or sum <= t where it is descending. The smallest and the largest
/// std::int32_t as thresholds make levels that are always, or never, reached.
class BitThresholds {
 public:
  /// thresholds: (channels, count), descending: one flag for each channel. Throws Error unless there are as many of
  /// both, and 1 <= count <= 255. `range`: what all sums lie in, where that is known. Thresholds that lie at nearly
  /// equal distances, as those of a uniform grid do, are then replaced by a straight line wherever that gives the same
  /// level for each of these sums, which takes less time than to compare with more than two of them.
  BitThresholds(int count, std::span<const std::int32_t> thresholds, std::span<const std::uint8_t> descending,
                std::optional<SumRange> range = {});

  /// Thresholds of a channel.
  int count() const { return count_; }
  /// Channels.
  std::int64_t channels() const { return static_cast<std::int64_t>(flip_.size()); }
  /// Planes that hold the levels.
  int bits() const;
  /// Whether levels are those of straight lines.
  bool is_line() const { return !slope_.empty(); }
  /// The levels of the sums of n channels of a pixel, from channel `first` on.
  void levels_of(std::int64_t first, std::int64_t n, const std::int32_t* sums, std::uint8_t* levels) const;
  /// The same levels as bits() planes, of which plane k begins at planes + k * row: ceil(n / 64) words each. Bit c
  /// belongs to channel first + c; bits beyond the n channels are 0.
  void planes_of(std::int64_t first, std::int64_t n, const std::int32_t* sums, std::uint64_t* planes,
                 std::int64_t row) const;

 private:
  void find_lines(std::span<const std::int32_t> thresholds, const SumRange& range);

  int count_;
  std::vector<std::int32_t> flip_, bounds_;  // (channels), (count, channels): bits.threshold's
  std::vector<float> slope_, start_;         // (channels): bits.line's; empty where comparisons are needed
};

}  // namespace coarsegrad
