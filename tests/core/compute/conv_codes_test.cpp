#include "core/compute/conv_codes.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/sums_of_products.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

// n codes from `low` to `high`, both of which occur often.
template <class Code>
std::vector<Code> codes(std::int64_t n, int low, int high, unsigned seed) {
  std::mt19937 bits(seed);
  std::vector<Code> values(static_cast<std::size_t>(n));
  for (Code& v : values) {
    const auto word = bits();
    const int any = low + static_cast<int>(word / 8 % static_cast<unsigned>(high - low + 1));
    v = static_cast<Code>(word % 8 == 0 ? low : word % 8 == 1 ? high : any);
  }
  return values;
}

struct Case {
  ConvShape s;
  std::vector<std::uint8_t> x;
  std::vector<std::int8_t> weight;
  std::vector<float> scale, bias;

  Case(const ConvShape& shape, bool per_channel, int x_max = 255, int w_min = -128, int w_max = 127)
      : s(shape),
        x(codes<std::uint8_t>(x_size(s), 0, x_max, 1)),
        weight(codes<std::int8_t>(weight_size(s), w_min, w_max, 2)),
        scale(filled<float>(per_channel ? s.out_channels : 1, Fill::kReals, 3)),
        bias(filled<float>(s.out_channels, Fill::kReals, 4)) {}

  std::vector<float> forward(bool with_bias) const {
    std::vector<float> y = output<float>(y_size(s));
    conv2d_forward_codes(s, x.data(), weight.data(), scale, with_bias ? bias.data() : nullptr, y.data());
    return y;
  }

  // What the header promises, from the definition.
  std::vector<float> expected(bool with_bias) const {
    std::vector<std::int64_t> sums(static_cast<std::size_t>(y_size(s)));
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums[static_cast<std::size_t>(iy)] += x[static_cast<std::size_t>(ix)] * weight[static_cast<std::size_t>(iw)];
    });
    std::vector<float> y = output<float>(y_size(s));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t o = i % static_cast<std::size_t>(s.out_channels);
      y[i] = std::fma(scale[scale.size() == 1 ? 0 : o], static_cast<float>(sums[i]), with_bias ? bias[o] : 0.f);
    }
    return y;
  }
};

void check_codes(const ConvShape& s) {
  for (bool per_channel : {false, true}) {
    INFO(name(s));
    const Case c(s, per_channel && s.out_channels > 0);
    CHECK(same_bits(c.forward(per_channel), c.expected(per_channel)));
  }
}

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("convolutions of codes equal the definition bit for bit, on every kernel table") {
    const OneThread one;
    with_each_table([] {
      for_each_ordinary_shape(check_codes);
      for_each_unusual_shape(check_codes);
      for (const ConvShape& s : kCorners) check_codes(s);
    });
  }

  TEST_CASE("convolutions of codes on the networks' layers: every table equals the scalar one, 1 as 2 threads") {
    for (const ConvShape& s : kLayers) {
      INFO(name(s));
      const Case c(s, true, 15, -1, 1);
      use_kernels("scalar");
      const std::vector<float> expected = c.forward(true);
      with_each_table([&] {
        CHECK(same_bits(c.forward(true), expected));
        CHECK(same_with_two_threads([&] { return c.forward(true); }));
      });
    }
  }

  TEST_CASE("dense layers on codes equal the definition bit for bit, on every kernel table") {
    with_each_table([] {
      for (std::int64_t in : {1, 4, 31, 64, 512})
        for (std::int64_t out : {1, 10, 16, 33, 100}) {
          const ConvShape s = square(7, 1, in, out, 1, 1, 0);
          INFO(name(s));
          const Case c(s, true);
          std::vector<float> y = output<float>(y_size(s));
          linear_forward_codes(7, in, out, c.x.data(), c.weight.data(), c.scale, c.bias.data(), y.data());
          CHECK(same_bits(y, c.expected(true)));
        }
    });
  }

  TEST_CASE("the largest sum of codes that 32 bits hold is exact, and one product more is refused") {
    const std::int64_t most = kernels::kMaxCodeDepth;
    with_each_table([&] {
      for (int weight : {-128, 127}) {
        const std::vector<std::uint8_t> x(static_cast<std::size_t>(most), 255);
        const std::vector<std::int8_t> w(static_cast<std::size_t>(most), static_cast<std::int8_t>(weight));
        const float one = 1;
        float y = 0;
        linear_forward_codes(1, most, 1, x.data(), w.data(), {&one, 1}, nullptr, &y);
        CHECK(y == static_cast<float>(255 * weight * most));
      }
    });
    const float one = 1;
    CHECK_THROWS_AS(linear_forward_codes(1, most + 1, 1, nullptr, nullptr, {&one, 1}, nullptr, nullptr), Error);
  }

  TEST_CASE("a number of scales that fits neither one nor all channels is an error, as are impossible shapes") {
    const std::vector<float> scale(5, 1.f);
    float y[3];
    const auto call = [&](const ConvShape& s, std::size_t scales) {
      const Case c(s, false);
      conv2d_forward_codes(s, c.x.data(), c.weight.data(), {scale.data(), scales}, nullptr, y);
    };
    const ConvShape fits = square(1, 1, 1, 3, 1, 1, 0);
    call(fits, 1);
    call(fits, 3);
    for (std::size_t scales : {0, 2, 4}) CHECK_THROWS_AS(call(fits, scales), Error);
    CHECK_THROWS_AS(call(square(1, 1, 1, 1, 4, 2, 1), 1), Error);
  }

  TEST_CASE("the comparison of codes catches one code that is off by one") {
    const ConvShape s = square(2, 6, 17, 5, 3, 1, 1);
    Case c(s, true);
    const std::vector<float> y = c.forward(true);
    c.weight.back() = c.weight.back() == 0 ? 1 : 0;
    CHECK_FALSE(same_bits(y, c.expected(true)));
  }

  TEST_CASE("packed codes and tiles of every size equal the reference") {
    for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
      const kernels::MatmulCodes& kernel = table.matmul_codes;
      for (int vectors = 1; vectors <= kernel.kMaxVectors; ++vectors)
        for (int rows = 1; rows <= kernel.max_rows[vectors]; ++rows)
          for (int missing : {0, 1, kernel.lanes - 1}) {
            INFO("vectors ", vectors, " rows ", rows, " missing ", missing);
            const std::int64_t steps = 9 + rows % 3, depth = steps * kernels::kCodesPerStep;
            const int width = vectors * kernel.lanes, columns = width - missing;
            const auto a = codes<std::uint8_t>(rows * depth, 0, 255, 1);
            const auto w = codes<std::int8_t>(columns * depth, -128, 127, 2);
            const auto scale = gaussian(columns, 3), bias = gaussian(columns, 4);
            std::vector<std::int8_t> packed = output<std::int8_t>(width * depth), reference = packed;
            kernel.pack(columns, width, steps, w.data(), depth, packed.data());
            scalar.matmul_codes.pack(columns, width, steps, w.data(), depth, reference.data());
            CHECK(packed == reference);
            std::vector<float> c = output<float>(rows * columns), expected = c;
            kernels::CodeTile tile{.a = a.data(),
                                   .a_row = depth,
                                   .b = packed.data(),
                                   .steps = {1, 1, steps},
                                   .a_step = {0, 0, kernels::kCodesPerStep},
                                   .b_step = {0, 0, width * kernels::kCodesPerStep},
                                   .c = c.data(),
                                   .c_row = columns,
                                   .rows = rows,
                                   .columns = columns,
                                   .scale = scale.data(),
                                   .bias = bias.data()};
            kernel.tile(tile);
            tile.c = expected.data();
            scalar.matmul_codes.tile(tile);
            CHECK(same_bits(c, expected));
          }
    });
  }
}
