// Inner products from bit planes against sums of products.
#include "quant/math/bit_planes.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/compute/random.h"

using namespace coarsegrad;

namespace {

std::vector<std::uint8_t> integers(std::int64_t n, int bits, const Rng& rng) {
  std::vector<float> draws(static_cast<std::size_t>(n));
  Rng(rng).uniform(draws.data(), draws.size(), 0.f, static_cast<float>(1 << bits));
  std::vector<std::uint8_t> result;
  for (const float v : draws)
    result.push_back(static_cast<std::uint8_t>(std::min(v, static_cast<float>((1 << bits) - 1))));
  return result;
}

}  // namespace

TEST_SUITE("paper-dorefa") {
  TEST_CASE("paper-dorefa 7.7: bit planes give the integer inner product for all pairs of 1 to 4 bits") {
    for (int w_bits = 1; w_bits <= 4; ++w_bits)
      for (int a_bits = 1; a_bits <= 4; ++a_bits)
        for (const std::int64_t n : {0, 1, 63, 64, 65, 1000}) {
          INFO(w_bits, " and ", a_bits, " bits, ", n, " elements");
          const Rng rng = Rng(1).split(cat(w_bits, a_bits, n));
          const auto w = integers(n, w_bits, rng.split("w")), a = integers(n, a_bits, rng.split("a"));
          const BitPlanes weights(w, w_bits), activations(a, a_bits);
          std::int64_t expected = 0;
          double affine = 0;
          for (std::size_t i = 0; i < w.size(); ++i) {
            expected += w[i] * a[i];
            affine += (2.0 * w[i] / ((1 << w_bits) - 1) - 1) * a[i] / ((1 << a_bits) - 1);
          }
          CHECK(dot(weights, activations) == expected);
          CHECK(std::abs(affine_dot(weights, activations) - affine) <= 1e-9);
        }
  }

  TEST_CASE("paper-dorefa 7.7: signs are an exclusive or, n - 2 popcount, which the affine form with one bit is") {
    const auto u = integers(500, 1, Rng(2)), v = integers(500, 1, Rng(3));
    std::int64_t different = 0, ones = 0, product = 0;
    for (std::size_t i = 0; i < u.size(); ++i) {
      different += u[i] ^ v[i];
      ones += v[i];
      product += (2 * u[i] - 1) * (2 * v[i] - 1);
    }
    CHECK(product == 500 - 2 * different);
    // (2 u - 1) . (2 v - 1) = 2 (2 u - 1) . v - sum (2 u - 1)
    std::int64_t signs = 0;
    for (const std::uint8_t bit : u) signs += 2 * bit - 1;
    CHECK(2 * affine_dot({u, 1}, {v, 1}) - static_cast<double>(signs) == static_cast<double>(product));
    CHECK(sum(BitPlanes(v, 1)) == ones);
  }

  TEST_CASE("bit planes: more bits than there are, and vectors of two lengths, are refused") {
    const std::vector<std::uint8_t> four{4};
    CHECK_THROWS_AS(BitPlanes(four, 2), Error);
    CHECK_THROWS_AS(BitPlanes(four, 0), Error);
    CHECK_THROWS_AS(BitPlanes(four, 9), Error);
    CHECK(dot({four, 3}, {four, 3}) == 16);
    CHECK_THROWS_AS(dot({four, 3}, {std::vector<std::uint8_t>{1, 2}, 3}), Error);
  }
}
