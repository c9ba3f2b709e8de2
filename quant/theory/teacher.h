#pragma once
// Teachers and starts of the experiments on the two-layer model.
#include "core/compute/random.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::theory {

/// v* = 1, 0.6, -0.4, 0.5 and so on in turn, m >= 1 entries. With m = 4 it has a spurious minimum of loss 0.289.
Vector reference_second_layer(int m);
/// N(0, 1) entries.
Vector normal_vector(int length, Rng rng);
/// A uniformly random direction.
Vector random_unit_vector(int length, Rng rng);
/// A uniformly random direction orthogonal to the unit vector u of length 2 or more; throws Error if it is shorter.
Vector random_orthogonal(const Vector& u, Rng rng);
/// v with N(0, 1) entries, w in a uniformly random direction with length norm_w.
Point random_start(const TwoLayer& model, double norm_w, const Rng& rng);

}  // namespace coarsegrad::theory
