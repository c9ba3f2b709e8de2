#pragma once
// Convolution without a column matrix: the taps of a kernel row and their channels are one contiguous run of
// a channels-last image, so that register tiles read the images as they lie in memory. Float, no groups, no dilation.
#include "core/base/memory.h"
#include "core/compute/conv.h"

namespace coarsegrad::direct {

/// Whether the functions below compute this convolution, with the kernel table in use.
bool covers(const ConvShape& s);

/// The weight in the order in which forward() reads it; the batch does not matter.
Scratch<float> packed(const ConvShape& s, const float* weight);
/// y = conv(x, weight) + bias, from the packed weight; bias may be null. Layouts as in conv2d_forward.
void forward(const ConvShape& s, Elements<float> x, const float* packed_weight, const float* bias,
             ElementSink<float> y);
/// dx = the gradient with respect to x.
void backward_data(const ConvShape& s, Elements<float> dy, const float* weight, ElementSink<float> dx);
/// dweight = the gradient with respect to the weight.
void backward_weight(const ConvShape& s, Elements<float> x, Elements<float> dy, float* dweight);

}  // namespace coarsegrad::direct
