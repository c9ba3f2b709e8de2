#pragma once
// The operations of a packed model apart from convolutions and dense layers, on values of one batch: each gives the
// bits that the op of core/ops.h gives in an evaluation. What they put out goes to `to` where it is of the planned kind.
#include "quant/packed/model.h"
#include "quant/packed/value.h"

namespace coarsegrad::packed {

/// What comes in, in the form that it has there: codes of pixels as bytes, or floats.
Kind kind_of(const Input& o);
/// Samples as they come in, of shape `batch`: floats where they lie, or the nearest codes of pixels. Throws Error for a
/// pixel that is NaN, which has no code.
Value taken_in(const Input& o, const Shape& batch, const float* samples);
/// Bytes of pixels, whose codes are 128 less.
Value taken_in(const Input& o, const Shape& batch, const std::uint8_t* pixels);

/// What a quantizer puts out, as bytes, and the value of its highest level.
Kind kind_of(const Quantize& o);
Kind kind_of(const Levels& o);
int highest_code(const Quantize& o);
int highest_code(const Levels& o);
/// Codes of n values, none of them NaN, as bytes.
void encode(const Quantize& o, std::int64_t n, const float* x, std::uint8_t* codes);
void encode(const Levels& o, std::int64_t n, const float* x, std::uint8_t* codes);

/// y = (x - mean) * factor + shift.
Value normalized(const Norm& o, const Value& x, const Target& to);
/// Codes, or floats where there is a NaN, which has no code.
Value quantized(const Quantize& o, const Value& x, const Target& to);
/// The codes of (x - mean) * factor + shift + add in one pass, where add may be null; no value where there is a NaN.
Value normalized_quantized(const Norm& norm, const Quantize& o, const Value& x, const Value* add, const Target& to);
/// Codes with a sign, or floats where there is a NaN.
Value on_levels(const Levels& o, const Value& x, const Target& to);
/// (tanh(x) + 1) / 2.
Value unit_tanh(const Value& x, const Target& to);
/// max(x, 0).
Value rectified(const Value& x, const Target& to);
/// |x|.
Value absolute(const Value& x, const Target& to);
/// min(max(x, lower), upper).
Value clamped(const Clamp& o, const Value& x, const Target& to);
/// a + b.
Value sum(const Value& a, const Value& b, const Target& to);
/// Codes stay codes.
Value max_pooled(const Window& o, const Value& x, const Target& to);
/// The mean of each window.
Value average_pooled(const Window& o, const Value& x, const Target& to);
/// The mean of each channel.
Value channel_means(const Value& x, const Target& to);
/// Codes stay codes.
Value subsampled(const Subsample& o, const Value& x, const Target& to);
/// The codes of subsampled(): signs that get zeros between them take a bit more.
BitCode subsampled_code(const Subsample& o, const BitCode& code);

/// The same elements under another shape; planes stay planes where those of both shapes are the same.
Value reshaped(const Value& x, const Shape& shape, const Target& to);

}  // namespace coarsegrad::packed
