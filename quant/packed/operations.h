#pragma once
// The operations of a packed model apart from convolutions and dense layers, on values of one batch: each gives the
// bits that the op of core/ops.h gives in an evaluation.
#include "quant/packed/model.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// y = (x - mean) * factor + shift.
Value normalized(const Norm& o, const Value& x);
/// Codes, or floats where there is a NaN, which has no code.
Value quantized(const Quantize& o, const Value& x);
/// Codes with a sign, or floats where there is a NaN.
Value on_levels(const Levels& o, const Value& x);
/// max(x, 0).
Value rectified(const Value& x);
/// |x|.
Value absolute(const Value& x);
/// min(max(x, lower), upper).
Value clamped(const Clamp& o, const Value& x);
/// a + b.
Value sum(const Value& a, const Value& b);
/// Unsigned codes stay codes, all else becomes floats.
Value max_pooled(const Window& o, const Value& x);
/// The mean of each window.
Value average_pooled(const Window& o, const Value& x);
/// The mean of each channel.
Value channel_means(const Value& x);
/// Codes stay codes.
Value subsampled(const Subsample& o, const Value& x);

}  // namespace coarsegrad::packed
