// The sampling kernels: known answers, tables against the reference, and the distribution of the variates.
// Every statistical check is also given a sampler that is wrong on purpose and must refuse it.
#include "core/kernels/sampling.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <mutex>
#include <numeric>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"

using namespace coarsegrad;

namespace {

using Values = std::vector<float>;

Values normals(std::size_t n, std::uint64_t key = 1, std::uint64_t stream = 0, std::uint64_t counter = 0) {
  Values z(n);
  active_kernels().sampling.normal(key, stream, counter, z.data(), n);
  return z;
}

/// Wrong on purpose: the sum of twelve uniform numbers less 6 has mean 0 and variance 1, but light tails.
Values sums_of_uniforms(std::size_t n) {
  Rng rng(1);
  Values z(n, -6.0f), u(n);
  for (int i = 0; i < 12; ++i) {
    rng.uniform(u.data(), n);
    for (std::size_t j = 0; j < n; ++j) z[j] += u[j];
  }
  return z;
}

Values scaled(Values z, float factor) {
  for (float& x : z) x *= factor;
  return z;
}

/// P(z > x).
double upper_tail(double x) { return 0.5 * std::erfc(x / std::sqrt(2.0)); }

/// Kolmogorov's statistic sqrt(N) sup |F_N - Phi|: above 1.95 with probability 0.001 for a sampler that is right.
double kolmogorov_smirnov(Values z) {
  std::sort(z.begin(), z.end());
  const double n = static_cast<double>(z.size());
  double sup = 0;
  for (std::size_t i = 0; i < z.size(); ++i) {
    const double phi = upper_tail(-z[i]), below = static_cast<double>(i) / n;
    sup = std::max({sup, phi - below, below + 1 / n - phi});
  }
  return sup * std::sqrt(n);
}

/// E z^k = (k - 1)!! for even k, else 0.
double normal_moment(int k) {
  if (k % 2) return 0;
  double product = 1;
  for (int i = k - 1; i > 1; i -= 2) product *= i;
  return product;
}

/// The largest distance of a moment of order 1 to 8 from its expectation, in its own standard errors
/// sqrt((E z^2k - (E z^k)^2) / N).
double worst_moment(const Values& z) {
  std::array<double, 9> sum{};
  for (const float x : z) {
    double power = 1;
    for (int k = 1; k <= 8; ++k) sum[static_cast<std::size_t>(k)] += power *= x;
  }
  const double n = static_cast<double>(z.size());
  double worst = 0;
  for (int k = 1; k <= 8; ++k) {
    const double expected = normal_moment(k);
    const double error = std::sqrt((normal_moment(2 * k) - expected * expected) / n);
    worst = std::max(worst, std::abs(sum[static_cast<std::size_t>(k)] / n - expected) / error);
  }
  return worst;
}

constexpr std::array<float, 9> kThresholds{2, 2.5f, 3, 3.5f, 4, 4.5f, 5, 5.5f, 6};
using Counts = std::array<std::int64_t, 2 * kThresholds.size()>;

/// How many values lie beyond each threshold, below and above.
Counts tail_counts(const Values& z) {
  Counts counts{};
  for (std::size_t t = 0; t < kThresholds.size(); ++t)
    for (const float x : z) {
      counts[2 * t] += x < -kThresholds[t];
      counts[2 * t + 1] += x > kThresholds[t];
    }
  return counts;
}

/// The largest distance of a count from its expectation, in standard errors; counts with fewer than 5
/// expected are left out.
double worst_tail(const Counts& counts, double n) {
  double worst = 0;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const double expected = n * upper_tail(kThresholds[i / 2]);
    if (expected >= 4)
      worst = std::max(worst, std::abs(static_cast<double>(counts[i]) - expected) / std::sqrt(expected));
  }
  return worst;
}

/// sqrt(N) times the sample correlation of x and y with given means and unit variances.
double correlation_score(const Values& x, const Values& y, const std::function<double(double)>& f) {
  double sum = 0, square = 0;
  const std::size_t n = std::min(x.size(), y.size());
  for (std::size_t i = 0; i < n; ++i) {
    const double product = f(x[i]) * f(y[i]);
    sum += product;
    square += product * product;
  }
  return sum / std::sqrt(square);
}

double identity(double x) { return x; }
/// Dependence that correlation does not see: a pair that shares its radius has correlated squares.
double square(double x) { return x * x - 1; }

double dependence(const Values& x, const Values& y) {
  return std::max(std::abs(correlation_score(x, y, identity)), std::abs(correlation_score(x, y, square)));
}

Values from(const Values& z, std::size_t first) { return {z.begin() + static_cast<std::ptrdiff_t>(first), z.end()}; }

}  // namespace

TEST_SUITE("quick") {
  TEST_CASE("Philox 4x32-10 gives the known answers of its authors in every table") {
    struct Known {
      std::uint64_t key, stream, counter;
      std::array<std::uint32_t, 4> words;
    };
    const Known known[] = {
        {0, 0, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {~0ull, ~0ull, ~0ull, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {0x299f31d0a4093822, 0x0370734413198a2e, 0x85a308d3243f6a88, {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
    for (const Kernels* kernels : all_kernels())
      for (const Known& k : known) {
        CAPTURE(kernels->name);
        // One block alone, and as one of many, whatever their place in a vector.
        for (std::size_t place = 0; place < 40; ++place) {
          std::vector<std::uint32_t> words(4 * 80);
          kernels->sampling.philox(k.key, k.stream, k.counter - place, words.data(), words.size());
          CHECK(std::equal(k.words.begin(), k.words.end(), words.begin() + static_cast<std::ptrdiff_t>(4 * place)));
        }
      }
  }

  TEST_CASE("every table gives the bits of the reference, for odd lengths and places and across carries") {
    const Kernels& reference = *all_kernels().front();
    const std::size_t lengths[] = {0, 1, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 1023, 4099};
    const std::uint64_t counters[] = {0, 5, 0xFFFFFFF0, 0xFFFFFFFF, 0x123FFFFFFC0, ~0ull - 20};
    for (const Kernels* kernels : all_kernels())
      for (const std::size_t n : lengths)
        for (const std::uint64_t counter : counters)
          for (const std::size_t offset : {0, 1, 5}) {
            CAPTURE(kernels->name);
            CAPTURE(n);
            CAPTURE(counter);
            std::vector<std::uint32_t> words(n + offset + 8, 42), expected_words = words;
            kernels->sampling.philox(77, 3, counter, words.data() + offset, n);
            reference.sampling.philox(77, 3, counter, expected_words.data() + offset, n);
            REQUIRE(words == expected_words);  // nothing is written before or behind
            Values z(n + offset + 8, 42), expected = z;
            kernels->sampling.normal(77, 3, counter, z.data() + offset, n);
            reference.sampling.normal(77, 3, counter, expected.data() + offset, n);
            REQUIRE(std::memcmp(z.data(), expected.data(), z.size() * sizeof(float)) == 0);
          }
  }

  TEST_CASE("the variates follow the normal distribution (Kolmogorov and Smirnov, a million of them)") {
    for (const std::uint64_t key : {1, 2, 3}) CHECK(kolmogorov_smirnov(normals(1'000'000, key)) < 1.95);
    CHECK(kolmogorov_smirnov(scaled(normals(1'000'000), 1.02f)) > 1.95);
    CHECK(kolmogorov_smirnov(sums_of_uniforms(1'000'000)) > 1.95);
  }

  TEST_CASE("moments to the eighth are within four standard errors") {
    for (const std::uint64_t key : {4, 5, 6}) CHECK(worst_moment(normals(4'000'000, key)) < 4);
    CHECK(worst_moment(scaled(normals(4'000'000), 1.005f)) > 4);
    CHECK(worst_moment(sums_of_uniforms(4'000'000)) > 4);
  }

  TEST_CASE("the tails are as heavy as they should be out to 5 standard deviations") {
    CHECK(worst_tail(tail_counts(normals(20'000'000)), 2e7) < 4.5);
    CHECK(worst_tail(tail_counts(sums_of_uniforms(2'000'000)), 2e6) > 4.5);
  }

  TEST_CASE("variates of one stream, of neighbouring streams, counters and keys do not depend on one another") {
    constexpr std::size_t n = 500'000;
    const Values z = normals(n);
    for (std::size_t lag = 1; lag <= 64; ++lag) {  // 1 to 15: other lanes, 16: the other of a pair, 32: the next group
      CAPTURE(lag);
      CHECK(dependence(z, from(z, lag)) < 5);
    }
    CHECK(dependence(z, normals(n, 1, 1)) < 5);
    CHECK(dependence(z, normals(n, 1, std::uint64_t{1} << 32)) < 5);
    CHECK(dependence(z, normals(n, 1, 0, std::uint64_t{1} << 32)) < 5);
    for (int bit = 1; bit < 64; ++bit) CHECK(dependence(z, normals(n / 10, 1 ^ (std::uint64_t{1} << bit))) < 5);
    // Two variates of one radius: uncorrelated, yet dependent. And a weak correlation.
    Values same_radius(n), mixed(n);
    for (std::size_t i = 0; i < n; ++i) {
      same_radius[i] = z[i] * (i % 3 == 0 ? -1.0f : 1.0f) * (i % 2 == 0 ? 1.0f : -1.0f);
      mixed[i] = z[i] * 0.02f + z[(i + 100) % n];
    }
    CHECK(dependence(z, same_radius) > 5);
    CHECK(dependence(z, mixed) > 5);
  }
}

TEST_SUITE("slow") {
  TEST_CASE("the tails are right out to 6 standard deviations, and end where the resolution says") {
    constexpr std::size_t kTasks = 1024, kPerTask = std::size_t{1} << 22;
    std::vector<Counts> parts(kTasks);
    std::vector<float> largest(kTasks);
    parallel_for(static_cast<std::int64_t>(kTasks), [&](std::int64_t task) {
      const auto part = static_cast<std::size_t>(task);
      Values z(32768);
      for (std::size_t i = 0; i < kPerTask; i += z.size()) {
        active_kernels().sampling.normal(7, part, i / 32 * kernels::kGaussCounters, z.data(), z.size());
        const Counts counts = tail_counts(z);
        std::transform(counts.begin(), counts.end(), parts[part].begin(), parts[part].begin(), std::plus<>());
        for (const float x : z) largest[part] = std::max(largest[part], std::abs(x));
      }
    });
    Counts total{};
    for (const Counts& counts : parts)
      std::transform(counts.begin(), counts.end(), total.begin(), total.begin(), std::plus<>());
    CHECK(worst_tail(total, static_cast<double>(kTasks * kPerTask)) < 4.5);
    CHECK(*std::max_element(largest.begin(), largest.end()) < 6.556f);
    // 21 random bits for the radius would end at 5.4.
    std::fill(total.begin() + 14, total.end(), 0);
    CHECK(worst_tail(total, static_cast<double>(kTasks * kPerTask)) > 4.5);
  }
}
