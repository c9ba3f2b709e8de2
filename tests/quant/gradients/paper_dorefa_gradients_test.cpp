// The part of the acceptance list of Zhou, Wu, Ni, Zhou, Wen, Zou, "DoReFa-Net" (arXiv 1606.06160) that is
// about gradients.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/gradients/gradient_quantizer.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using coarsegrad::testing::same_bits;
using quant::gradient_moments;
using quant::gradient_quantizer;

namespace {

constexpr std::int64_t kSamples = 4, kElements = 200;
constexpr Real kScales[kSamples] = {Real(1), Real(0.1), Real(10), Real(1e-4)};

Tensor gradient() {
  Tensor g = Tensor::uninitialized({kSamples, kElements});
  Rng(11).normal(g.mutable_data(), static_cast<std::size_t>(g.numel()));
  for (std::int64_t i = 0; i < g.numel(); ++i) g.mutable_data()[i] *= kScales[i / kElements];
  return g;
}

Real largest(const Tensor& g, std::int64_t sample) {
  Real m = 0;
  for (std::int64_t i = 0; i < kElements; ++i) m = std::max(m, std::abs(g[sample * kElements + i]));
  return m;
}

// sum of p (1 - p) (2 m / n)^2, p = frac(n (g / (2 m) + 1/2)), written down once more.
double predicted_variance(const Tensor& g, int bits) {
  const double n = (1 << bits) - 1;
  double sum = 0;
  for (std::int64_t i = 0; i < g.numel(); ++i) {
    const double m = static_cast<double>(largest(g, i / kElements));
    const double q = n * (static_cast<double>(g[i]) / (2 * m) + 0.5), p = q - std::floor(q);
    sum += p * (1 - p) * (2 * m / n) * (2 * m / n);
  }
  return sum;
}

}  // namespace

TEST_SUITE("paper-dorefa") {
  TEST_CASE("paper-dorefa 7.3: the gradient quantizer is unbiased, with the predicted variance") {
    constexpr std::int64_t kDraws = 20000;
    const Tensor g = gradient();
    for (const int bits : {1, 2, 4, 6, 8}) {
      INFO(bits, " bits");
      const auto quantizer = gradient_quantizer("dorefa", {.bits = bits});
      const auto m = gradient_moments(*quantizer, g, kDraws, Rng(5));
      const std::vector<double> exact = quantizer->variance(g);
      double worst = 0;
      for (std::size_t i = 0; i < exact.size(); ++i) {
        const double error = std::abs(m.mean[i] - static_cast<double>(g[static_cast<std::int64_t>(i)]));
        // The largest of a sample has no variance: nothing but rounding to float may move it.
        const double rounding = 1e-6 * static_cast<double>(largest(g, static_cast<std::int64_t>(i) / kElements));
        worst = std::max(worst, (error - rounding) / std::sqrt(exact[i] / kDraws + 1e-300));
      }
      CHECK(worst <= 5);
      const double total = std::accumulate(m.variance.begin(), m.variance.end(), 0.0);
      CHECK(total == doctest::Approx(predicted_variance(g, bits)).epsilon(0.01));
      CHECK(std::accumulate(exact.begin(), exact.end(), 0.0) ==
            doctest::Approx(predicted_variance(g, bits)).epsilon(1e-4));
    }
  }

  TEST_CASE("paper-dorefa 7.4: zero becomes one of its two neighbours, a sample of zeros stays") {
    Tensor g({3, 4}, {0, 1, Real(-0.5), 2, 0, 0, 0, 0, 0, Real(1e-4), 0, 0});
    for (const int bits : {1, 2, 8}) {
      INFO(bits, " bits");
      const auto quantizer = gradient_quantizer("dorefa", {.bits = bits});
      const Real level = Real(2) / static_cast<Real>((1 << bits) - 1);
      constexpr int kDraws = 10000;
      int up = 0;
      for (int draw = 0; draw < kDraws; ++draw) {
        const Tensor q = quantizer->quantize(g, Rng(3).split(static_cast<std::uint64_t>(draw)));
        REQUIRE(std::abs(q[0]) == doctest::Approx(level).epsilon(1e-6));
        up += q[0] > 0;
        for (int i = 4; i < 8; ++i) REQUIRE(q[i] == 0);
      }
      CHECK(std::abs(up - kDraws / 2) <= 5 * std::sqrt(kDraws) / 2);
    }
  }

  TEST_CASE("paper-dorefa 7.5: scaling a sample scales what becomes of it, and nothing else") {
    const Tensor g = gradient();
    Tensor scaled = g;
    const Real factor = 8;  // a power of two: no rounding differs
    for (std::int64_t i = kElements; i < 2 * kElements; ++i) scaled.mutable_data()[i] *= factor;
    const auto quantizer = gradient_quantizer("dorefa", {.bits = 4});
    const Tensor q = quantizer->quantize(g, Rng(1)), r = quantizer->quantize(scaled, Rng(1));
    bool same = true;
    for (std::int64_t i = 0; i < g.numel(); ++i)
      same = same && same_bits(r[i], i / kElements == 1 ? factor * q[i] : q[i]);
    CHECK(same);
    const Tensor other = quantizer->quantize(g, Rng(2));
    CHECK(!std::equal(q.view().begin(), q.view().end(), other.view().begin()));
  }

  TEST_CASE("paper-dorefa 7.6: without the noise small gradients are biased") {
    const Tensor g = gradient();
    for (const int bits : {1, 2, 4}) {
      INFO(bits, " bits");
      const auto without = gradient_quantizer("dorefa", {.bits = bits, .stochastic = false});
      const auto with = gradient_quantizer("dorefa", {.bits = bits});
      const Tensor q = without->quantize(g, Rng(1)), again = without->quantize(g, Rng(2));
      CHECK(std::equal(q.view().begin(), q.view().end(), again.view().begin()));
      const auto m = gradient_moments(*with, g, 2000, Rng(1));
      double bias = 0, noisy_bias = 0;
      int small = 0;
      for (std::int64_t i = 0; i < g.numel(); ++i) {
        const Real smallest = largest(g, i / kElements) / static_cast<Real>((1 << bits) - 1);
        if (std::abs(g[i]) >= Real(0.5) * smallest) continue;  // in the inner half of the gap around 0
        REQUIRE(q[i] == doctest::Approx(std::copysign(smallest, g[i])).epsilon(1e-5));
        bias += static_cast<double>((q[i] - g[i]) / std::copysign(smallest, g[i]));
        noisy_bias += (m.mean[static_cast<std::size_t>(i)] - static_cast<double>(g[i])) /
                      static_cast<double>(std::copysign(smallest, g[i]));
        ++small;
      }
      REQUIRE(small > 20);
      CHECK(bias / small > 0.5);
      CHECK(std::abs(noisy_bias / small) < 0.02);
    }
  }
}
