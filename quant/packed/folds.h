#pragma once
// Nodes of a packed model that are carried out as one, ending in a quantizer. Both give the codes of the nodes one after
// another, bit for bit.
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "quant/packed/model.h"
#include "quant/packed/product.h"
#include "quant/packed/thresholds.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// What is known of the nodes of a model when folds are looked for.
struct Nodes {
  const Model& model;                                         ///< sound
  std::vector<Shape> shapes = {};                             ///< of a sample
  std::vector<Kind> kinds = {};                               ///< of the values
  std::vector<int> uses = {};                                 ///< how often each value is read
  std::vector<std::unique_ptr<const Product>> products = {};  ///< by node; null for others

  /// The node of that number.
  const Node& node(int number) const { return model.nodes[at(number)]; }
  /// Its product; null where it multiplies nothing.
  const Product* product(int number) const { return products[at(number)].get(); }
  /// Whether one other node alone reads the value.
  bool alone(int number) const { return uses[at(number)] == 1; }
  /// The place of a node in the vectors.
  static std::size_t at(int number) { return static_cast<std::size_t>(number); }
};

/// The levels of a quantizer as functions of the sums of a product on codes.
struct LevelsOfSums {
  int product,                            ///< node of the product
      pool;                               ///< node of a pooling of the levels, or -1
  std::vector<int> inner;                 ///< all nodes between the product and the quantizer, the product among them
  Thresholds thresholds;                  ///< of the sums
  SumRange range;                         ///< of the sums
  std::vector<std::uint8_t> turned = {};  ///< channels in which the lowest level wins in the pooling; empty: none
};

/// A product on codes whose sums thresholds turn into codes, maybe after a pooling of the levels.
struct ThresholdFold {
  int product,                            ///< node of the product
      pool = -1;                          ///< node of the pooling, or none
  std::vector<int> inner = {};            ///< all nodes whose values are not made
  BitThresholds thresholds;               ///< of the sums
  std::vector<std::uint8_t> turned = {};  ///< channels whose levels are counted from the highest one down, so that the
                                          ///< largest wins in the pooling; empty: none

  /// The codes. x: what the product reads, in codes.
  Value run(const Nodes& nodes, const Value& x, const Target& to) const;
};

/// A normalisation, maybe the sum with another value, and the quantizer, in one pass over floats.
struct ExpressionFold {
  int from,                     ///< node that the normalisation reads
      norm,                     ///< node of the normalisation
      add = -1;                 ///< node whose value is added, or none
  std::vector<int> inner = {};  ///< all nodes whose values are not made
};

/// The levels of the quantizer `number` (a Quantize or Levels) of sums. They need values that nobody else reads, a
/// product on codes, at most 15 levels, sums below 2^24, and what the quantizer reads finite for all of them, so that no
/// NaN decides anything.
std::optional<LevelsOfSums> levels_of_sums(const Nodes& nodes, int number);
/// The fold by thresholds that ends in the quantizer `number`. None also where an ExpressionFold is faster: on bytes,
/// where more than two thresholds lie on no line.
std::optional<ThresholdFold> threshold_fold(const Nodes& nodes, int number);
/// The fold by the float expression that ends in the Quantize `number`.
std::optional<ExpressionFold> expression_fold(const Nodes& nodes, int number);

}  // namespace coarsegrad::packed
