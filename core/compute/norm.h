#pragma once
// Batch normalisation over the last axis of a row-major (rows, channels) matrix; a channels-last image batch
// has N * H * W rows. T is float or double; x and the gradients of its size are kept as Kept: T, or Bfloat16 beside
// float. Statistics are combined in double. Bitwise the same for any number of threads.
#include <cstdint>
#include <type_traits>

#include "core/base/elements.h"
#include "core/compute/activation.h"
#include "core/kernels/bfloat16.h"

namespace coarsegrad {

/// Mean and biased variance of each channel, and inv_std = 1 / sqrt(var + eps). The variance is a double,
/// since the square of a deviation need not fit into a float. inv_std is NaN where it is below the smallest
/// normal number, which is beyond deviations of 8.5e37 in float: such a channel shall not pass for a constant
/// one. Throws Error without rows.
template <class T, class Kept>
void batch_norm_statistics(std::int64_t rows, std::int64_t channels, const Kept* x, T eps, T* mean, double* var,
                           T* inv_std);

/// The map t = (x - mean) * inv_std * scale + shift: arrays of one value per channel.
template <class T>
struct NormColumns {
  const T *mean,  ///< subtracted from x
      *inv_std,   ///< 1 / standard deviation
      *scale,     ///< null: 1
      *shift;     ///< null: 0
};

/// y = t, the map of NormColumns. y may be x where Kept is T.
template <class T, class Kept>
void batch_norm_apply(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns, T* y);

// The map t and what usually follows it, in one pass and with the bits of separate ones: t + add, where add may be
// null, then an activation; masks as in core/compute/activation.h. Where there is a mask the channels are a multiple of
// 8; all functions below throw Error otherwise.

/// y = relu(t + add), mask = t + add > 0; both may be null.
template <class T, class Kept>
void batch_norm_relu(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns,
                     const std::type_identity_t<Elements<T>>& add, const std::type_identity_t<ElementSink<T>>& y,
                     std::uint8_t* mask);
/// The codes and the mask of quantize_forward, and whether there is a NaN; mask may be null.
template <class T, class Kept>
bool batch_norm_quantize(std::int64_t rows, std::int64_t channels, const Kept* x, const NormColumns<T>& columns,
                         const std::type_identity_t<Elements<T>>& add, kernels::Quantizer<T> quantizer,
                         const std::type_identity_t<kernels::PassBand<T>>& pass, std::uint8_t* codes,
                         std::uint8_t* mask);

/// How mean and inv_std came about.
enum class BatchStatistics {
  of_batch,  ///< from this batch: gradients flow through them
  constant   ///< as constants
};

/// Where the gradients of a pass are written to; any may be null.
template <class T, class Kept = T>
struct NormGradients {
  Kept* dx;     ///< of x: (rows, channels)
  T *dscale,    ///< of scale: (channels)
      *dshift;  ///< of shift: (channels)
  Kept* dadd;   ///< of add: (rows, channels), dy where the mask is 1
};
/// Gradients from the input x of the forward pass, the gradient dy of its output and the mask of its activation (null:
/// none); the normalised value is computed again. dx may be dy.
template <class T, class Kept>
void batch_norm_backward(std::int64_t rows, std::int64_t channels, const Kept* x, const Kept* dy,
                         const std::uint8_t* mask, const NormColumns<T>& columns, BatchStatistics statistics,
                         const std::type_identity_t<NormGradients<T, Kept>>& gradients);

}  // namespace coarsegrad
