#pragma once
// The layers. Images are (N, H, W, C). A layer with weights takes its own random stream: rng.split("conv1").
#include <cstdint>

#include "core/compute/random.h"
#include "core/ops.h"
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// y = x weight^T + bias, (N, in) -> (N, out). Weight and bias start uniform on +-1 / sqrt(in).
class Linear : public Module {
 public:
  Linear(std::int64_t in, std::int64_t out, const Rng& rng, bool with_bias = true);
  Var forward(const Var& x) override;
  Parameter* weight_parameter() override { return &weight; }
  OutputGradientMap* output_gradient_map() override { return &gradient_map; }

  Parameter& weight;               ///< (out, in)
  Parameter* bias;                 ///< (out), or null
  OutputGradientMap gradient_map;  ///< empty at first
};

struct ConvOptions {
  std::int64_t in = 0, out = 0;  ///< channels
  HeightWidth kernel = 3;
  HeightWidth stride = 1, padding = 0, dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
};
/// Weight and bias start uniform on +-1 / sqrt(fan in).
class Conv2d : public Module {
 public:
  Conv2d(const ConvOptions& options, const Rng& rng);
  Var forward(const Var& x) override;
  Parameter* weight_parameter() override { return &weight; }
  OutputGradientMap* output_gradient_map() override { return &gradient_map; }

  const ConvOptions options;
  Parameter& weight;               ///< (out, kh, kw, in / groups)
  Parameter* bias;                 ///< (out), or null
  OutputGradientMap gradient_map;  ///< empty at first
};

struct BatchNormOptions {
  bool affine = true;     ///< with trained scale and shift, both without weight decay
  double eps = 1e-5;      ///< finite, >= 0
  double momentum = 0.1;  ///< weight of the batch in the running statistics, 0 to 1
};
/// Normalises each channel (the last axis): over the batch in training mode, by running statistics in
/// evaluation mode. In training mode forward() throws Error for fewer than two values per channel. forward() takes the
/// statistics; the output is made where somebody reads it, which an activation behind it has no need of.
class BatchNorm : public Module {
 public:
  /// Throws Error for options out of range.
  explicit BatchNorm(std::int64_t channels, const BatchNormOptions& options = {});
  Var forward(const Var& x) override;
  std::vector<RunningStatistic> running_statistics() override;
  std::int64_t channels() const { return running_mean.numel(); }

  const BatchNormOptions options;
  Parameter* scale;  ///< (channels), or null
  Parameter* shift;  ///< (channels), or null
  Tensor& running_mean;
  Tensor& running_var;
};

class MaxPool2d : public Module {
 public:
  explicit MaxPool2d(const PoolOptions& options = {}) : options_(options) {}
  Var forward(const Var& x) override { return max_pool2d(x, options_); }

 private:
  PoolOptions options_;
};

class AvgPool2d : public Module {
 public:
  explicit AvgPool2d(const PoolOptions& options = {}) : options_(options) {}
  Var forward(const Var& x) override { return avg_pool2d(x, options_); }

 private:
  PoolOptions options_;
};

class GlobalAvgPool2d : public Module {
 public:
  Var forward(const Var& x) override { return global_avg_pool2d(x); }
};

/// (N, ...) -> (N, everything else)
class Flatten : public Module {
 public:
  Var forward(const Var& x) override;
};

/// Active in training mode only. Successive calls draw successive numbers of one stream.
class Dropout : public Module {
 public:
  Dropout(Real p, const Rng& rng) : p_(p), rng_(register_generator("rng", rng)) {}
  Var forward(const Var& x) override { return training() ? dropout(x, p_, rng_) : x; }

 private:
  Real p_;
  Rng& rng_;
};

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
