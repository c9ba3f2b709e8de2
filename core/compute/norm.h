#pragma once
// Batch normalisation over the last axis of a row-major (rows, channels) matrix; a channels-last image batch
// has N * H * W rows. T is float or double. Statistics are combined in double. Bitwise the same for any
// number of threads.
#include <cstdint>
#include <type_traits>

#include "core/base/elements.h"
#include "core/compute/activation.h"

namespace coarsegrad {

/// Mean and biased variance of each channel, and inv_std = 1 / sqrt(var + eps). The variance is a double,
/// since the square of a deviation need not fit into a float. inv_std is NaN where it is below the smallest
/// normal number, which is beyond deviations of 8.5e37 in float: such a channel shall not pass for a constant
/// one. Throws Error without rows.
template <class T>
void batch_norm_statistics(std::int64_t rows, std::int64_t channels, const T* x, T eps, T* mean, double* var,
                           T* inv_std);

/// Values per channel of the map t = (x - mean) * inv_std * scale + shift; scale and shift may be null (1 and 0).
template <class T>
struct NormColumns {
  const T *mean, *inv_std, *scale, *shift;
};

/// y = t. y may be x.
template <class T>
void batch_norm_apply(std::int64_t rows, std::int64_t channels, const T* x, const NormColumns<T>& columns, T* y);

// The same and what usually follows in one pass, bit for bit: t + add, where add may be null, then an
// activation; masks as in core/compute/activation.h. Channels are a multiple of 8 where there is a mask; all
// throw Error otherwise.

/// y = relu(t + add), mask = t + add > 0; both may be null.
template <class T>
void batch_norm_relu(std::int64_t rows, std::int64_t channels, const T* x, const NormColumns<T>& columns,
                     const std::type_identity_t<Elements<T>>& add, T* y, std::uint8_t* mask);
/// The codes and the mask of quantize_forward, and whether there is a NaN; mask may be null.
template <class T>
bool batch_norm_quantize(std::int64_t rows, std::int64_t channels, const T* x, const NormColumns<T>& columns,
                         const std::type_identity_t<Elements<T>>& add, kernels::Quantizer<T> quantizer,
                         const std::type_identity_t<kernels::Interval<T>>& pass, std::uint8_t* codes,
                         std::uint8_t* mask);

/// How the statistics came about: from this batch, or as constants that no gradient flows through.
enum class BatchStatistics { of_batch, constant };

/// The gradients of a pass, any of which may be null.
template <class T>
struct NormGradients {
  T *dx, *dscale, *dshift, *dadd;
};
/// From the input x of the forward pass, the gradient dy of its output and the mask of its activation (null:
/// none); the normalised value is computed again. dx may be dy.
template <class T>
void batch_norm_backward(std::int64_t rows, std::int64_t channels, const T* x, const T* dy, const std::uint8_t* mask,
                         const NormColumns<T>& columns, BatchStatistics statistics, const NormGradients<T>& gradients);

}  // namespace coarsegrad
