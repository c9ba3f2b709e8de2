#include "core/kernels/codes.h"

#include "core/kernels/simd/sweep.h"
#include "core/kernels/tables.h"

namespace coarsegrad::kernels::COARSEGRAD_TARGET {
namespace {

// Vectors of bytes.
#ifdef __AVX512F__
using Bytes = __m512i;
COARSEGRAD_INLINE Bytes load_bytes(const void* p) { return _mm512_loadu_si512(p); }
COARSEGRAD_INLINE void store_bytes(void* p, Bytes a) { _mm512_storeu_si512(p, a); }
COARSEGRAD_INLINE Bytes larger(const std::uint8_t*, Bytes a, Bytes b) { return _mm512_max_epu8(a, b); }
COARSEGRAD_INLINE Bytes larger(const std::int8_t*, Bytes a, Bytes b) { return _mm512_max_epi8(a, b); }
#else
using Bytes = __m256i;
COARSEGRAD_INLINE Bytes load_bytes(const void* p) { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
COARSEGRAD_INLINE void store_bytes(void* p, Bytes a) { _mm256_storeu_si256(static_cast<__m256i*>(p), a); }
COARSEGRAD_INLINE Bytes larger(const std::uint8_t*, Bytes a, Bytes b) { return _mm256_max_epu8(a, b); }
COARSEGRAD_INLINE Bytes larger(const std::int8_t*, Bytes a, Bytes b) { return _mm256_max_epi8(a, b); }
#endif
constexpr std::int64_t kByteLanes = sizeof(Bytes);

template <class In>
void raise(std::int64_t n, const In* x, In* y) {
  std::int64_t i = 0;
  for (; i + kByteLanes <= n; i += kByteLanes) store_bytes(y + i, larger(x, load_bytes(x + i), load_bytes(y + i)));
  for (; i < n; ++i) y[i] = x[i] > y[i] ? x[i] : y[i];
}

template <class In>
void accumulate(std::int64_t n, const In* x, std::int32_t* sums) {
  std::int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) store(sums + i, load(sums + i) + Whole::load(x + i));
  for (; i < n; ++i) sums[i] += x[i];
}

// Sums of 16 bits are stored as the lower halves of 32.
template <class In>
void add(std::int64_t n, const In* a, const In* b, std::int16_t* y) {
  for_vectors(n, [&](std::int64_t i, auto lanes) {
    const I32 sum = lanes.load(a + i) + lanes.load(b + i);
    lanes.store(reinterpret_cast<std::uint16_t*>(y) + i, sum & set1(std::int32_t{0xFFFF}));
  });
}

template <class In>
void add_scaled(std::int64_t n, const In* a, float a_scale, const In* b, float b_scale, float* y) {
  const F32 p = set1(a_scale), q = set1(b_scale);
  for_vectors(n, [&](std::int64_t i, auto lanes) {
    lanes.store(y + i, p * to_float(lanes.load(a + i)) + q * to_float(lanes.load(b + i)));
  });
}

template <class In>
constexpr CodeSweeps<In> kSweeps{raise<In>, accumulate<In>, add<In>, add_scaled<In>};

}  // namespace

const Codes codes{kSweeps<std::uint8_t>, kSweeps<std::int8_t>};

}  // namespace coarsegrad::kernels::COARSEGRAD_TARGET
