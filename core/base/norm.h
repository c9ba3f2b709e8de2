#pragma once
// Batch normalisation over the last axis of a row-major (rows, channels) matrix; a channels-last image batch
// has N * H * W rows. T is float or double. Statistics are combined in double. Bitwise the same for any
// number of threads.
#include <cstdint>

namespace coarsegrad {

/// Training mode: y = (x - mean) * inv_std * scale + shift with the mean and the biased variance of each
/// channel, which are handed out together with inv_std = 1 / sqrt(var + eps). scale and shift may be null (1
/// and 0). y may be x. Throws Error without rows.
template <class T>
void batch_norm_forward(std::int64_t rows, std::int64_t channels, const T* x, const T* scale, const T* shift,
                        T eps, T* y, T* mean, T* var, T* inv_std);

/// The same with given statistics (evaluation mode).
template <class T>
void batch_norm_apply(std::int64_t rows, std::int64_t channels, const T* x, const T* mean, const T* inv_std,
                      const T* scale, const T* shift, T* y);

/// How the statistics came about: from this batch, or as constants that no gradient flows through.
enum class BatchStatistics { of_batch, constant };

/// Gradients from the input x of the forward pass and its mean and inv_std; the normalised value is computed
/// again. dx may be dy; dx, dscale and dshift may be null.
template <class T>
void batch_norm_backward(std::int64_t rows, std::int64_t channels, const T* x, const T* dy, const T* mean,
                         const T* inv_std, const T* scale, BatchStatistics statistics, T* dx, T* dscale,
                         T* dshift);

}  // namespace coarsegrad
