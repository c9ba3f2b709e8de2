#pragma once
// The variants of a comparison of methods: each row of the table of methods at some bits, as a training by a budget of
// epochs that all share.
#include <string>
#include <utility>
#include <vector>

#include "experiments/training/comparison.h"

namespace coarsegrad::experiments {

/// What is compared.
struct VariantSettings : ComparisonSettings {
  std::vector<std::string> methods = {};  ///< rows of the table of methods, float apart
  std::vector<int> bits{1, 2};            ///< that each method is given where it has them; {0}: none but its own
  std::string layers =
      "not_last";        ///< that are quantized: "own": as each paper has it, else "all", "not_last", "inner"
  bool own_bits = true;  ///< whether each method is trained at the bits of its own paper, too
  double bop_lr = 1e-3;  ///< learning rate of adam, which moves what bop does not
};

/// Bits of weights and activations; 0: float.
using Bits = std::pair<int, int>;

/// A row of the results: a method, by its number in VariantSettings::methods, at some bits; the float control is behind
/// the last method.
struct Variant {
  std::size_t method = 0;  ///< number of the method
  Bits bits = {};          ///< {0, 0} for the float control

  /// The numbers that tell it apart: method, bits of the weights, bits of the activations.
  std::vector<double> key() const {
    return {static_cast<double>(method), static_cast<double>(bits.first), static_cast<double>(bits.second)};
  }
};

/// All variants, those of each method by ascending bits, the float control last. Throws UsageError for bits 0 beside
/// others, and for an unknown method.
std::vector<Variant> variants_of(const VariantSettings& s);

/// The training of a variant by `epochs` epochs in all: schedules in epochs are stretched to them, stages divide them.
/// The layers are those that all are given, or the method's own. Float activations are those of the float network, and
/// a clipping level starts where these end, so that activations fire from the first step on. Its name says method and
/// bits.
CellPlan plan_of(const VariantSettings& s, const Variant& variant, int epochs);

}  // namespace coarsegrad::experiments
