#pragma once
// A training in stages: each starts from the float copies of the one before, only the quantizers change.
// Source: Zhuang, Shen, Tan, Liu, Reid, "Towards effective low-bitwidth convolutional neural networks" (CVPR
// 2018, arXiv 1711.00205): weights first, then activations (two stages), and from many bits to few
// (progressive quantization).
#include <vector>

namespace coarsegrad {

/// One stage of a training.
struct TrainingStage {
  /// 1 to 16; 0: float.
  int weight_bits = 0, activation_bits = 0;  ///< 1 to 16; 0: float
  /// Equal bits of both.
  bool operator==(const TrainingStage&) const = default;
};

/// The stages that end in `target`. With `progressive` bits, descending, each of them comes first, never
/// below the target's (32 stands for float; where that changes nothing the stage is left out). With
/// `two_stage` a stage that quantizes both is preceded by one with the same weights and float activations.
/// What is float in the target is float in every stage. Throws UsageError for bits that do not descend.
std::vector<TrainingStage> stages(const TrainingStage& target, const std::vector<int>& progressive, bool two_stage);

}  // namespace coarsegrad
