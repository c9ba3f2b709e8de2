#pragma once
// Convolution by way of a column matrix and matrix products: any stride, padding, dilation and groups, one
// image and one group at a time. conv.cpp comes here with what the direct kernels do not cover.
#include "core/compute/conv.h"

namespace coarsegrad::columns {

template <class T>
void forward(const ConvShape& s, const T* x, const T* weight, const T* bias, T* y);
template <class T>
void backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx);
template <class T>
void backward_weight(const ConvShape& s, const T* x, const T* dy, T* dweight);

}  // namespace coarsegrad::columns
