#include "core/compute/norm.h"

#include <atomic>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/row_tasks.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

std::size_t size_of(std::int64_t n) { return static_cast<std::size_t>(n); }

template <class P>
P* at(P* p, std::int64_t i) {
  return p ? p + i : nullptr;
}

// The kernels for T with x and its gradient kept as Kept.
template <class T, class Kept>
const kernels::Norm<T, Kept>& kernels_for() {
  if constexpr (std::is_same_v<T, Kept>)
    return real_kernels<T>().norm;
  else
    return active_kernels().norm_of_bfloat16;
}

// Count, mean and sum of squared deviations of each channel, merged as in Chan, Golub, LeVeque (1983), equation 2.1
// (number unverified).
struct Moments {
  double* mean;
  double* m2;

  void merge(std::int64_t channels, double n, double n_other, const double* mean_other, const double* m2_other) {
    for (std::int64_t c = 0; c < channels; ++c) {
      const double delta = n > 0 ? mean_other[c] - mean[c] : 0;
      mean[c] = n > 0 ? mean[c] + delta * (n_other / (n + n_other)) : mean_other[c];
      m2[c] = n > 0 ? m2[c] + m2_other[c] + delta * delta * (n * n_other / (n + n_other)) : m2_other[c];
    }
  }
};

template <class T, class Kept>
void moments_of_task(const RowTasks& tasks, std::int64_t t, std::int64_t channels, const Kept* x, Moments out) {
  const Scratch<double> wide(size_of(2 * tasks.wide_cols()));
  double n = 0;
  tasks.sweep(t, [&](std::int64_t first, std::int64_t rows, std::int64_t cols) {
    kernels_for<T, Kept>().moments(rows, cols, x + first, wide.data(), wide.data() + cols);
    for (std::int64_t c = 0; c < cols; c += channels) {
      out.merge(channels, n, static_cast<double>(rows), wide.data() + c, wide.data() + cols + c);
      n += static_cast<double>(rows);
    }
  });
}

template <class T, class Kept>
void moments(std::int64_t rows, std::int64_t channels, const Kept* x, Moments out) {
  const RowTasks tasks = RowTasks::for_sums(rows, channels);
  const Scratch<double> parts(size_of(2 * tasks.count() * channels));
  const auto part = [&](std::int64_t t) {
    return Moments{parts.data() + 2 * t * channels, parts.data() + (2 * t + 1) * channels};
  };
  parallel_for(tasks.count(), [&](std::int64_t t) { moments_of_task<T>(tasks, t, channels, x, part(t)); });
  double n = 0;
  for (std::int64_t t = 0; t < tasks.count(); ++t) {
    const auto n_part = static_cast<double>(tasks.rows_of(t));
    out.merge(channels, n, n_part, part(t).mean, part(t).m2);
    n += n_part;
  }
}

// sums[c] = sum of g, sums[channels + c] = sum of g * (x - mean), where g is dy behind the mask.
template <class T, class Kept>
void backward_sums(std::int64_t rows, std::int64_t channels, const Kept* x, const Kept* dy, const std::uint8_t* mask,
                   const T* mean, double* sums, Kept* gated) {
  const RowTasks tasks = RowTasks::for_sums(rows, channels);
  const Scratch<T> wide_mean(size_of(tasks.wide_cols()));
  tasks.repeat(mean, wide_mean.data());
  const Scratch<double> parts(size_of(2 * tasks.count() * channels));
  parallel_for(tasks.count(), [&](std::int64_t t) {
    const Scratch<double> wide(size_of(2 * tasks.wide_cols()));
    double* part = parts.data() + 2 * t * channels;
    std::fill_n(part, 2 * channels, 0.0);
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t cols) {
      kernels_for<T, Kept>().backward_sums(n, cols, x + first, dy + first, at(mask, first / 8), wide_mean.data(),
                                           wide.data(), wide.data() + cols, at(gated, first));
      tasks.add_folded(wide.data(), cols, part);
      tasks.add_folded(wide.data() + cols, cols, part + channels);
    });
  });
  std::fill_n(sums, 2 * channels, 0.0);
  for (std::int64_t t = 0; t < tasks.count(); ++t)
    for (std::int64_t c = 0; c < 2 * channels; ++c) sums[c] += parts[size_of(2 * t * channels + c)];
}

// The columns of y = (x - mean) * factor + shift, repeated as the sweeps of `tasks` want them.
template <class T>
struct WideColumns {
  const Scratch<T> values;
  T *const mean, *const factor, *const shift;

  WideColumns(const RowTasks& tasks, std::int64_t channels, const NormColumns<T>& c)
      : values(size_of(3 * tasks.wide_cols())),
        mean(values.data()),
        factor(mean + tasks.wide_cols()),
        shift(factor + tasks.wide_cols()) {
    for (std::int64_t i = 0; i < channels; ++i) {
      factor[i] = c.scale ? c.inv_std[i] * c.scale[i] : c.inv_std[i];
      shift[i] = c.shift ? c.shift[i] : T(0);
    }
    tasks.repeat(c.mean, mean);
    tasks.repeat(factor, factor);
    tasks.repeat(shift, shift);
  }
};

// Calls sweep(first element, rows, columns, wide) for all rows.
template <class T, class Sweep>
void sweep_normalized(std::int64_t rows, std::int64_t channels, const NormColumns<T>& columns, Sweep&& sweep) {
  const RowTasks tasks(rows, channels);
  const WideColumns<T> wide(tasks, channels, columns);
  parallel_for(tasks.count(), [&](std::int64_t t) {
    tasks.sweep(t, [&](std::int64_t first, std::int64_t n, std::int64_t cols) { sweep(first, n, cols, wide); });
  });
}

void check_mask(const std::uint8_t* mask, std::int64_t channels) {
  check(!mask || channels % 8 == 0, "batch norm with activation: given ", channels,
        " channels, expected a multiple of 8");
}

}  // namespace

template <class T, class Kept>
void batch_norm_statistics(std::int64_t rows, std::int64_t channels, const Kept* x, T eps, T* mean, double* var,
                           T* inv_std) {
  check(rows > 0, "batch norm: given no rows to take statistics of, expected at least 1");
  const Scratch<double> stats(size_of(2 * channels));
  const Moments of_x{stats.data(), stats.data() + channels};
  moments<T>(rows, channels, x, of_x);
  for (std::int64_t c = 0; c < channels; ++c) {
    var[c] = of_x.m2[c] / static_cast<double>(rows);
    mean[c] = static_cast<T>(of_x.mean[c]);
    const double factor = 1 / std::sqrt(var[c] + static_cast<double>(eps));
    inv_std[c] = factor < std::numeric_limits<T>::min() ? std::numeric_limits<T>::quiet_NaN() : static_cast<T>(factor);
  }
}

template <class T, class Kept>
void batch_norm_apply(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns, T* y) {
  sweep_normalized(rows, channels, columns,
                   [&](std::int64_t first, std::int64_t n, std::int64_t cols, const WideColumns<T>& w) {
                     kernels_for<T, Kept>().normalize(n, cols, x + first, w.mean, w.factor, w.shift, y + first);
                   });
}

template <class T, class Kept>
void batch_norm_relu(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns,
                     const std::type_identity_t<Elements<T>>& add, const std::type_identity_t<ElementSink<T>>& y,
                     std::uint8_t* mask) {
  check_mask(mask, channels);
  sweep_normalized(rows, channels, columns,
                   [&](std::int64_t first, std::int64_t n, std::int64_t cols, const WideColumns<T>& w) {
                     const ElementWindow<T> added(add, first, first + n * cols);
                     const SinkWindow<T> out(y, first, first + n * cols);
                     kernels_for<T, Kept>().normalize_relu(n, cols, x + first, w.mean, w.factor, w.shift, added.data(),
                                                           out.data(), at(mask, first / 8));
                   });
}

template <class T, class Kept>
bool batch_norm_quantize(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns,
                         const std::type_identity_t<Elements<T>>& add, kernels::Quantizer<T> quantizer,
                         const std::type_identity_t<kernels::PassBand<T>>& pass, std::uint8_t* codes,
                         std::uint8_t* mask) {
  check_quantizer(quantizer);
  check_mask(mask, channels);
  std::atomic<bool> any_nan = false;
  sweep_normalized(
      rows, channels, columns, [&](std::int64_t first, std::int64_t n, std::int64_t cols, const WideColumns<T>& w) {
        const ElementWindow<T> some(add, first, first + n * cols);
        if (kernels_for<T, Kept>().normalize_quantize(n, cols, x + first, w.mean, w.factor, w.shift, some.data(),
                                                      quantizer, pass, codes + first, at(mask, first / 8)))
          any_nan = true;
      });
  return any_nan;
}

template <class T, class Kept>
void batch_norm_backward(std::int64_t rows, std::int64_t channels, const Kept* x, const Kept* dy,
                         const std::uint8_t* mask, const NormColumns<T>& columns, BatchStatistics statistics,
                         const std::type_identity_t<NormGradients<T, Kept>>& to) {
  check_mask(mask, channels);
  const bool of_batch = statistics == BatchStatistics::of_batch;
  const Scratch<double> sums(size_of(2 * channels));
  if (to.dscale || to.dshift || to.dadd || (to.dx && of_batch))
    backward_sums(rows, channels, x, dy, mask, columns.mean, sums.data(), to.dadd);
  const double *const sum_g = sums.data(), *const sum_gx = sum_g + channels;
  for (std::int64_t c = 0; to.dshift && c < channels; ++c) to.dshift[c] = static_cast<T>(sum_g[c]);
  for (std::int64_t c = 0; to.dscale && c < channels; ++c)
    to.dscale[c] = static_cast<T>(sum_gx[c] * columns.inv_std[c]);
  if (!to.dx) return;

  const RowTasks tasks(rows, channels);
  const Scratch<T> wide(size_of(2 * tasks.wide_cols()));
  T *const mean_g = wide.data(), *const slope = mean_g + tasks.wide_cols();
  for (std::int64_t c = 0; c < channels; ++c) {
    const double r = columns.inv_std[c], n = static_cast<double>(rows);
    mean_g[c] = of_batch ? static_cast<T>(sum_g[c] / n) : T(0);
    slope[c] = of_batch ? static_cast<T>(sum_gx[c] * r * r / n) : T(0);
  }
  for (T* column : {mean_g, slope}) tasks.repeat(column, column);
  sweep_normalized(rows, channels, columns,
                   [&](std::int64_t first, std::int64_t n, std::int64_t cols, const WideColumns<T>& w) {
                     kernels_for<T, Kept>().backward(n, cols, x + first, dy + first, at(mask, first / 8), w.mean,
                                                     mean_g, slope, w.factor, to.dx + first);
                   });
}

#define COARSEGRAD_INSTANTIATE(T, Kept)                                                                             \
  template void batch_norm_statistics(std::int64_t, std::int64_t, const Kept*, T, T*, double*, T*);                 \
  template void batch_norm_apply(std::int64_t, std::int64_t, const Kept*, const NormColumns<T>&, T*);               \
  template void batch_norm_relu(std::int64_t, std::int64_t, const Kept*, const NormColumns<T>&, const Elements<T>&, \
                                const ElementSink<T>&, std::uint8_t*);                                              \
  template bool batch_norm_quantize(std::int64_t, std::int64_t, const Kept*, const NormColumns<T>&,                 \
                                    const Elements<T>&, kernels::Quantizer<T>, const kernels::PassBand<T>&,         \
                                    std::uint8_t*, std::uint8_t*);                                                  \
  template void batch_norm_backward(std::int64_t, std::int64_t, const Kept*, const Kept*, const std::uint8_t*,      \
                                    const NormColumns<T>&, BatchStatistics, const NormGradients<T, Kept>&);
COARSEGRAD_INSTANTIATE(float, float)
COARSEGRAD_INSTANTIATE(float, Bfloat16)
COARSEGRAD_INSTANTIATE(double, double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
