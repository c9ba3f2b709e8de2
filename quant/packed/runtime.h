#pragma once
// A packed model, ready to run. It computes the bits of the trained network's evaluation (quant/evaluation_scope.h)
// with the same kernel table:
//   const packed::Runtime net(packed::read_model("resnet20.cgpacked"));
//   net.run(batch, images, logits);
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "quant/packed/model.h"
#include "quant/packed/product.h"
#include "quant/packed/thresholds.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// How a convolution or dense layer runs.
struct LayerPlan {
  std::string name = {};            ///< of its node
  std::string_view operation = {};  ///< "conv2d" or "linear"
  Codebook codebook = {};           ///< of its weights
  int weight_bits = 32,             ///< of a packed weight; 32: float
      input_bits = 32;              ///< of the values that come in; 32: float
  ProductKernel kernel = {};        ///< what multiplies
  std::string thresholds = {};      ///< the quantizer whose codes it writes by integer thresholds; empty: none
  Shape weight = {};                ///< shape of its weights
  std::int64_t bytes = 0,           ///< of its weights, scales and bias in the file
      float_bytes = 0;              ///< of the same as floats
};

/// A packed model with its weights unpacked and its thresholds found. Nothing in it changes: several threads may run
/// it.
class Runtime {
 public:
  /// Throws Error as check_model() does.
  explicit Runtime(Model model);

  /// The shape of a sample that goes in, and of the output for it.
  const Shape& input() const { return shapes_.front(); }
  const Shape& output() const { return shapes_.back(); }
  /// The model.
  const Model& model() const { return *model_; }

  /// Called behind each step of a run with the node whose value it made, that value and how long it took. What comes in
  /// is no step, and neither is a node whose work is a part of another one's.
  using Observer = std::function<void(const Node& node, const Value& value, double seconds)>;
  /// Carries the model out for `batch` samples, channels last. Throws Error for a batch below 1 and for spans of other
  /// sizes than the shapes ask for.
  void run(std::int64_t batch, std::span<const float> samples, std::span<float> outputs,
           const Observer& observer = {}) const;

  /// How each layer with weights runs, in their order.
  std::vector<LayerPlan> plan() const;

 private:
  // What is known of a node's value before it is there.
  struct Kind {
    InputKind kind = InputKind::floats;
    int bits = 32, levels = 0;
    float scale = 1;
  };
  // A product, a pooling and a normalisation behind it (or none), and the quantizer that ends them.
  struct Fold {
    int product = -1, pool = -1, norm = -1, quantize = -1;
    Thresholds thresholds = {};
  };
  struct Run;

  Kind kind_of_node(const Node& node) const;
  const Node& node(int number) const { return model_->nodes[static_cast<std::size_t>(number)]; }
  void find_fold(int quantize);
  bool fits(const Fold& fold) const;
  void values_of_sums(const Fold& fold, std::int64_t rows, const float* sums, float* values) const;
  Value computed(int number, const std::vector<Value>& values) const;
  Value folded(const Fold& fold, const Value& x) const;

  std::unique_ptr<const Model> model_;  // does not move: products refer to its operations
  std::vector<Shape> shapes_;
  std::vector<Kind> kinds_;
  std::vector<int> uses_;                           // how often each value is read
  std::vector<std::unique_ptr<Product>> products_;  // by node; null for others
  std::vector<std::unique_ptr<Fold>> folds_;        // by the node of the product; null where it has none
};

}  // namespace coarsegrad::packed
