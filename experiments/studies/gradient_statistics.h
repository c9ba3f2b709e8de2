#pragma once
// What quantized gradients do to the weights' gradients of one batch: they stay what they are on average, and
// each quantizer at or above a layer adds its share to their variance. Source: Chen, Gai, Yao, Mahoney,
// Gonzalez, NeurIPS 2020 (arXiv 2010.14298), theorems 1 and 2, for a batch that stays the same:
//   Var[grad W_k] = sum over l >= k of E Var[Q(g_l) gamma_kl | g_l],
// where gamma_kl takes the gradient g_l of the output of layer l to that of W_k.
#include <functional>
#include <string>
#include <vector>

#include "nn/module.h"
#include "quant/gradients/gradient_rule.h"

namespace coarsegrad::experiments {

/// The gradient of the weight of one Conv2d or Linear.
struct LayerStatistics {
  std::string layer;
  std::vector<double> exact;  ///< without quantizers, entry by entry
  std::vector<double> mean;   ///< mean with quantizers over the draws, entry by entry
  std::vector<double> sigma;  ///< standard deviation with quantizers over the draws, entry by entry
  double measured = 0;        ///< sum of the variances of all entries over the draws
  double predicted = 0;       ///< sum of the variances of all entries by theorem 2
};

/// `loss` passes the batch through `net`, which must not be random itself. gamma is found by a forward and a
/// backward pass for each element of each layer's output: for small nets. The quantizers must round their
/// entries independently (bhq does not). Expectations of the prediction are taken over the first
/// `predictions` of the draws. Throws Error for less than 2 draws or no predictions.
std::vector<LayerStatistics> gradient_statistics(nn::Module& net, const std::function<Var()>& loss,
                                                 const quant::GradientRuleOptions& options, std::int64_t draws,
                                                 std::int64_t predictions, const Rng& rng);

}  // namespace coarsegrad::experiments
