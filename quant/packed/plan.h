#pragma once
// How a packed model is carried out: which nodes together, on which kernels, what values are made of, and where in one
// piece of memory they lie.
#include <cstdint>
#include <optional>
#include <vector>

#include "quant/packed/folds.h"

namespace coarsegrad::packed {

/// One step of a run: a node, or several that are carried out as one.
struct Step {
  int node;                                       ///< whose value it makes
  std::optional<ThresholdFold> thresholds = {};   ///< how it is made, where by thresholds
  std::optional<ExpressionFold> expression = {};  ///< or by the float expression
  std::vector<int> reads = {},                    ///< values that have to be there
      last = {};                                  ///< values that nobody reads behind this step
};

/// The plan for one model, made when it is loaded.
struct Plan {
  Nodes nodes;                   ///< with products, whose weights are packed
  std::vector<Step> steps = {};  ///< in the order of a run
  std::vector<std::int64_t> places =
      {};                  ///< bytes per sample from the beginning of the memory to each node's value; -1 where
                           ///< there is none
  std::int64_t bytes = 0;  ///< of that memory, per sample

  /// Refers to the model, which check_model() found sound and gave these shapes for.
  Plan(const Model& model, std::vector<Shape> shapes);

  /// Where the value of a node goes in a memory for so many samples.
  Target target(int number, void* memory, std::int64_t samples) const;

 private:
  void find_steps();
  void choose_forms();
  bool wants_planes(const Step& step, int number) const;
  void note_last_readers();
  void place_values();
};

}  // namespace coarsegrad::packed
