#pragma once
// The layers. Images are (N, H, W, C). A layer with weights takes its own random stream: rng.split("conv1").
#include <cstdint>

#include "core/compute/random.h"
#include "core/ops.h"
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// y = x weight^T + bias, (N, in) -> (N, out). Weight and bias start uniform on +-1 / sqrt(in). forward() throws Error
/// for an input of another shape.
class Linear : public Module {
 public:
  /// From `in` to `out` features. Throws Error unless both are 1 or more.
  Linear(std::int64_t in, std::int64_t out, const Rng& rng, bool with_bias = true);

  Var forward(const Var& x) override;
  Parameter* weight_parameter() override { return &weight; }
  OutputGradientMap* output_gradient_map() override { return &gradient_map; }

  Parameter& weight;               ///< (out, in)
  Parameter* bias;                 ///< (out), or null
  OutputGradientMap gradient_map;  ///< empty at first
};

/// Shape of a convolution. Where a HeightWidth is meant, one number stands for both axes.
struct ConvOptions {
  std::int64_t in = 0,      ///< channels of the input, a multiple of `groups`
      out = 0;              ///< channels of the output, a multiple of `groups`
  HeightWidth kernel = 3;   ///< taps
  HeightWidth stride = 1,   ///< pixels, >= 1
      padding = 0,          ///< pixels of zeros on each side
      dilation = 1;         ///< pixels from tap to tap, >= 1
  std::int64_t groups = 1;  ///< each convolves its share of the channels alone
  bool bias = true;         ///< adds a trained constant to each output channel
};
/// Convolution of images, (N, H, W, in) -> (N, H', W', out) (conv2d of core/ops.h). Weight and bias start uniform on
/// +-1 / sqrt(fan in). forward() throws Error for an input of another shape.
class Conv2d : public Module {
 public:
  /// Throws Error unless channels and groups are positive and `in` is a multiple of `groups`.
  Conv2d(const ConvOptions& options, const Rng& rng);

  Var forward(const Var& x) override;
  Parameter* weight_parameter() override { return &weight; }
  OutputGradientMap* output_gradient_map() override { return &gradient_map; }

  const ConvOptions options;       ///< those that the layer was made with
  Parameter& weight;               ///< (out, kh, kw, in / groups)
  Parameter* bias;                 ///< (out), or null
  OutputGradientMap gradient_map;  ///< empty at first
};

/// Settings of a batch normalisation, with PyTorch's defaults.
struct BatchNormOptions {
  bool affine = true;     ///< with trained scale and shift, both without weight decay
  double eps = 1e-5;      ///< finite, >= 0
  double momentum = 0.1;  ///< weight of the batch in the running statistics, 0 to 1
};
/// Normalises each channel (the last axis): over the batch in training mode, by running statistics in evaluation mode.
/// In training mode forward() throws Error for fewer than two values per channel. forward() takes the statistics and
/// returns a deferred tensor: the output is made only where somebody reads it, which an activation behind it does not.
class BatchNorm : public Module {
 public:
  /// Throws Error for options out of range.
  explicit BatchNorm(std::int64_t channels, const BatchNormOptions& options = {});

  Var forward(const Var& x) override;
  std::vector<RunningStatistic> running_statistics() override;

  /// Length of the last axis of input and output.
  std::int64_t channels() const { return running_mean.numel(); }

  const BatchNormOptions options;  ///< those that the layer was made with
  Parameter* scale;                ///< (channels), or null
  Parameter* shift;                ///< (channels), or null
  Tensor& running_mean;            ///< (channels), 0 at first
  Tensor& running_var;             ///< (channels), unbiased, 1 at first
};

/// Largest element of each window, channel by channel; PoolOptions (core/ops.h) say which windows there are.
class MaxPool2d : public Module {
 public:
  /// Windows of 2 x 2 pixels by default. Options out of range are found by forward().
  explicit MaxPool2d(const PoolOptions& options = {}) : options_(options) {}

  Var forward(const Var& x) override { return max_pool2d(x, options_); }

 private:
  PoolOptions options_;
};

/// Mean of each window, channel by channel, the padded zeros counted; PoolOptions (core/ops.h) say which windows there
/// are.
class AvgPool2d : public Module {
 public:
  /// Windows of 2 x 2 pixels by default. Options out of range are found by forward().
  explicit AvgPool2d(const PoolOptions& options = {}) : options_(options) {}

  Var forward(const Var& x) override { return avg_pool2d(x, options_); }

 private:
  PoolOptions options_;
};

/// Mean of each channel over the image, (N, H, W, C) -> (N, C).
class GlobalAvgPool2d : public Module {
 public:
  Var forward(const Var& x) override { return global_avg_pool2d(x); }
};

/// (N, ...) -> (N, product of the other extents). forward() throws Error for a scalar.
class Flatten : public Module {
 public:
  Var forward(const Var& x) override;
};

/// Sets elements to 0 at random and divides the others by 1 - p, in training mode only. Successive calls draw
/// successive numbers of one stream.
class Dropout : public Module {
 public:
  /// An element becomes 0 with probability p, 0 <= p < 1.
  Dropout(Real p, const Rng& rng) : p_(p), rng_(register_generator("rng", rng)) {}

  Var forward(const Var& x) override { return training() ? dropout(x, p_, rng_) : x; }

 private:
  Real p_;
  Rng& rng_;
};

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
