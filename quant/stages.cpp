#include "quant/stages.h"

#include <algorithm>
#include <functional>

#include "core/base/check.h"

namespace coarsegrad {
namespace {

constexpr int kFloat = 32;

// `bits`, but no less than the target's.
int at_least(int target, int bits) {
  if (target == 0) return 0;
  return bits >= kFloat ? 0 : std::max(bits, target);
}

}  // namespace

std::vector<TrainingStage> stages(const TrainingStage& target, const std::vector<int>& progressive, bool two_stage) {
  check_usage(std::ranges::is_sorted(progressive, std::greater_equal<>()),
              "stages: expected bits that descend, each less than the one before");
  std::vector<TrainingStage> plain;
  for (const int bits : progressive) {
    const TrainingStage stage{at_least(target.weight_bits, bits), at_least(target.activation_bits, bits)};
    if (stage != target && (plain.empty() || plain.back() != stage)) plain.push_back(stage);
  }
  plain.push_back(target);
  std::vector<TrainingStage> all;
  for (const TrainingStage& stage : plain) {
    if (two_stage && stage.weight_bits > 0 && stage.activation_bits > 0) all.push_back({stage.weight_bits, 0});
    all.push_back(stage);
  }
  return all;
}

}  // namespace coarsegrad
