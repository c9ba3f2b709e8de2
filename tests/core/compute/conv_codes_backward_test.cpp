// The backward pass on codes against sums in 64 bits, and against the float convolutions on the same elements.
#include "core/compute/conv_codes_backward.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/sums_of_products.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

// n bytes of which the lowest and the highest occur often.
std::vector<std::uint8_t> bytes(std::int64_t n, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<std::uint8_t> values(static_cast<std::size_t>(n));
  for (std::uint8_t& v : values) {
    const auto word = bits();
    v = static_cast<std::uint8_t>(word % 8 == 0 ? 0 : word % 8 == 1 ? 255 : word / 8);
  }
  return values;
}

int code_of(const LeveledCodes& c, std::int64_t i) {
  return c.is_signed ? static_cast<std::int8_t>(c.codes[i]) : c.codes[i];
}

struct Case {
  ConvShape s;
  std::vector<std::uint8_t> x_bytes, weight_bytes, dy_bytes;
  LeveledCodes x, weight, dy;

  // A grid of dy for each image if wanted; zero points of the gradient and the weight away from the middle.
  Case(const ConvShape& shape, bool per_image, bool x_signed, bool weight_signed)
      : s(shape),
        x_bytes(bytes(x_size(s), 1)),
        weight_bytes(bytes(weight_size(s), 2)),
        dy_bytes(bytes(y_size(s), 3)),
        x{x_bytes.data(), x_signed, {{0.037, 0, 0}}},
        weight{weight_bytes.data(), weight_signed, {{0.011, weight_signed ? 0 : 117, 0}}},
        dy{dy_bytes.data(), false, {}} {
    for (std::int64_t n = 0; n < (per_image ? s.batch : 1); ++n)
      dy.levels.push_back({1e-4 * (1 + 0.1 * static_cast<double>(n)), static_cast<int>(101 + n), 3.1e-5});
  }

  const Levels& levels_of_image(std::int64_t n) const {
    return dy.levels[dy.levels.size() == 1 ? 0 : static_cast<std::size_t>(n)];
  }
  std::vector<float> data() const {
    std::vector<float> dx = output<float>(x_size(s));
    conv2d_backward_data_codes(s, dy, weight, dx.data());
    return dx;
  }
  // The same by way of somebody who takes pieces.
  std::vector<float> data_in_pieces() const {
    std::vector<float> dx = output<float>(x_size(s));
    const auto take = [](void* all, std::int64_t begin, std::int64_t end, const float* from) {
      std::copy(from, from + (end - begin), static_cast<float*>(all) + begin);
    };
    conv2d_backward_data_codes(s, dy, weight, {dx.data(), take});
    return dx;
  }
  std::vector<float> weights() const {
    std::vector<float> dw = output<float>(weight_size(s));
    conv2d_backward_weight_codes(s, x, dy, dw.data());
    return dw;
  }

  // What the header promises, with sums in 64 bits.
  std::vector<float> expected_data() const {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(x_size(s))), alone(sums);
    const std::int64_t image = y_size(s) / std::max<std::int64_t>(s.batch, 1);
    std::vector<int> differences;
    for (std::int64_t i = 0; i < y_size(s); ++i)
      differences.push_back(code_of(dy, i) - levels_of_image(i / image).zero);
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      const int w = code_of(weight, iw) - weight.levels[0].zero;
      sums[static_cast<std::size_t>(ix)] += differences[static_cast<std::size_t>(iy)] * w;
      alone[static_cast<std::size_t>(ix)] += w;
    });
    std::vector<float> dx = output<float>(x_size(s));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const Levels& g = levels_of_image(static_cast<std::int64_t>(i) * s.batch / x_size(s));
      const auto scale = static_cast<float>(g.step * weight.levels[0].step),
                 rest = static_cast<float>(g.rest * weight.levels[0].step);
      const float product = scale * static_cast<float>(sums[i]), added = rest * static_cast<float>(alone[i]);
      dx[i] = product + added;
    }
    return dx;
  }
  std::vector<float> expected_weights() const {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(weight_size(s))), alone(sums);
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums[static_cast<std::size_t>(iw)] += code_of(x, ix) * (code_of(dy, iy) - dy.levels[0].zero);
      alone[static_cast<std::size_t>(iw)] += code_of(x, ix);
    });
    std::vector<float> dw = output<float>(weight_size(s));
    const double scale = dy.levels[0].step * x.levels[0].step, rest = dy.levels[0].rest * x.levels[0].step;
    for (std::size_t i = 0; i < sums.size(); ++i)
      dw[i] = static_cast<float>(scale * static_cast<double>(sums[i]) + rest * static_cast<double>(alone[i]));
    return dw;
  }
};

// On every kernel table.
void check_both(const ConvShape& s, int turn) {
  if (s.groups != 1 || s.dilation_h != 1 || s.dilation_w != 1) return;
  INFO(name(s));
  const Case whole(s, false, turn % 2 == 0, turn % 3 == 0), images(s, s.batch > 0, true, turn % 3 == 1);
  const std::vector<float> data = whole.expected_data(), image_data = images.expected_data(),
                           weights = whole.expected_weights();
  with_each_table([&] {
    CHECK(same_bits(whole.data(), data));
    CHECK(same_bits(images.data(), image_data));
    CHECK(same_bits(images.data_in_pieces(), image_data));
    CHECK(same_bits(whole.weights(), weights));
  });
}

double epsilons(float got, double expected, double magnitude) {
  const double error = std::abs(static_cast<double>(got) - expected);
  return error == 0 ? 0 : error / (static_cast<double>(std::numeric_limits<float>::epsilon()) * magnitude);
}

std::vector<float> elements(const LeveledCodes& c, std::int64_t n) {
  std::vector<float> values;
  const auto slices = static_cast<std::int64_t>(c.levels.size());
  for (std::int64_t i = 0; i < n; ++i) {
    const Levels& l = c.levels[static_cast<std::size_t>(i * slices / n)];
    values.push_back(static_cast<float>(l.step * (code_of(c, i) - l.zero) + l.rest));
  }
  return values;
}

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("backward passes on codes equal sums in 64 bits, for every shape and batch, on every kernel table") {
    const OneThread one;
    int turn = 0;
    for_each_ordinary_shape([&](const ConvShape& s) { check_both(s, turn++); });
    for_each_unusual_shape([&](const ConvShape& s) { check_both(s, turn++); });
    for (const ConvShape& s : kCorners) check_both(s, turn++);
    for (const std::int64_t batch : {1, 2, 3, 4, 5, 8, 31, 64, 67}) check_both(square(batch, 4, 5, 7, 3, 1, 1), turn++);
  }

  TEST_CASE("backward passes on codes of the networks' layers: every table equals the scalar one, 1 as 2 threads" *
            doctest::test_suite("conv long")) {
    for (const ConvShape& s : kLayers) {
      INFO(name(s));
      const Case c(s, false, false, false), images(s, true, false, false);
      use_kernels("scalar");
      const std::vector<float> data = c.data(), image_data = images.data(), weights = c.weights();
      with_each_table([&] {
        CHECK(same_bits(images.data(), image_data));
        CHECK(same_on_threads(data, [&] { return c.data(); }));
        CHECK(same_on_threads(weights, [&] { return c.weights(); }));
      });
    }
  }

  TEST_CASE("the gradient of a weight is exact where its sum leaves 32 bits, over images and over pixels") {
    for (const ConvShape& s : {square(150001, 1, 1, 1, 1, 1, 0), square(1, 400, 1, 1, 1, 1, 0),
                               ConvShape{.batch = 5,
                               .height = 1,
                               .width = 40000,
                               .in_channels = 1,
                               .out_channels = 1,
                               .kernel_h = 1,
                               .kernel_w = 3,
                               .pad_w = 1}}) {
      INFO(name(s));
      Case c(s, false, false, false);
      std::ranges::fill(c.x_bytes, std::uint8_t{255});
      std::ranges::fill(c.dy_bytes, std::uint8_t{255});
      const Case& k = c;
      const double largest = 255.0 * (255 - 101) * static_cast<double>(y_size(s));
      REQUIRE(largest > 2147483647.0);
      with_each_table([&] { CHECK(same_bits(k.weights(), k.expected_weights())); });
    }
  }

  TEST_CASE("the longest sum of backward data fits into 32 bits, and one product more is refused") {
    for (const int weight : {0, 255}) {
      Case c(square(2, 1, 3, 33025, 1, 1, 0), false, false, false);
      std::ranges::fill(c.dy_bytes, std::uint8_t{255});
      std::ranges::fill(c.weight_bytes, static_cast<std::uint8_t>(weight));
      c.dy.levels[0].zero = 0;
      c.weight.levels[0].zero = 255 - weight;
      with_each_table([&] { CHECK(same_bits(c.data(), c.expected_data())); });
    }
    const Case longer(square(1, 1, 1, 33026, 1, 1, 0), false, false, false);
    CHECK_FALSE(backward_data_on_codes(longer.s, longer.dy, longer.weight));
    CHECK_THROWS_AS(longer.data(), Error);
  }

  TEST_CASE("the float convolutions of the same elements agree within the bound that the header states") {
    for (const ConvShape& s : {square(9, 12, 5, 7, 3, 1, 1), square(6, 9, 16, 8, 3, 2, 1),
                               square(4, 8, 32, 32, 3, 1, 1), square(40, 1, 100, 30, 1, 1, 0)}) {
      INFO(name(s));
      for (const bool per_image : {false, true}) {
        const Case c(s, per_image, false, false);
        const auto x = elements(c.x, x_size(s)), w = elements(c.weight, weight_size(s)), dy = elements(c.dy, y_size(s));
        std::vector<float> dx(x.size()), dw(w.size());
        std::vector<double> size_x(x.size()), size_w(w.size());
        conv2d_backward_data<float>(s, dy.data(), w.data(), dx.data());
        for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
          const auto at = [](const std::vector<float>& v, std::int64_t i) {
            return static_cast<double>(v[static_cast<std::size_t>(i)]);
          };
          size_x[static_cast<std::size_t>(ix)] += std::abs(at(dy, iy) * at(w, iw));
          size_w[static_cast<std::size_t>(iw)] += std::abs(at(dy, iy) * at(x, ix));
        });
        const auto codes = c.data();
        double worst = 0;
        for (std::size_t i = 0; i < dx.size(); ++i)
          worst = std::max(worst, epsilons(codes[i], static_cast<double>(dx[i]), size_x[i]));
        CHECK(worst <= 20);
        if (per_image) continue;
        conv2d_backward_weight<float>(s, x.data(), dy.data(), dw.data());
        const auto weights = c.weights();
        for (std::size_t i = 0; i < dw.size(); ++i)
          worst = std::max(worst, epsilons(weights[i], static_cast<double>(dw[i]), size_w[i]));
        CHECK(worst <= 20);
        CHECK(worst > 0);  // floats round, integers do not
      }
    }
  }

  TEST_CASE("what has no integer products is refused: groups, dilation, grids per image or channel, zero points of x") {
    const ConvShape plain = square(2, 5, 4, 4, 3, 1, 1);
    const Case fits(plain, false, false, false);
    CHECK(backward_data_on_codes(plain, fits.dy, fits.weight));
    CHECK(backward_weight_on_codes(plain, fits.x, fits.dy));
    ConvShape grouped = plain, dilated = plain;
    grouped.groups = 2;
    dilated.dilation_w = 2;
    for (const ConvShape& s : {grouped, dilated}) {
      const Case c(s, false, false, false);
      CHECK_FALSE(backward_data_on_codes(s, c.dy, c.weight));
      CHECK_FALSE(backward_weight_on_codes(s, c.x, c.dy));
      CHECK_THROWS_AS(c.data(), Error);
      CHECK_THROWS_AS(c.weights(), Error);
    }
    const Case images(plain, true, false, false);
    CHECK(backward_data_on_codes(plain, images.dy, images.weight));
    CHECK_FALSE(backward_weight_on_codes(plain, images.x, images.dy));
    Case channels(plain, false, false, false), shifted(plain, false, false, false);
    channels.weight.levels.assign(4, channels.weight.levels[0]);
    CHECK_FALSE(backward_data_on_codes(plain, channels.dy, channels.weight));
    shifted.x.levels[0].zero = 3;
    CHECK_FALSE(backward_weight_on_codes(plain, shifted.x, shifted.dy));
  }

  TEST_CASE("the comparison of backward passes catches one code that is off by one") {
    const ConvShape s = square(3, 6, 5, 6, 3, 1, 1);
    Case c(s, false, false, false);
    const std::vector<float> data = c.data(), weights = c.weights();
    c.dy_bytes.back() ^= 1;
    CHECK_FALSE(same_bits(data, c.expected_data()));
    CHECK_FALSE(same_bits(weights, c.expected_weights()));
  }
}
