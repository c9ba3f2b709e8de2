#pragma once
// Convolution by Winograd's F(4x4, 3x3) and F(2x2, 5x5): 36 products instead of 144 and of 100, paid for with transforms of
// images and kernels, and with about a digit of accuracy. Float, stride 1, no groups, no dilation.
// What is not finite, or overflows in a transform, would spread over a tile. It always shows in the results,
// which are looked at as they are written; images whose results are not all finite (backward weight: the
// whole sum) are computed again by the direct convolution. So the algorithm depends on shape and data, never
// on threads; forward, on those of the image alone, which has the same outputs in every batch.
#include "core/base/memory.h"
#include "core/compute/conv.h"

namespace coarsegrad::winograd {

/// Whether the algorithm applies to this convolution and pays in large batches, by the shape of an image and the kernel
/// table in use: what forward() is chosen by.
bool covers(const ConvShape& s);
/// Whether it pays for the gradient with respect to x, in a batch like this one.
bool covers_data(const ConvShape& s);
/// The same for the gradient with respect to the weight.
bool covers_weight(const ConvShape& s);

/// The weight transformed, in the order in which forward() reads it: 36 floats for the taps of each kernel.
Scratch<float> packed(const ConvShape& s, const float* weight);
/// y = conv(x, weight) + bias, from the packed weight; bias may be null. Layouts as in conv2d_forward.
void forward(const ConvShape& s, Elements<float> x, const float* weight, const float* packed_weight, const float* bias,
             ElementSink<float> y);
/// dx = the gradient with respect to x.
void backward_data(const ConvShape& s, Elements<float> dy, const float* weight, ElementSink<float> dx);
/// dweight = the gradient with respect to the weight.
void backward_weight(const ConvShape& s, Elements<float> x, Elements<float> dy, float* dweight);

}  // namespace coarsegrad::winograd
