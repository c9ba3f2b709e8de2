#include "core/compute/elementwise.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/row_tasks.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

template <class T>
void map(std::int64_t n, const T* x, T* y, void (*f)(std::int64_t, const T*, T*)) {
  parallel_ranges(n, kTaskElements,
                  [&](std::int64_t begin, std::int64_t end) { f(end - begin, x + begin, y + begin); });
}

template <class T>
void map_rows(std::int64_t rows, std::int64_t cols, const T* x, T* y,
              void (*f)(std::int64_t, std::int64_t, const T*, T*)) {
  const std::int64_t step = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>(cols, 1), 1);
  parallel_ranges(rows, step, [&](std::int64_t begin, std::int64_t end) {
    f(end - begin, cols, x + begin * cols, y + begin * cols);
  });
}

}  // namespace

template <class T>
void fill(std::int64_t n, T value, T* y) {
  parallel_ranges(n, kTaskElements,
                  [&](std::int64_t begin, std::int64_t end) { std::fill(y + begin, y + end, value); });
}

template <class T>
void accumulate(std::int64_t n, const T* x, T* y) {
  map(n, x, y, real_kernels<T>().elementwise.accumulate);
}

template <class T>
void scale(std::int64_t n, T a, const T* x, T* y) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().elementwise.scale(end - begin, a, x + begin, y + begin);
  });
}

template <class T>
void add_row(std::int64_t rows, std::int64_t cols, const T* row, const T* x, T* y) {
  const RowTasks tasks(rows, cols);
  const Scratch<T> wide(static_cast<std::size_t>(tasks.wide_cols()));
  tasks.repeat(row, wide.data());
  parallel_for(tasks.count(), [&](std::int64_t t) {
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t wide_cols) {
      real_kernels<T>().elementwise.add_row(n, wide_cols, wide.data(), x + first, y + first);
    });
  });
}

template <class T>
void column_sums(std::int64_t rows, std::int64_t cols, const T* x, T* sums) {
  const RowTasks tasks = RowTasks::for_sums(rows, cols);
  const Scratch<double> parts(static_cast<std::size_t>((tasks.count() + 1) * cols));
  parallel_for(tasks.count(), [&](std::int64_t t) {
    const Scratch<double> wide(static_cast<std::size_t>(tasks.wide_cols()));
    double* part = parts.data() + t * cols;
    std::fill_n(part, cols, 0.0);
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t wide_cols) {
      real_kernels<T>().elementwise.column_sums(n, wide_cols, x + first, wide.data());
      tasks.add_folded(wide.data(), wide_cols, part);
    });
  });
  double* total = parts.data() + tasks.count() * cols;
  std::fill_n(total, cols, 0.0);
  for (std::int64_t t = 0; t < tasks.count(); ++t)
    for (std::int64_t c = 0; c < cols; ++c) total[c] += parts.data()[t * cols + c];
  for (std::int64_t c = 0; c < cols; ++c) sums[c] = static_cast<T>(total[c]);
}

template <class T>
void exp_forward(std::int64_t n, const T* x, T* y) {
  map(n, x, y, real_kernels<T>().math.exp);
}

template <class T>
void log_forward(std::int64_t n, const T* x, T* y) {
  map(n, x, y, real_kernels<T>().math.log);
}

template <class T>
void tanh_forward(std::int64_t n, const T* x, T* y) {
  map(n, x, y, real_kernels<T>().math.tanh);
}

template <class T>
void sigmoid_forward(std::int64_t n, const T* x, T* y) {
  map(n, x, y, real_kernels<T>().math.sigmoid);
}

template <class T>
void softmax_forward(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  map_rows(rows, cols, x, y, real_kernels<T>().math.softmax);
}

template <class T>
void log_softmax_forward(std::int64_t rows, std::int64_t cols, const T* x, T* y) {
  map_rows(rows, cols, x, y, real_kernels<T>().math.log_softmax);
}

template <class T>
void sgd_update(std::int64_t n, const SgdStep<T>& step, const T* gradient, T* weight, T* buf) {
  check(buf || step.momentum == 0, "sgd: given momentum ", step.momentum, " without a buffer");
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().update.sgd(end - begin, step, gradient + begin, weight + begin, buf ? buf + begin : nullptr);
  });
}

template <class T>
void adam_update(std::int64_t n, const AdamStep<T>& step, const T* gradient, T* weight, T* m, T* v) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<T>().update.adam(end - begin, step, gradient + begin, weight + begin, m + begin, v + begin);
  });
}

#define COARSEGRAD_INSTANTIATE(T)                                              \
  template void fill(std::int64_t, T, T*);                                     \
  template void accumulate(std::int64_t, const T*, T*);                        \
  template void scale(std::int64_t, T, const T*, T*);                          \
  template void add_row(std::int64_t, std::int64_t, const T*, const T*, T*);   \
  template void column_sums(std::int64_t, std::int64_t, const T*, T*);         \
  template void exp_forward(std::int64_t, const T*, T*);                       \
  template void log_forward(std::int64_t, const T*, T*);                       \
  template void tanh_forward(std::int64_t, const T*, T*);                      \
  template void sigmoid_forward(std::int64_t, const T*, T*);                   \
  template void softmax_forward(std::int64_t, std::int64_t, const T*, T*);     \
  template void log_softmax_forward(std::int64_t, std::int64_t, const T*, T*); \
  template void sgd_update(std::int64_t, const SgdStep<T>&, const T*, T*, T*); \
  template void adam_update(std::int64_t, const AdamStep<T>&, const T*, T*, T*, T*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
