#include "core/base/norm.h"

#include <cmath>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/row_tasks.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

std::size_t size_of(std::int64_t n) { return static_cast<std::size_t>(n); }

// Count, mean and sum of squared deviations of each channel, merged as in Chan, Golub, LeVeque (1983),
// equation 2.1.
struct Moments {
  double* mean;
  double* m2;

  void merge(std::int64_t channels, double n, double n_other, const double* mean_other,
             const double* m2_other) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double delta = n > 0 ? mean_other[c] - mean[c] : 0;
      mean[c] = n > 0 ? mean[c] + delta * (n_other / (n + n_other)) : mean_other[c];
      m2[c] = n > 0 ? m2[c] + m2_other[c] + delta * delta * (n * n_other / (n + n_other)) : m2_other[c];
    }
  }
};

template <class T>
void moments_of_task(const RowTasks& tasks, std::int64_t t, std::int64_t channels, const T* x, Moments out) {
  const Scratch<double> wide(size_of(2 * tasks.wide_cols()));
  double n = 0;
  tasks.sweep(t, [&](std::int64_t first, std::int64_t rows, std::int64_t cols) {
    real_kernels<T>().norm.moments(rows, cols, x + first, wide.data(), wide.data() + cols);
    for (std::int64_t c = 0; c < cols; c += channels) {
      out.merge(channels, n, static_cast<double>(rows), wide.data() + c, wide.data() + cols + c);
      n += static_cast<double>(rows);
    }
  });
}

template <class T>
void moments(std::int64_t rows, std::int64_t channels, const T* x, Moments out) {
  const RowTasks tasks = RowTasks::for_sums(rows, channels);
  const Scratch<double> parts(size_of(2 * tasks.count() * channels));
  const auto part = [&](std::int64_t t) {
    return Moments{parts.data() + 2 * t * channels, parts.data() + (2 * t + 1) * channels};
  };
  parallel_for(tasks.count(), [&](std::int64_t t) { moments_of_task(tasks, t, channels, x, part(t)); });
  double n = 0;
  for (std::int64_t t = 0; t < tasks.count(); ++t) {
    const auto n_part = static_cast<double>(tasks.rows_of(t));
    out.merge(channels, n, n_part, part(t).mean, part(t).m2);
    n += n_part;
  }
}

// sums[c] = sum of dy, sums[channels + c] = sum of dy * (x - mean).
template <class T>
void backward_sums(std::int64_t rows, std::int64_t channels, const T* x, const T* dy, const T* mean,
                   double* sums) {
  const RowTasks tasks = RowTasks::for_sums(rows, channels);
  const Scratch<T> wide_mean(size_of(tasks.wide_cols()));
  tasks.repeat(mean, wide_mean.data());
  const Scratch<double> parts(size_of(2 * tasks.count() * channels));
  parallel_for(tasks.count(), [&](std::int64_t t) {
    const Scratch<double> wide(size_of(2 * tasks.wide_cols()));
    double* part = parts.data() + 2 * t * channels;
    std::fill_n(part, 2 * channels, 0.0);
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t cols) {
      real_kernels<T>().norm.backward_sums(n, cols, x + first, dy + first, wide_mean.data(), wide.data(),
                                           wide.data() + cols);
      tasks.add_folded(wide.data(), cols, part);
      tasks.add_folded(wide.data() + cols, cols, part + channels);
    });
  });
  std::fill_n(sums, 2 * channels, 0.0);
  for (std::int64_t t = 0; t < tasks.count(); ++t)
    for (std::int64_t c = 0; c < 2 * channels; ++c) sums[c] += parts[size_of(2 * t * channels + c)];
}

}  // namespace

template <class T>
void batch_norm_forward(std::int64_t rows, std::int64_t channels, const T* x, const T* scale, const T* shift,
                        T eps, T* y, T* mean, T* var, T* inv_std) {
  check(rows > 0, "batch norm: given no rows to take statistics of, expected at least 1");
  const Scratch<double> stats(size_of(2 * channels));
  const Moments of_x{stats.data(), stats.data() + channels};
  moments(rows, channels, x, of_x);
  for (std::int64_t c = 0; c < channels; ++c) {
    const double v = of_x.m2[c] / static_cast<double>(rows);
    mean[c] = static_cast<T>(of_x.mean[c]);
    var[c] = static_cast<T>(v);
    inv_std[c] = static_cast<T>(1 / std::sqrt(v + static_cast<double>(eps)));
  }
  batch_norm_apply(rows, channels, x, mean, inv_std, scale, shift, y);
}

template <class T>
void batch_norm_apply(std::int64_t rows, std::int64_t channels, const T* x, const T* mean, const T* inv_std,
                      const T* scale, const T* shift, T* y) {
  const RowTasks tasks(rows, channels);
  const Scratch<T> columns(size_of(3 * tasks.wide_cols()));
  T *const m = columns.data(), *const factor = m + tasks.wide_cols(), *const add = factor + tasks.wide_cols();
  for (std::int64_t c = 0; c < channels; ++c) {
    factor[c] = scale ? inv_std[c] * scale[c] : inv_std[c];
    add[c] = shift ? shift[c] : T(0);
  }
  tasks.repeat(mean, m);
  tasks.repeat(factor, factor);
  tasks.repeat(add, add);
  parallel_for(tasks.count(), [&](std::int64_t t) {
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t cols) {
      real_kernels<T>().norm.normalize(n, cols, x + first, m, factor, add, y + first);
    });
  });
}

template <class T>
void batch_norm_backward(std::int64_t rows, std::int64_t channels, const T* x, const T* dy, const T* mean,
                         const T* inv_std, const T* scale, BatchStatistics statistics, T* dx, T* dscale,
                         T* dshift) {
  const bool of_batch = statistics == BatchStatistics::of_batch;
  const Scratch<double> sums(size_of(2 * channels));
  if (dscale || dshift || (dx && of_batch)) backward_sums(rows, channels, x, dy, mean, sums.data());
  const double *const sum_dy = sums.data(), *const sum_dyx = sum_dy + channels;
  for (std::int64_t c = 0; dshift && c < channels; ++c) dshift[c] = static_cast<T>(sum_dy[c]);
  for (std::int64_t c = 0; dscale && c < channels; ++c) dscale[c] = static_cast<T>(sum_dyx[c] * inv_std[c]);
  if (!dx) return;

  const RowTasks tasks(rows, channels);
  const std::int64_t wide = tasks.wide_cols();
  const Scratch<T> columns(size_of(4 * wide));
  T *const m = columns.data(), *const mean_dy = m + wide, *const slope = mean_dy + wide,
           *const factor = slope + wide;
  for (std::int64_t c = 0; c < channels; ++c) {
    const double r = inv_std[c], n = static_cast<double>(rows);
    factor[c] = scale ? inv_std[c] * scale[c] : inv_std[c];
    mean_dy[c] = of_batch ? static_cast<T>(sum_dy[c] / n) : T(0);
    slope[c] = of_batch ? static_cast<T>(sum_dyx[c] * r * r / n) : T(0);
  }
  tasks.repeat(mean, m);
  for (T* column : {mean_dy, slope, factor}) tasks.repeat(column, column);
  parallel_for(tasks.count(), [&](std::int64_t t) {
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t cols) {
      real_kernels<T>().norm.backward(n, cols, x + first, dy + first, m, mean_dy, slope, factor, dx + first);
    });
  });
}

#define COARSEGRAD_INSTANTIATE(T)                                                                           \
  template void batch_norm_forward(std::int64_t, std::int64_t, const T*, const T*, const T*, T, T*, T*, T*, \
                                   T*);                                                                     \
  template void batch_norm_apply(std::int64_t, std::int64_t, const T*, const T*, const T*, const T*,        \
                                 const T*, T*);                                                             \
  template void batch_norm_backward(std::int64_t, std::int64_t, const T*, const T*, const T*, const T*,     \
                                    const T*, BatchStatistics, T*, T*, T*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
