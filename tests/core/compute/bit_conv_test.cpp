#include "core/compute/bit_conv.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/base/check.h"
#include "core/compute/conv_codes.h"
#include "core/kernels/kernels.h"
#include "tests/support/code_values.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

constexpr std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Codes {
  BitCode weight, activation;
};

const std::vector<Codes> kCodes = {{BitCode::signs(), BitCode::signs()},
                                   {BitCode::signs(), BitCode::unsigned_bits(1)},
                                   {BitCode::signs(), BitCode::unsigned_bits(2)},
                                   {BitCode::signs(), BitCode::unsigned_bits(3)},
                                   {BitCode::signs(), BitCode::unsigned_bits(4)},
                                   {BitCode::signs(), BitCode::ternary()},
                                   {BitCode::ternary(), BitCode::signs()},
                                   {BitCode::ternary(), BitCode::ternary()},
                                   {BitCode::ternary(), BitCode::unsigned_bits(4)},
                                   {BitCode::unsigned_bits(2), BitCode::signs()},
                                   {BitCode::signed_bits(2), BitCode::unsigned_bits(2)},
                                   {BitCode::signed_bits(4), BitCode::unsigned_bits(4)},
                                   {BitCode::unsigned_bits(1), BitCode::signed_bits(3)},
                                   {BitCode::signed_bits(8), BitCode::signed_bits(4)},
                                   {BitCode::signs(), BitCode::signed_bits(2)},
                                   {BitCode::unsigned_bits(7), BitCode::unsigned_bits(1)},
                                   {BitCode::signed_bits(2), BitCode::signs()},
                                   {BitCode::signed_bits(2), BitCode::ternary()},
                                   {BitCode::signed_bits(3), BitCode::signs()},
                                   {BitCode::signed_bits(3), BitCode::unsigned_bits(1)},
                                   {BitCode::unsigned_bits(3), BitCode::signs()},
                                   {BitCode::unsigned_bits(1), BitCode::ternary()},
                                   {BitCode::unsigned_bits(2), BitCode::signed_bits(2)},
                                   {BitCode::ternary(), BitCode::unsigned_bits(2)},
                                   {BitCode::signs(), BitCode::signed_bits(3)},
                                   {BitCode::signs(), BitCode::signed_bits(4)}};

struct Case {
  ConvShape s;
  Codes codes;
  std::vector<std::int8_t> x, weight;
  std::vector<std::uint64_t> packed;

  Case(const ConvShape& shape, const Codes& c)
      : s(shape),
        codes(c),
        x(values_of(c.activation, x_size(s), 1)),
        weight(values_of(c.weight, weight_size(s), 2)),
        packed(at(packed_words(c.activation.bits, s.batch * s.height * s.width, s.in_channels))) {
    pack_values(c.activation, s.batch * s.height * s.width, s.in_channels, x.data(), packed.data());
  }

  BitWeights weights() const {
    return {codes.weight, codes.activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels, weight.data()};
  }

  std::vector<std::int32_t> forward() const {
    std::vector<std::int32_t> y = output<std::int32_t>(y_size(s));
    bit_conv2d(s, packed.data(), weights(), y.data());
    return y;
  }

  std::vector<std::int32_t> expected() const {
    std::vector<std::int64_t> sums(at(y_size(s)));
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums[at(iy)] += std::int64_t{x[at(ix)]} * weight[at(iw)];
    });
    std::vector<std::int32_t> y = output<std::int32_t>(y_size(s));
    std::ranges::transform(sums, y.begin(), [](std::int64_t v) { return static_cast<std::int32_t>(v); });
    return y;
  }
};

std::string name(const Case& c) {
  return cat(testing::name(c.s), ", weights of ", c.codes.weight.bits, " bits from ", c.codes.weight.low,
             ", activations of ", c.codes.activation.bits, " from ", c.codes.activation.low);
}

// Thresholds of which some sums lie above, some below and some on, a few never and a few always reached; every third
// channel descends.
struct Limits {
  int count;
  std::vector<std::int32_t> thresholds;
  std::vector<std::uint8_t> descending;

  Limits(std::int64_t channels, int n) : count(n) {
    constexpr std::int32_t low = std::numeric_limits<std::int32_t>::min(),
                           high = std::numeric_limits<std::int32_t>::max();
    for (std::int64_t c = 0; c < channels; ++c) {
      descending.push_back(c % 3 == 0);
      for (int k = 0; k < n; ++k)
        thresholds.push_back(c % 7 == 5 ? (c % 2 ? low : high) : static_cast<std::int32_t>(4 * k - 2 * n + c % 5));
    }
  }

  std::vector<std::uint8_t> levels(const std::vector<std::int32_t>& sums, std::int64_t n) const {
    std::vector<std::uint8_t> levels = output<std::uint8_t>(n);
    for (std::int64_t i = 0; i < n; ++i) {
      const std::size_t c = at(i) % descending.size();
      int level = 0;
      for (int k = 0; k < count; ++k) {
        const std::int32_t t = thresholds[c * at(count) + at(k)], sum = sums[at(i)];
        level += descending[c] ? sum <= t : sum >= t;
      }
      levels[at(i)] = static_cast<std::uint8_t>(level);
    }
    return levels;
  }
};

// The sums are those of the case.
void check_levels(const Case& c, const std::vector<std::int32_t>& sums, int count) {
  const Limits limits(c.s.out_channels, count);
  const BitThresholds t(count, limits.thresholds, limits.descending);
  const BitWeights w = c.weights();
  const auto expected = limits.levels(sums, y_size(c.s));
  std::vector<std::uint8_t> levels = output<std::uint8_t>(y_size(c.s));
  bit_conv2d_levels(c.s, c.packed.data(), w, t, levels.data());
  CHECK(levels == expected);
  const std::int64_t pixels = c.s.batch * c.s.out_height() * c.s.out_width();
  std::vector<std::uint64_t> planes = output<std::uint64_t>(packed_words(t.bits(), pixels, c.s.out_channels));
  std::vector<std::uint64_t> wanted = planes;
  pack_planes(t.bits(), pixels, c.s.out_channels, expected.data(), wanted.data());
  bit_conv2d_planes(c.s, c.packed.data(), w, t, planes.data());
  CHECK(planes == wanted);
}

const std::vector<ConvShape> kWide = {square(1, 5, 63, 65, 3, 1, 1),   square(2, 4, 64, 64, 3, 1, 1),
                                      square(1, 6, 65, 130, 3, 2, 1),  square(1, 4, 200, 31, 2, 1, 0),
                                      square(3, 1, 1000, 70, 1, 1, 0), square(7, 3, 130, 33, 3, 1, 1),
                                      square(1, 5, 129, 64, 5, 1, 2),  square(2, 9, 8, 300, 3, 3, 0)};

/// Layers of bits as they are deployed, smaller batches than in training.
const std::vector<ConvShape> kBitLayers = {square(1, 16, 128, 128, 3, 1, 1), square(9, 8, 256, 256, 3, 1, 1),
                                           square(5, 4, 512, 512, 3, 1, 1),  square(3, 32, 16, 32, 3, 2, 1),
                                           square(2, 32, 64, 64, 3, 1, 1),   square(33, 1, 4608, 64, 1, 1, 0)};

}  // namespace

TEST_SUITE("bits") {
  TEST_CASE("convolutions of bits equal the definition, for every pair of codes, on every kernel table") {
    const OneThread one;
    std::size_t turn = 0;
    const auto check_next = [&](const ConvShape& s) {
      const Case c(s, kCodes[turn++ % kCodes.size()]);
      INFO(name(c));
      const std::vector<std::int32_t> expected = c.expected();
      with_each_table([&] { CHECK(c.forward() == expected); });
    };
    for_each_ordinary_shape(check_next);
    for (const ConvShape& s : kWide)
      for (std::size_t i = 0; i < kCodes.size(); ++i) check_next(s);
    for (const ConvShape& s : kCorners)
      for (std::size_t i = 0; i < kCodes.size(); ++i) check_next(s);
  }

  TEST_CASE("levels and planes of thresholds are those of the sums, descending and constant channels included") {
    const OneThread one;
    std::size_t turn = 0;
    for (const auto& shapes : {kWide, kCorners})
      for (const ConvShape& s : shapes)
        for (const int count : {1, 2, 3, 7, 15}) {
          const Case c(s, kCodes[turn++ % kCodes.size()]);
          INFO(name(c), ", ", count, " thresholds");
          const std::vector<std::int32_t> sums = c.expected();
          with_each_table([&] { check_levels(c, sums, count); });
        }
  }

  TEST_CASE("convolutions of bits on the networks' layers: every table equals the scalar one, 1 as 2 threads" *
            doctest::test_suite("bits long")) {
    for (const ConvShape& s : kBitLayers)
      for (const std::size_t codes : {0, 4, 6, 10}) {
        const Case c(s, kCodes[codes]);
        INFO(name(c));
        use_kernels(all_kernels().back()->name);
        const std::vector<std::int32_t> expected = c.forward();
        with_each_table([&] { CHECK(same_on_threads(expected, [&] { return c.forward(); })); });
        if (codes == 0) check_levels(c, expected, 1);
      }
  }

  TEST_CASE("products of bits are those of the same codes as bytes") {
    with_each_table([] {
      for (const ConvShape& s : kWide)
        for (const Codes& codes : kCodes) {
          if (codes.activation.low < 0) continue;
          const Case c(s, codes);
          INFO(name(c));
          const std::vector<std::uint8_t> bytes(c.x.begin(), c.x.end());
          const float one = 1;
          std::vector<float> sums = output<float>(y_size(s));
          conv2d_forward_codes(s, bytes.data(), c.weight.data(), {&one, 1}, nullptr, sums.data());
          CHECK(std::vector<std::int32_t>(sums.begin(), sums.end()) == c.forward());
        }
    });
  }

  TEST_CASE("weights that do not fit, thresholds that do not fit and sums that could overflow are errors") {
    const Case c(square(1, 4, 5, 6, 3, 1, 1), kCodes[0]);
    const BitWeights w = c.weights();
    std::vector<std::int32_t> y(at(y_size(c.s)));
    const auto call = [&](const ConvShape& s) { bit_conv2d(s, c.packed.data(), w, y.data()); };
    call(c.s);
    for (const auto change : {+[](ConvShape& s) { s.in_channels = 6; }, +[](ConvShape& s) { s.out_channels = 5; },
                              +[](ConvShape& s) { s.kernel_h = 2; }, +[](ConvShape& s) { s.dilation_w = 2; },
                              +[](ConvShape& s) { s.height = 0, s.pad_h = 0; }}) {
      ConvShape s = c.s;
      change(s);
      CHECK_THROWS_AS(call(s), Error);
    }
    ConvShape grouped = square(1, 4, 10, 6, 3, 1, 1);
    grouped.groups = 2;
    CHECK_THROWS_AS(call(grouped), Error);

    const auto pack = [&](const BitCode& weight, const BitCode& activation, std::int64_t in, std::int8_t value) {
      const std::vector<std::int8_t> values(at(std::max<std::int64_t>(in, 1)), value);
      BitWeights(weight, activation, 1, 1, 1, in, values.data());
    };
    pack(BitCode::ternary(), BitCode::signs(), 3, 0);
    CHECK_THROWS_AS(pack(BitCode::ternary(), BitCode::signs(), 3, 2), Error);
    CHECK_THROWS_AS(pack(BitCode::ternary(), BitCode::signs(), 3, -2), Error);
    CHECK_THROWS_AS(pack(BitCode::signs(), BitCode::signs(), 3, 0), Error);
    CHECK_THROWS_AS(pack(BitCode::signs(), BitCode::signs(), 0, 1), Error);
    CHECK_THROWS_AS(pack(BitCode::signs(), BitCode::signs(), -5, 1), Error);
    CHECK_THROWS_AS(pack(BitCode::unsigned_bits(8), BitCode::signs(), 3, 1), Error);
    CHECK_THROWS_AS(pack(BitCode::signs(), BitCode::unsigned_bits(5), 3, 1), Error);
    CHECK_THROWS_AS(pack({0, 1, 1, 0}, BitCode::signs(), 3, 0), Error);
    CHECK_THROWS_AS(pack(BitCode::signed_bits(8), BitCode::unsigned_bits(4), 70000, 1), Error);

    const std::vector<std::int32_t> thresholds(12);
    const std::vector<std::uint8_t> descending(6);
    CHECK_THROWS_AS(BitThresholds(1, thresholds, descending), Error);
    CHECK_THROWS_AS(BitThresholds(0, {}, descending), Error);
    CHECK_THROWS_AS(BitThresholds(256, thresholds, descending), Error);
    const BitThresholds five(2, {thresholds.data(), 10}, {descending.data(), 5});
    std::vector<std::uint8_t> levels(y.size());
    CHECK_THROWS_AS(bit_conv2d_levels(c.s, c.packed.data(), w, five, levels.data()), Error);
  }

  TEST_CASE("the comparison of bits catches one weight that has the other sign") {
    Case c(square(2, 6, 17, 5, 3, 1, 1), kCodes[0]);
    const auto y = c.forward();
    c.weight.back() = static_cast<std::int8_t>(-c.weight.back());
    CHECK(y != c.expected());
  }
}
