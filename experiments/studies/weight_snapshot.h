#pragma once
// What the weights of a layer look like at a moment of a training: histograms of the float copies and of what
// the network computes with, each in units of its own root mean square, so that layers and methods compare.
#include <array>

#include "core/tensor.h"

namespace coarsegrad::experiments {

/// One weight of a network at one moment.
struct WeightSnapshot {
  /// Bins are 0.1 wide and centred on -4, -3.9, ..., 4: zero and +-1, where binary weights lie, are in the
  /// middle of one. What lies outside counts in the outermost.
  static constexpr int kMiddle = 40, kBins = 2 * kMiddle + 1;
  static double centre(int bin) { return 0.1 * (bin - kMiddle); }

  double float_rms = 0, used_rms = 0;  ///< root mean squares
  double distance = 0;                 ///< smallest |w - c x|^2 / |w|^2 over c: float weights w, used ones x
  double flips = 0;                    ///< share of float weights on the other side of zero than at the start
  std::array<double, kBins> float_share = {}, used_share = {};  ///< sum to 1
};

/// The snapshot of a weight with at least one element; `start` is its float copy at the start. Throws Error where the
/// shapes differ.
WeightSnapshot snapshot_of(const Tensor& value, const Tensor& used, const Tensor& start);

}  // namespace coarsegrad::experiments
