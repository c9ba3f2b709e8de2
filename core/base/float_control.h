#pragma once
// The control register of the floating point unit: the bits that make denormals zero. Every processor family has its
// own, and this is the only place that knows.
#include <cstdint>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

namespace coarsegrad::float_control {

#if defined(__x86_64__)
/// Denormal results become zero, and denormal operands count as zero (FTZ and DAZ of MXCSR).
constexpr std::uint32_t kFlush = 0x8000 | 0x0040;
/// The control register of this thread.
inline std::uint32_t read() { return _mm_getcsr(); }
/// Replaces the control register of this thread.
inline void write(std::uint32_t bits) { _mm_setcsr(bits); }
#elif defined(__aarch64__)
/// Denormal results become zero, and denormal operands count as zero (FZ of FPCR is both).
constexpr std::uint32_t kFlush = 1u << 24;
/// The control register of this thread.
inline std::uint32_t read() {
  std::uint64_t bits;
  asm volatile("mrs %0, fpcr" : "=r"(bits));
  return static_cast<std::uint32_t>(bits);
}
/// Replaces the control register of this thread.
inline void write(std::uint32_t bits) { asm volatile("msr fpcr, %0" : : "r"(static_cast<std::uint64_t>(bits))); }
#else
#error "no control register known for this processor"
#endif

}  // namespace coarsegrad::float_control
