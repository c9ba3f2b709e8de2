#pragma once
// Convolution by way of a column matrix and matrix products: any stride, padding, dilation and groups, one
// image and one group at a time. conv.cpp comes here with what the direct kernels do not cover.
#include "core/compute/conv.h"

namespace coarsegrad::columns {

/// y = conv(x, weight) + bias; bias may be null. Layouts as in conv2d_forward.
template <class T>
void forward(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y);
/// dx = the gradient with respect to x.
template <class T>
void backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx);
/// dweight = the gradient with respect to the weight.
template <class T>
void backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight);

}  // namespace coarsegrad::columns
