// Inner products without multiplications, against those with them.
#include "quant/math/bit_products.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "quant/math/power_of_two.h"

using namespace coarsegrad;

namespace {

using Codes = std::vector<std::int8_t>;

/// What the codes of a vector are: signs alone, or sizes 0 to n.
struct Kind {
  const char* name;
  int magnitudes;
  bool zeros;
  Codes draw(std::size_t n, Rng& rng) const {
    Codes codes(n);
    for (auto& k : codes) {
      const auto size = static_cast<int>(zeros ? rng.below(static_cast<std::uint64_t>(magnitudes) + 1) : 1);
      k = static_cast<std::int8_t>(rng.below(2) ? size : -size);
    }
    return codes;
  }
  /// 2^(n-1) Q
  std::int64_t integer(int code) const {
    return static_cast<std::int64_t>(std::ldexp(power_value(code, magnitudes), magnitudes - 1));
  }
};
// The level sets of 1, 2 and 3 bits (quant/math/level_set.h), and power-of-two weights of 4 to 6 bits.
constexpr Kind kKinds[] = {{"signs", 1, false},       {"ternary", 1, true},     {"two powers", 2, true},
                           {"three powers", 3, true}, {"four powers", 4, true}, {"sixteen powers", 16, true}};

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("bit products: XNOR, masked and shifted products of all level sets are the integer product") {
    Rng rng(1);
    for (const Kind& a : kKinds)
      for (const Kind& b : kKinds) {
        INFO(a.name, " by ", b.name);
        for (int i = 0; i < 200; ++i) {
          const std::size_t n = i < 100 ? 64 : 1 + rng.below(300);
          const Codes x = a.draw(n, rng), w = b.draw(n, rng);
          std::int64_t expected = 0;
          for (std::size_t j = 0; j < n; ++j) expected += a.integer(x[j]) * b.integer(w[j]);
          CHECK(dot(PowerVector(x, a.magnitudes), PowerVector(w, b.magnitudes)) == expected);
        }
      }
  }

  TEST_CASE("bit products: shifted integer activations are the integer product") {
    Rng rng(2);
    for (const Kind& kind : kKinds)
      for (int i = 0; i < 200; ++i) {
        const Codes w = kind.draw(64, rng);
        std::vector<std::int32_t> x(64);
        for (auto& v : x) v = static_cast<std::int32_t>(rng.below(4001)) - 2000;
        std::int64_t expected = 0;
        for (std::size_t j = 0; j < 64; ++j) expected += x[j] * kind.integer(w[j]);
        CHECK(shift_dot(w, kind.magnitudes, x) == expected);
      }
  }

  TEST_CASE("bit products: one sign or one mask bit makes a difference") {
    Rng rng(3);
    const Kind& ternary = kKinds[1];
    const Codes x = ternary.draw(130, rng), w = ternary.draw(130, rng);
    const auto before = dot(PowerVector(x, 1), PowerVector(w, 1));
    for (const std::size_t i : {0u, 63u, 64u, 129u}) {
      Codes flipped = x;
      flipped[i] = static_cast<std::int8_t>(x[i] == 0 ? 1 : -x[i]);
      const int change = (flipped[i] - x[i]) * w[i];
      CHECK(dot(PowerVector(flipped, 1), PowerVector(w, 1)) == before + change);
    }
  }

  TEST_CASE("bit products: empty vectors, lengths that differ, codes out of range") {
    CHECK(dot(PowerVector({}, 1), PowerVector({}, 3)) == 0);
    const Codes one{1}, two{1, -1}, three{3};
    CHECK_THROWS_AS(dot(PowerVector(one, 1), PowerVector(two, 1)), Error);
    CHECK_THROWS_AS(PowerVector(three, 2), Error);
    CHECK_THROWS_AS(PowerVector(one, 0), Error);
    CHECK_THROWS_AS(PowerVector(one, 33), Error);
    CHECK_THROWS_AS(dot(PowerVector(one, 32), PowerVector(one, 32)), Error);
    CHECK_THROWS_AS(bucket_dot(one, 1, std::vector<float>{1, 2}), Error);
  }
}

TEST_SUITE("paper-lbw-net") {
  TEST_CASE("paper-lbw-net 12.10: shifts and additions give the product with integer activations exactly") {
    Rng rng(11);
    for (int bits = 2; bits <= 7; ++bits)
      for (int i = 0; i < 40; ++i) {
        const std::size_t n = 1 + rng.below(200);
        std::vector<double> w(n);
        Rng(rng.bits()).normal(w.data(), n, 0.0, 1.0);
        Codes codes(n);
        encode_powers_by_max<double>(w, bits, 0.75, codes.data());
        const int magnitudes = power_magnitudes(bits);
        std::vector<std::int32_t> x(n);
        for (auto& v : x) v = static_cast<std::int32_t>(rng.below(511)) - 255;
        double product = 0;  // of integers below 2^15 and 32 places behind the point: exact in 53 bits
        for (std::size_t j = 0; j < n; ++j) product += power_value(codes[j], magnitudes) * x[j];
        CHECK(std::ldexp(static_cast<double>(shift_dot(codes, magnitudes, x)), 1 - magnitudes) == product);
        const std::vector<float> single(x.begin(), x.end());
        CHECK(bucket_dot(codes, magnitudes, single) == product);
      }
  }

  TEST_CASE("paper-lbw-net 12.10: a wrong code or activation is noticed") {
    const std::vector<std::int8_t> codes{1, -3, 4};
    const std::vector<std::int32_t> x{5, 7, -9}, other{5, 7, -8};
    CHECK(shift_dot(codes, 4, x) == 5 - 28 - 72);
    CHECK(shift_dot(codes, 4, x) != shift_dot(codes, 4, other));
    CHECK_THROWS_AS(shift_dot(codes, 3, x), Error);
    CHECK_THROWS_AS(shift_dot(codes, 4, std::vector<std::int32_t>{1, 2}), Error);
    CHECK_THROWS_AS(shift_dot(std::vector<std::int8_t>{32}, 32, std::vector<std::int32_t>{INT32_MIN}), Error);
  }
}
