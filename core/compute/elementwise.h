#pragma once
// Simple sweeps over arrays and row-major matrices. T is float or double. Bitwise the same for any number of
// threads; which of them are the same for every kernel table is said in core/kernels/elementwise.h, math.h
// and update.h.
#include <cstdint>

#include "core/kernels/update.h"

namespace coarsegrad {

/// y = value.
template <class T>
void fill(std::int64_t n, T value, T* y);
/// y += x.
template <class T>
void accumulate(std::int64_t n, const T* x, T* y);
/// y = a * x. y may be x.
template <class T>
void scale(std::int64_t n, T a, const T* x, T* y);

/// y[r][c] = x[r][c] + row[c]: adds a bias. y may be x.
template <class T>
void add_row(std::int64_t rows, std::int64_t cols, const T* row, const T* x, T* y);
/// sums[c] = sum of column c: the gradient of a bias. Long sums go on in double. No rows: 0.
template <class T>
void column_sums(std::int64_t rows, std::int64_t cols, const T* x, T* sums);

/// y = f(x) element by element, f the function in the name; y may be x. Error bounds: core/kernels/math.h.
template <class T>
void exp_forward(std::int64_t n, const T* x, T* y);
template <class T>
void log_forward(std::int64_t n, const T* x, T* y);
template <class T>
void tanh_forward(std::int64_t n, const T* x, T* y);
template <class T>
void sigmoid_forward(std::int64_t n, const T* x, T* y);

/// y = the softmax of each row of x. y may be x.
template <class T>
void softmax_forward(std::int64_t rows, std::int64_t cols, const T* x, T* y);
/// y = the logarithm of the softmax of each row of x. y may be x.
template <class T>
void log_softmax_forward(std::int64_t rows, std::int64_t cols, const T* x, T* y);

using kernels::AdamStep;
using kernels::SgdStep;

/// One step of stochastic gradient descent as torch.optim.SGD does it. buf: the momentum buffer, which may
/// be null if momentum is 0; throws Error otherwise.
template <class T>
void sgd_update(std::int64_t n, const SgdStep<T>& step, const T* gradient, T* weight, T* buf);
/// One step of Adam as torch.optim.Adam does it. m, v: first and second moment, zero before the first step.
template <class T>
void adam_update(std::int64_t n, const AdamStep<T>& step, const T* gradient, T* weight, T* m, T* v);

}  // namespace coarsegrad
