#pragma once
// Sampling kernels: counter-based random numbers (Philox 4x32-10) and Gaussian variates. All tables give the same
// bits: every operation is rounded as IEEE 754 says, in one order, and fused multiply-adds are asked for by name.
#include <cstddef>
#include <cstdint>

namespace coarsegrad::kernels {

/// Gaussian variates come in groups of this many lanes, whatever the width of the vector registers.
constexpr std::size_t kGaussLanes = 16;
/// Philox counters behind the 2 * kGaussLanes variates of one group.
constexpr std::size_t kGaussCounters = 8;

/// Random numbers as pure functions of a key, a stream and a counter.
struct Sampling {
  /// out[i] = 32-bit word i % 4 of the Philox 4x32-10 block of `key` and the 128-bit counter whose lower half
  /// is counter + i / 4 and whose upper half is `stream`.
  void (*philox)(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, std::uint32_t* out, std::size_t n);

  /// n independent N(0, 1) variates by Box and Muller's transform: out[32 g + l] = r cos(phi) and
  /// out[32 g + 16 + l] = r sin(phi) for lane l < 16 of group g. Lane l takes counter c = counter +
  /// 8 g + l / 2: words (1, 3) of that block if l is even, (0, 2) if odd, as (A, B), and
  ///   r = sqrt(-2 ln u), u = (A mod 2^31 | 1) / 2^31 rounded to float
  ///   phi = pi/2 * B / 2^31 with B read as a signed number
  /// The cosine is negated if A >= 2^31, so that phi covers the half circle with cos >= 0 and the sign the rest.
  /// Within 1e-6 of the exact transform; |z| <= 6.556, beyond which a normal variate falls with probability 6e-11.
  void (*normal)(std::uint64_t key, std::uint64_t stream, std::uint64_t counter, float* out, std::size_t n);
};

}  // namespace coarsegrad::kernels
