#pragma once
// What the tests of the kernel tables share: inputs, bitwise comparison, and loops over what this processor runs.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::testing {

/// n values of N(mean, stddev^2); the same for the same seed.
inline std::vector<float> gaussian(std::int64_t n, unsigned seed, float mean = 0, float stddev = 1) {
  std::mt19937 bits(seed);
  std::normal_distribution<float> normal(mean, stddev);
  std::vector<float> x(static_cast<std::size_t>(n));
  for (float& v : x) v = normal(bits);
  return x;
}

/// Gaussian values of which every third is replaced, in turn, by zeros of both signs, infinities, NaN,
/// subnormal, tiny and huge numbers, and a value that appears often.
inline std::vector<float> awkward(std::int64_t n, unsigned seed) {
  using limits = std::numeric_limits<float>;
  const float special[] = {0.f,    -0.f,    limits::infinity(), -limits::infinity(), limits::quiet_NaN(),
                           1e-40f, -1e-40f, limits::min(),      limits::max(),       limits::lowest(),
                           1.f,    1.f};
  std::vector<float> x = gaussian(n, seed);
  for (std::size_t i = seed % 3; i < x.size(); i += 3) x[i] = special[(i / 3 + seed) % std::size(special)];
  return x;
}

constexpr std::size_t kGuard = 40;  // elements behind an output that no kernel may touch

/// Room for n values of an output, all of them and the guard behind them set to a value that no kernel gives.
template <class T>
std::vector<T> output(std::int64_t n) {
  return std::vector<T>(static_cast<std::size_t>(n) + kGuard, static_cast<T>(77));
}

template <class T>
bool same_bits(T a, T b) {
  if constexpr (std::is_floating_point_v<T>) {
    using Bits = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;
    return (std::isnan(a) && std::isnan(b)) || std::bit_cast<Bits>(a) == std::bit_cast<Bits>(b);
  } else {
    return a == b;
  }
}

/// Equal bit for bit; all NaN count as the same, +0 and -0 do not.
template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](T x, T y) { return same_bits(x, y); });
}

/// Says which tables the tests of this program cannot try here.
inline void name_missing_tables() {
  for (const char* name : {"avx2", "avx512", "avx512vnni", "avx512vpopcntdq", "avx512bf16", "amx"})
    if (std::ranges::none_of(all_kernels(), [&](const Kernels* k) { return std::string(k->name) == name; }))
      MESSAGE("skipped: this processor does not run the table ", std::string(name));
}

/// Calls check(table, reference) for every vector table of this processor.
template <class Check>
void for_each_vector_table(Check check) {
  const auto tables = all_kernels();
  if (tables.size() == 1) MESSAGE("skipped: this processor runs the scalar table only");
  for (const Kernels* table : tables.subspan(1)) {
    INFO("table ", std::string(table->name));
    check(*table, *tables[0]);
  }
}

/// Calls check() with each table of this processor as the active one.
template <class Check>
void with_each_table(Check check) {
  for (const Kernels* table : all_kernels()) {
    INFO("table ", std::string(table->name));
    use_kernels(table->name);
    check();
  }
  use_kernels("auto");
}

/// The same, and once more with the loops over tiles of the one that most processors do not run.
template <class Check>
void with_each_code_table(Check check) {
  with_each_table(check);
  INFO("table plain_tiles");
  use_kernels("plain_tiles");
  check();
  use_kernels("auto");
}

/// Checks that run() has the same result with 1 and with 2 threads, bit for bit.
template <class Run>
bool same_with_two_threads(Run run) {
  const int before = num_threads();
  set_num_threads(1);
  const auto one = run();
  set_num_threads(2);
  const auto two = run();
  set_num_threads(before);
  return same_bits(one, two);
}

/// Checks that run() has this result with 1 and with 2 threads, bit for bit.
template <class Run>
bool same_on_threads(const decltype(std::declval<Run>()())& expected, Run run) {
  const int before = num_threads();
  bool same = true;
  for (const int threads : {1, 2}) {
    set_num_threads(threads);
    same = same_bits(run(), expected) && same;
  }
  set_num_threads(before);
  return same;
}

}  // namespace coarsegrad::testing
