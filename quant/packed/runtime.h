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
#include "quant/packed/value.h"

namespace coarsegrad::packed {

struct Plan;

/// How a convolution or dense layer runs.
struct LayerPlan {
  std::string name = {};            ///< of its node
  std::string_view operation = {};  ///< "conv2d" or "linear"
  Codebook codebook = {};           ///< of its weights
  int weight_bits = 32,             ///< of a packed weight; 32: float
      input_bits = 32;              ///< of the values that come in; 32: float
  ProductKernel kernel = {};        ///< what multiplies
  std::string thresholds = {};      ///< the quantizer whose codes it writes by integer thresholds; empty: none
  Form writes = {};                 ///< what these codes are, or floats
  Shape weight = {};                ///< shape of its weights
  std::int64_t bytes = 0,           ///< of its weights, scales and bias in the file
      float_bytes = 0;              ///< of the same as floats
};

/// A packed model with its weights packed for the kernel table that is active when it is made, its thresholds found and
/// its memory planned. Nothing in it changes: several threads may run it.
class Runtime {
 public:
  /// Throws Error as check_model() does.
  explicit Runtime(Model model);
  Runtime(Runtime&& other) noexcept;
  ~Runtime();

  /// The shape of a sample that goes in, and of the output for it.
  const Shape& input() const;
  const Shape& output() const;
  /// The model.
  const Model& model() const { return *model_; }
  /// Bytes of the values of one sample on the way through the network: a run takes so many for each of the samples that
  /// are on the way at the same time, beside working space of its layers, and gives them back.
  std::int64_t bytes_per_sample() const;

  /// A step of a run that has made the value of a node, which lives until the call returns. What comes in is no step, and
  /// neither is a node whose work is a part of another one's.
  struct Step {
    const Node& node;    ///< whose value it is
    const Value& value;  ///< of some samples
    std::int64_t first;  ///< number of the first of them
    double seconds;      ///< that the step took
  };
  /// Called behind each step, by one thread at a time.
  using Observer = std::function<void(const Step& step)>;
  /// Carries the model out for `batch` samples, channels last. There are groups of samples that go through the whole
  /// network one after another on a thread each, so that their values stay in its caches, where there are enough for
  /// all threads; else all threads share each step. Where a quantizer reads NaN, which has no code, a training multiplies
  /// floats from there on for the whole batch: it is then carried out once more as one group. Throws Error for a batch
  /// below 1 and for spans of other sizes than the shapes ask for, and for NaN where pixels come in as codes.
  void run(std::int64_t batch, std::span<const float> samples, std::span<float> outputs,
           const Observer& observer = {}) const;
  /// The same for the bytes of images, where the model takes their codes (Input::scale): a byte b stands for
  /// (b - 128) * scale. Throws Error also for other models.
  void run_pixels(std::int64_t batch, std::span<const std::uint8_t> pixels, std::span<float> outputs,
                  const Observer& observer = {}) const;

  /// How each layer with weights runs, in their order.
  std::vector<LayerPlan> plan() const;

 private:
  template <class Sample>
  void run_samples(std::int64_t batch, std::span<const Sample> samples, std::span<float> outputs,
                   const Observer& observer) const;

  std::unique_ptr<const Model> model_;  // does not move: the plan refers to it
  std::unique_ptr<const Plan> plan_;
};

}  // namespace coarsegrad::packed
