#include "core/compute/float_weights.h"

#include "core/base/check.h"
#include "core/compute/conv_columns.h"
#include "core/compute/conv_direct.h"
#include "core/compute/conv_winograd.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {

FloatWeights::FloatWeights(const ConvShape& s, const float* weight)
    : shape_(s),
      weight_(weight),
      algorithm_(fastest(s)),
      kernels_(&active_kernels()),
      packed_(algorithm_ == Algorithm::winograd ? winograd::packed(s, weight)
              : algorithm_ == Algorithm::direct ? direct::packed(s, weight)
                                                : Scratch<float>(0)) {}

FloatWeights::Algorithm FloatWeights::fastest(const ConvShape& s) {
  s.validate("conv2d_forward");
  if (winograd::covers(s)) return Algorithm::winograd;
  return direct::covers(s) ? Algorithm::direct : Algorithm::columns;
}

void FloatWeights::forward(std::int64_t batch, Elements<float> x, const float* bias, ElementSink<float> y) const {
  check(kernels_ == &active_kernels(),
        "conv2d_forward: given a weight that is packed for another kernel table, "
        "expected one for that in use");
  ConvShape s = shape_;
  s.batch = batch;
  switch (algorithm_) {
    case Algorithm::winograd:
      return winograd::forward(s, x, weight_, packed_.data(), bias, y);
    case Algorithm::direct:
      return direct::forward(s, x, packed_.data(), bias, y);
    case Algorithm::columns: {
      const ElementWindow<float> in(x, 0, s.inputs());
      const SinkWindow<float> out(y, 0, s.outputs());
      return columns::forward(s, in.data(), weight_, bias, out.data());
    }
  }
}

}  // namespace coarsegrad
