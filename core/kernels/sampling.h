#pragma once
// Sampling kernels: counter-based random numbers (Philox 4x32-10) and Gaussian variates.
#include <cstddef>
#include <cstdint>

namespace coarsegrad::kernels {

struct Sampling {
  /// out[i] = 32-bit word number 4 * counter + i of the Philox 4x32-10 stream `key`.
  void (*philox)(std::uint64_t key, std::uint64_t counter, std::uint32_t* out, std::size_t n);
};

}  // namespace coarsegrad::kernels
