#pragma once
// What the coarse gradient of each layer is like: does it point where that of the clipped ReLU does, and
// where the loss falls? How long is it, and how many inputs of the activation let it through?
#include <cstdint>
#include <string>
#include <vector>

#include "core/compute/random.h"
#include "datasets/dataset.h"
#include "nn/module.h"

namespace coarsegrad::experiments {

/// The convolutions and dense layers of a network for images (H,W,C), by name, in the order of the forward pass.
std::vector<std::string> layer_names(nn::Module& net, const Shape& image);

/// The coarse gradient of one layer.
struct LayerDiagnostics {
  double cosine_to_reference = 0;  ///< to the gradient of the reference; NaN where one of the two is 0
  double cosine_to_descent = 0;    ///< as diagnose() estimates it; NaN where it was not asked for
  double gradient_norm = 0;        ///< Euclidean
  double active_share = 0;         ///< share of the next activation's inputs in (0, K alpha]; NaN: none
};

struct DiagnosticsOptions {
  int directions = 8;  ///< 0: no estimate of the descent
  double step = 0.02;  ///< of the differences, relative to the norm of the layer's weights
};

/// Compares the coarse gradients of `net` with those of `reference`, a network with the same state and another
/// straight-through estimator, for one batch, in training mode; both keep their state. cosine_to_descent compares,
/// over `directions` random unit directions u of a layer's weights w, the differences (f(w + h u) - f(w - h u)) / 2h,
/// h = step * |w|, of the true, piecewise constant loss f with <g, u>, what the coarse gradient g says: 1 where both
/// agree up to a factor. With 8 directions its standard deviation around 0 is about 0.35 for a gradient that knows
/// nothing. Throws Error for networks of different numbers of layers.
std::vector<LayerDiagnostics> diagnose(nn::Module& net, nn::Module& reference, const datasets::Dataset& images,
                                       const DiagnosticsOptions& options, const Rng& rng);

}  // namespace coarsegrad::experiments
