#include "core/compute/power_conv.h"

#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <vector>

#include "core/base/check.h"
#include "core/compute/bit_conv.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/sums_of_products.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// n integers from `low` to `high`, both of which occur.
template <class T>
std::vector<T> integers(std::int64_t n, int low, int high, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<T> values(at(n));
  for (auto& v : values) v = static_cast<T>(low + static_cast<int>(bits() / 8 % unsigned(high - low + 1)));
  if (n > 0) values.front() = static_cast<T>(low), values.back() = static_cast<T>(high);
  return values;
}

template <class In>
struct Case {
  ConvShape s;
  int magnitudes;
  std::vector<In> x;
  std::vector<std::int8_t> codes;
  std::vector<float> scale, bias;

  Case(const ConvShape& shape, int m, int highest)
      : s(shape),
        magnitudes(m),
        x(integers<In>(x_size(s), std::is_signed_v<In> ? -1 - highest : 0, highest, 1)),
        codes(integers<std::int8_t>(weight_size(s), -m, m, 2)),
        scale(filled<float>(s.out_channels, Fill::kReals, 3)),
        bias(filled<float>(s.out_channels, Fill::kReals, 4)) {}

  std::vector<std::int64_t> sums() const {
    std::vector<std::int64_t> all(at(y_size(s)));
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      all[at(iy)] += std::int64_t{x[at(ix)]} * power_value(codes[at(iw)]);
    });
    return all;
  }

  void check_bytes(int bytes) const {
    INFO(name(s), ", ", magnitudes, " magnitudes");
    const PowerWeights w(s, magnitudes, codes.data());
    CHECK(w.bytes() == bytes);
    std::vector<float> y = output<float>(y_size(s)), expected = y;
    const auto exact = sums();
    for (std::size_t i = 0; i < exact.size(); ++i) {
      const std::size_t o = i % at(s.out_channels);
      expected[i] = std::fma(scale[o], static_cast<float>(exact[i]), bias[o]);
    }
    conv2d_forward_powers(s, x.data(), w, scale, bias.data(), y.data());
    CHECK(same_bits(y, expected));
    const float one = 1;
    conv2d_forward_powers(s, x.data(), w, {&one, 1}, nullptr, y.data());
    for (std::size_t i = 0; i < exact.size(); ++i) expected[i] = static_cast<float>(exact[i]);
    CHECK(same_bits(y, expected));
  }
};

std::vector<ConvShape> shapes() {
  std::vector<ConvShape> all = {square(2, 6, 17, 5, 3, 1, 1), square(1, 5, 64, 33, 3, 2, 1),
                                square(3, 1, 70, 20, 1, 1, 0), square(0, 4, 3, 2, 3, 1, 1),
                                square(1, 4, 12, 6, 3, 1, 2)};
  all.back().groups = 3, all.back().dilation_w = 2;
  return all;
}

}  // namespace

TEST_SUITE("powers") {
  TEST_CASE("convolutions of powers of two by bytes equal sums in 64 bits, of one, two and three bytes a weight") {
    const OneThread one;
    with_each_code_table([] {
      for (const ConvShape& s : shapes())
        for (const auto& [magnitudes, bytes] : {std::pair{1, 1}, {4, 1}, {7, 1}, {8, 2}, {15, 2}, {16, 3}, {23, 3}}) {
          Case<std::uint8_t>(s, magnitudes, 255).check_bytes(bytes);
          Case<std::int8_t>(s, magnitudes, 127).check_bytes(bytes);
        }
    });
  }

  TEST_CASE("weights take as many bytes as the largest power that occurs, whatever the code could hold") {
    const ConvShape s = square(1, 3, 4, 2, 3, 1, 1);
    for (const auto& [size, bytes] : {std::pair{0, 1}, {7, 1}, {8, 2}, {15, 2}, {16, 3}}) {
      std::vector<std::int8_t> codes(at(weight_size(s)), 1);
      codes[5] = static_cast<std::int8_t>(-size);
      CHECK(PowerWeights(s, kMostPowers, codes.data()).bytes() == bytes);
    }
  }

  TEST_CASE("convolutions of powers of two by planes, counts shifted and added, equal those by bytes") {
    const OneThread one;
    with_each_table([] {
      for (const ConvShape& s : shapes()) {
        if (s.groups > 1) continue;  // planes have no groups
        for (int magnitudes = 1; magnitudes <= 7; ++magnitudes) {
          const Case<std::uint8_t> c(s, magnitudes, 15);
          INFO(name(s), ", ", magnitudes, " magnitudes");
          std::vector<std::int8_t> values(c.codes.size());
          for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<std::int8_t>(power_value(c.codes[i]));
          const BitCode activation = BitCode::unsigned_bits(4);
          const BitWeights w(power_bits(magnitudes), activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels,
                             values.data());
          const std::int64_t pixels = s.batch * s.height * s.width;
          std::vector<std::uint64_t> planes(at(packed_words(4, pixels, s.in_channels)));
          pack_planes(4, pixels, s.in_channels, c.x.data(), planes.data());
          std::vector<std::int32_t> sums = output<std::int32_t>(y_size(s)), expected = sums;
          bit_conv2d(s, planes.data(), w, sums.data());
          const auto exact = c.sums();
          std::ranges::transform(exact, expected.begin(), [](std::int64_t v) { return static_cast<std::int32_t>(v); });
          CHECK(sums == expected);
          conv2d_sums_of_codes(s, c.x.data(), ByteWeights(s, values.data()), sums.data());
          CHECK(sums == expected);
        }
      }
    });
  }

  TEST_CASE("too many magnitudes, codes beyond them, other scales and sums that 32 bits do not hold are errors") {
    const ConvShape s = square(1, 1, 3, 2, 1, 1, 0);
    std::vector<std::int8_t> codes = {0, 1, -2, 3, -3, 2};
    CHECK_THROWS_AS(PowerWeights(s, 0, codes.data()), Error);
    CHECK_THROWS_AS(PowerWeights(s, kMostPowers + 1, codes.data()), Error);
    CHECK_THROWS_AS(PowerWeights(s, 2, codes.data()), Error);
    codes[0] = 16;
    const PowerWeights w(s, 16, codes.data());
    const std::vector<std::uint8_t> x(3);
    const std::vector<float> scale(3, 1.f);
    std::vector<float> y(2);
    conv2d_forward_powers(s, x.data(), w, {scale.data(), 2}, nullptr, y.data());
    for (const std::size_t scales : {0, 3})
      CHECK_THROWS_AS(conv2d_forward_powers(s, x.data(), w, {scale.data(), scales}, nullptr, y.data()), Error);
    const std::int64_t most = kernels::kMaxCodeDepth;
    const ConvShape deep = square(1, 1, most + 1, 1, 1, 1, 0);
    std::vector<std::int8_t> many(at(most + 1), 1);
    const std::vector<std::uint8_t> pixels(at(most + 1), 1);
    conv2d_forward_powers(deep, pixels.data(), PowerWeights(deep, 9, many.data()), {scale.data(), 1}, nullptr,
                          y.data());
    CHECK(y[0] == static_cast<float>(most + 1));
    many[0] = 9;
    CHECK_THROWS_AS(conv2d_forward_powers(deep, pixels.data(), PowerWeights(deep, 9, many.data()), {scale.data(), 1},
                                          nullptr, y.data()),
                    Error);
  }
}
