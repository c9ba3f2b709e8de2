#include "core/compute/random.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using kernels::kGaussCounters;
constexpr std::size_t kGroup = 2 * kernels::kGaussLanes;
constexpr std::size_t kTask = 2048 * kGroup;  // variates filled by one task

// A bijection of 64 bits in which every input bit moves every output bit (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

// The hash FNV-1a of a name.
std::uint64_t hash(std::string_view name) {
  std::uint64_t h = 0xCBF29CE484222325u;
  for (const char c : name) h = (h ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return h;
}

// The transform that kernels::Sampling::normal describes, evaluated in double: values of one group.
void normal_group(std::uint64_t key, std::uint64_t counter, double out[kGroup]) {
  std::uint32_t words[4 * kGaussCounters];
  active_kernels().sampling.philox(key, 0, counter, words, 4 * kGaussCounters);
  for (std::size_t lane = 0; lane < kernels::kGaussLanes; ++lane) {
    const std::uint32_t* x = words + lane / 2 * 4 + (lane % 2 == 0 ? 1 : 0);
    const double u = static_cast<float>(static_cast<std::int32_t>((x[0] & 0x7FFFFFFFu) | 1u)) * 0x1p-31;
    const double r = std::sqrt(-2 * std::log(u));
    const double phi = static_cast<std::int32_t>(x[2]) * (std::numbers::pi / 2 * 0x1p-31);
    out[lane] = (x[0] >> 31 ? -r : r) * std::cos(phi);
    out[kernels::kGaussLanes + lane] = r * std::sin(phi);
  }
}

void standard_normal(std::uint64_t key, std::uint64_t counter, float* out, std::size_t n) {
  active_kernels().sampling.normal(key, 0, counter, out, n);
}

void standard_normal(std::uint64_t key, std::uint64_t counter, double* out, std::size_t n) {
  double group[kGroup];
  for (std::size_t i = 0; i < n; i += kGroup, counter += kGaussCounters) {
    normal_group(key, counter, group);
    std::copy_n(group, std::min(kGroup, n - i), out + i);
  }
}

float unit(std::uint32_t word, float) { return static_cast<float>(word >> 8) * 0x1p-24f; }
double unit(std::uint32_t word, double) { return word * 0x1p-32; }

std::int64_t tasks_of(std::size_t n) { return static_cast<std::int64_t>((n + kTask - 1) / kTask); }

}  // namespace

Rng::Rng(std::uint64_t seed) : key_(mix(seed + 0x9E3779B97F4A7C15u)) {}

Rng Rng::at(std::uint64_t key, std::uint64_t position) {
  Rng rng;
  rng.key_ = key;
  rng.position_ = position;
  return rng;
}

Rng Rng::split(std::string_view name) const { return at(mix(mix(key_) ^ hash(name)), 0); }

// The odd constant keeps numbered children apart from named ones.
Rng Rng::split(std::uint64_t index) const { return at(mix(mix(key_ + 0xD1B54A32D192ED03u) ^ index), 0); }

void Rng::bits(std::uint32_t* out, std::size_t n) {
  active_kernels().sampling.philox(key_, 0, take((n + 3) / 4), out, n);
}

std::uint64_t Rng::bits() {
  std::uint32_t words[2];
  bits(words, 2);
  return std::uint64_t{words[1]} << 32 | words[0];
}

template <class T>
void Rng::uniform(T* out, std::size_t n, T low, T high) {
  check(low <= high, "uniform: given [", low, ", ", high, "), expected low <= high");
  const std::uint64_t start = take((n + 3) / 4);
  const T width = high - low;
  // Rounding of low + width * u can reach `high`.
  const T last = width > 0 ? std::nextafter(high, low) : low;
  parallel_for(tasks_of(n), [&](std::int64_t task) {
    constexpr std::size_t kChunk = 1024;
    std::uint32_t words[kChunk];
    const std::size_t begin = static_cast<std::size_t>(task) * kTask, end = std::min(n, begin + kTask);
    for (std::size_t i = begin; i < end; i += kChunk) {
      const std::size_t count = std::min(kChunk, end - i);
      active_kernels().sampling.philox(key_, 0, start + i / 4, words, count);
      for (std::size_t j = 0; j < count; ++j) out[i + j] = std::min(low + width * unit(words[j], T{}), last);
    }
  });
}

double Rng::uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

template <class T>
void Rng::normal(T* out, std::size_t n, T mean, T stddev) {
  const std::uint64_t start = take((n + kGroup - 1) / kGroup * kGaussCounters);
  parallel_for(tasks_of(n), [&](std::int64_t task) {
    const std::size_t begin = static_cast<std::size_t>(task) * kTask, end = std::min(n, begin + kTask);
    standard_normal(key_, start + begin / kGroup * kGaussCounters, out + begin, end - begin);
    if (mean == 0 && stddev == 1) return;
    for (std::size_t i = begin; i < end; ++i) out[i] = mean + stddev * out[i];
  });
}

std::uint64_t Rng::below(std::uint64_t n) {
  check(n > 0, "below: given 0, expected at least 1");
  // 2^64 mod n values at the top would favour small remainders: they are drawn again.
  const std::uint64_t surplus = (0 - n) % n;
  std::uint64_t x = bits();
  while (x > ~surplus) x = bits();
  return x % n;
}

template void Rng::uniform(float*, std::size_t, float, float);
template void Rng::uniform(double*, std::size_t, double, double);
template void Rng::normal(float*, std::size_t, float, float);
template void Rng::normal(double*, std::size_t, double, double);

}  // namespace coarsegrad
