// Inner products without multiplications, against those with them.
#include "quant/math/bit_products.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "quant/math/level_set.h"
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
// The level sets of 1, 2 and 3 bits (quant/math/level_set.h), and power-of-two weights of 3, 4 and 6 bits.
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

namespace {

Codes codes_of(const LevelSet& set, const std::vector<double>& x) {
  Codes codes(x.size());
  set.encode<double>(x, codes.data());
  return codes;
}

/// How often each level is taken, ascending.
std::vector<int> counts_of(const LevelSet& set, const Codes& codes) {
  std::vector<int> counts;
  for (const double level : set.levels())
    counts.push_back(
        static_cast<int>(std::ranges::count_if(codes, [&](int code) { return set.level(code) == level; })));
  return counts;
}

/// 16 sum h h by the bit planes.
std::int64_t sixteen_dot(const LevelSet& a, const Codes& x, const LevelSet& b, const Codes& w) {
  const std::int64_t product = dot(PowerVector(x, a.magnitudes()), PowerVector(w, b.magnitudes()));
  return product * (16 >> (a.magnitudes() + b.magnitudes() - 2));
}

}  // namespace

TEST_SUITE("paper-aqe") {
  TEST_CASE("paper-aqe 11.19: operation and precision of all pairs of bits") {
    const char *const k1 = "1-bit fixed", *const k2 = "2-bit fixed", *const k16 = "16-bit floating";
    const struct {
      int inputs, weights;
      ProductUnit unit;
    } kTable[] = {{1, 1, {"XNOR", k1}},          {1, 2, {"XNOR", k1}},
                  {1, 3, {"XNOR", k2}},          {1, 16, {"XNOR ADDER", k16}},
                  {2, 1, {"XNOR", k1}},          {2, 2, {"XNOR", k1}},
                  {2, 3, {"XNOR", k2}},          {2, 16, {"XNOR ADDER", k16}},
                  {3, 1, {"XNOR", k2}},          {3, 2, {"XNOR", k2}},
                  {3, 3, {"SHIFT", k2}},         {3, 16, {"SHIFT ADDER", k16}},
                  {16, 1, {"XNOR ADDER", k16}},  {16, 2, {"XNOR ADDER", k16}},
                  {16, 3, {"SHIFT ADDER", k16}}, {32, 32, {"MAC", "32-bit floating"}}};
    for (const auto& row : kTable) {
      INFO(row.inputs, " and ", row.weights, " bits");
      CHECK(product_unit(row.inputs, row.weights) == row.unit);
    }
    for (const auto& [inputs, weights] : {std::pair{16, 16}, std::pair{1, 32}, std::pair{4, 4}, std::pair{0, 1}})
      CHECK_THROWS_AS(product_unit(inputs, weights), UsageError);
  }

  TEST_CASE("paper-aqe 11.20: counts of the levels, and products by bits and shifts are the integer products") {
    std::vector<double> x, w;
    for (int i = 0; i < 64; ++i) {
      x.push_back((2 * ((37 * i + 11) % 101) - 100) / 100.0);
      w.push_back((2 * ((53 * i + 29) % 103) - 102) / 102.0);
    }
    CHECK(std::ranges::count(x, 0) == 1);
    const std::vector<int> of_x[] = {{33, 31}, {31, 3, 30}, {8, 13, 7, 8, 8, 12, 8}},
                           of_w[] = {{33, 31}, {31, 3, 30}, {9, 10, 9, 9, 8, 11, 8}};
    constexpr int kProducts[3][3] = {{64, 16, -12}, {112, 64, 12}, {124, 84, 38}};
    for (int m = 1; m <= 3; ++m)
      for (int n = 1; n <= 3; ++n) {
        INFO(m, " and ", n, " bits");
        const LevelSet a = level_set(m), b = level_set(n);
        const Codes cx = codes_of(a, x), cw = codes_of(b, w);
        CHECK(counts_of(a, cx) == of_x[m - 1]);
        CHECK(counts_of(b, cw) == of_w[n - 1]);
        double product = 0;
        std::vector<std::int32_t> four_x;
        for (std::size_t i = 0; i < 64; ++i) {
          product += a.level(cx[i]) * b.level(cw[i]);
          four_x.push_back(static_cast<std::int32_t>(4 * a.level(cx[i])));
        }
        CHECK(16 * product == kProducts[m - 1][n - 1]);
        CHECK(sixteen_dot(a, cx, b, cw) == kProducts[m - 1][n - 1]);
        CHECK(shift_dot(cw, b.magnitudes(), four_x) * (4 >> (b.magnitudes() - 1)) == kProducts[m - 1][n - 1]);
      }
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
