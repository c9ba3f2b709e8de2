#include "core/compute/conv_codes.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/compute/bit_planes.h"
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

// The codes that a type holds.
template <class In>
constexpr int kLowest = std::numeric_limits<In>::min();
template <class In>
constexpr int kHighest = std::numeric_limits<In>::max();

template <class In>
struct Case {
  ConvShape s;
  std::vector<In> x;
  std::vector<std::int8_t> weight;
  std::vector<float> scale, bias;

  Case(const ConvShape& shape, bool per_channel, int x_max = kHighest<In>, int w_min = -128, int w_max = 127)
      : s(shape),
        x(codes<In>(x_size(s), std::is_signed_v<In> ? -1 - x_max : 0, x_max, 1)),
        weight(codes<std::int8_t>(weight_size(s), w_min, w_max, 2)),
        scale(filled<float>(per_channel ? s.out_channels : 1, Fill::kReals, 3)),
        bias(filled<float>(s.out_channels, Fill::kReals, 4)) {}

  std::vector<float> forward(bool with_bias) const {
    std::vector<float> y = output<float>(y_size(s));
    conv2d_forward_codes(s, x.data(), weight.data(), scale, with_bias ? bias.data() : nullptr, y.data());
    return y;
  }

  std::vector<std::int64_t> sums() const {
    std::vector<std::int64_t> all(static_cast<std::size_t>(y_size(s)));
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      all[static_cast<std::size_t>(iy)] += x[static_cast<std::size_t>(ix)] * weight[static_cast<std::size_t>(iw)];
    });
    return all;
  }

  // What the header promises, from the definition.
  std::vector<float> expected(bool with_bias) const {
    const std::vector<std::int64_t> sums = this->sums();
    std::vector<float> y = output<float>(y_size(s));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t o = i % static_cast<std::size_t>(s.out_channels);
      y[i] = std::fma(scale[scale.size() == 1 ? 0 : o], static_cast<float>(sums[i]), with_bias ? bias[o] : 0.f);
    }
    return y;
  }
};

// On every kernel table.
template <class In>
void check_codes(const ConvShape& s) {
  for (bool per_channel : {false, true}) {
    INFO(name(s));
    const Case<In> c(s, per_channel && s.out_channels > 0);
    const std::vector<float> expected = c.expected(per_channel);
    with_each_code_table([&] { CHECK(same_bits(c.forward(per_channel), expected)); });
  }
}

// f(In{}) for both kinds of activation codes.
template <class F>
void for_both_kinds(F&& f) {
  f(std::uint8_t{});
  f(std::int8_t{});
}

// Codes from the first to the second number.
using Ends = std::pair<int, int>;

// Every size of a tile, over two runs of `steps` steps.
template <class In>
void check_tiles(const kernels::CodeProduct<In>& kernel, const kernels::CodeProduct<In>& scalar,
                 const Ends& of_a = {kLowest<In>, kHighest<In>}, const Ends& of_b = {-128, 127}) {
  for (int vectors = 1; vectors <= kernel.kMaxVectors; ++vectors)
    for (int rows = 1; rows <= kernel.max_rows[vectors]; ++rows)
      for (int missing : {0, 1, kernel.lanes - 1}) {
        const std::int64_t steps = 9 + 7 * (rows % 5), row = steps * kernels::kCodesPerStep, depth = 2 * row;
        const int width = vectors * kernel.lanes, columns = width - missing;
        INFO("vectors ", vectors, " rows ", rows, " missing ", missing, " steps ", steps);
        const auto a = codes<In>(rows * depth, of_a.first, of_a.second, 1);
        const auto w = codes<std::int8_t>(columns * depth, of_b.first, of_b.second, 2);
        const auto scale = gaussian(columns, 3), bias = gaussian(columns, 4);
        std::vector<std::int8_t> packed = output<std::int8_t>(width * depth), reference = packed;
        kernel.pack(columns, width, 2 * steps, w.data(), depth, packed.data());
        scalar.pack(columns, width, 2 * steps, w.data(), depth, reference.data());
        CHECK(packed == reference);
        std::vector<float> c = output<float>(rows * columns), expected_c = c;
        std::vector<std::int32_t> sums = output<std::int32_t>(rows * columns), expected_sums = sums;
        kernels::CodeTile<In> tile{
            .a = a.data(),
            .a_row = depth,
            .b = packed.data(),
            .steps = {1, 2, steps},
            .a_step = {0, row, kernels::kCodesPerStep},
            .b_step = {0, steps * width * kernels::kCodesPerStep, width * kernels::kCodesPerStep},
            .c = c.data(),
            .c_row = columns,
            .rows = rows,
            .columns = columns,
            .scale = scale.data(),
            .bias = bias.data()};
        kernel.tile(tile);
        tile.c = expected_c.data();
        scalar.tile(tile);
        CHECK(same_bits(c, expected_c));
        tile.sums = sums.data();
        kernel.tile(tile);
        tile.sums = expected_sums.data();
        scalar.tile(tile);
        CHECK(sums == expected_sums);
      }
}

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("convolutions of codes equal the definition bit for bit, on every kernel table") {
    name_missing_tables();
    const OneThread one;
    for_both_kinds([]<class In>(In) {
      for_each_ordinary_shape(check_codes<In>);
      for_each_unusual_shape(check_codes<In>);
      for (const ConvShape& s : kCorners) check_codes<In>(s);
    });
  }

  TEST_CASE("convolutions of codes on the networks' layers: every table equals the scalar one, 1 as 2 threads" *
            doctest::test_suite("conv_codes long")) {
    for (const ConvShape& s : kLayers)
      for_both_kinds([&]<class In>(In) {
        INFO(name(s));
        const Case<In> c(s, true, 15, -1, 1);
        use_kernels("scalar");
        const std::vector<float> expected = c.forward(true);
        const auto check = [&] { CHECK(same_on_threads(expected, [&] { return c.forward(true); })); };
        constexpr std::int64_t kMostPlainProducts = 10'000'000;  // tiles in plain C++ take their time
        if (y_size(s) * weight_size(s) / s.out_channels <= kMostPlainProducts)
          with_each_code_table(check);
        else
          with_each_table(check);
      });
  }

  TEST_CASE("dense layers on codes equal the definition bit for bit, on every kernel table") {
    for (std::int64_t in : {1, 4, 31, 64, 512})
      for (std::int64_t out : {1, 10, 16, 33, 100})
        for_both_kinds([&]<class In>(In) {
          const ConvShape s = square(7, 1, in, out, 1, 1, 0);
          INFO(name(s));
          const Case<In> c(s, true);
          const std::vector<float> expected = c.expected(true);
          with_each_code_table([&] {
            std::vector<float> y = output<float>(y_size(s));
            linear_forward_codes(7, in, out, c.x.data(), c.weight.data(), c.scale, c.bias.data(), y.data());
            CHECK(same_bits(y, expected));
          });
        });
  }

  TEST_CASE("the largest sum of codes that 32 bits hold is exact, and so are longer ones") {
    with_each_code_table([] {
      for_both_kinds([]<class In>(In) {
        for (const std::int64_t depth : {kernels::kMaxDepthOf<In>, kernels::kMaxDepthOf<In> + 1, std::int64_t{300'001}})
          for (const int code : {kLowest<In>, kHighest<In>})
            for (const int weight : {-128, 127}) {
              const std::vector<In> x(static_cast<std::size_t>(depth), static_cast<In>(code));
              const std::vector<std::int8_t> w(static_cast<std::size_t>(depth), static_cast<std::int8_t>(weight));
              const float one = 1;
              float y = 0;
              linear_forward_codes(1, depth, 1, x.data(), w.data(), {&one, 1}, nullptr, &y);
              CHECK(y == static_cast<float>(code * weight * depth));
            }
      });
    });
  }

  TEST_CASE("sums that leave 32 bits: convolutions in groups, with dilation and padding, equal the definition") {
    ConvShape s = square(2, 3, 2 * 9000, 2 * 3, 3, 1, 1);
    s.groups = 2;
    for_both_kinds([&]<class In>(In) {
      for (const std::int64_t dilation : {1, 2}) {
        s.dilation_h = dilation, s.pad_h = dilation;
        const Case<In> c(s, true);
        const std::vector<float> expected = c.expected(true);
        with_each_code_table([&] { CHECK(same_bits(c.forward(true), expected)); });
      }
    });
  }

  TEST_CASE("products of codes of any size and length equal sums in 64 bits, 1 as 2 threads") {
    for_both_kinds([]<class In>(In) {
      const std::vector<std::array<std::int64_t, 3>> sizes = {{0, 3, 5},     {3, 0, 5},       {3, 5, 0},
                                                              {1, 1, 1},     {17, 33, 63},    {64, 48, 8192},
                                                              {5, 70, 8193}, {33, 9, 20'002}, {3, 2, 140'000}};
      for (const auto& size : sizes) {
        const std::int64_t m = size[0], n = size[1], k = size[2];
        INFO(m, " x ", n, " sums of ", k);
        const auto a = codes<In>(m * k, kLowest<In>, kHighest<In>, 1);
        const auto b = codes<std::int8_t>(n * k, -128, 127, 2);
        std::vector<std::int64_t> expected = output<std::int64_t>(m * n);
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t j = 0; j < n; ++j) {
            std::int64_t& sum = expected[static_cast<std::size_t>(i * n + j)] = 0;
            for (std::int64_t d = 0; d < k; ++d)
              sum += a[static_cast<std::size_t>(i * k + d)] * b[static_cast<std::size_t>(j * k + d)];
          }
        with_each_code_table([&] {
          CHECK(same_on_threads(expected, [&] {
            std::vector<std::int64_t> c = output<std::int64_t>(m * n);
            multiply_codes(m, n, k, a.data(), b.data(), c.data());
            return c;
          }));
        });
      }
    });
    const std::uint8_t a = 0;
    const std::int8_t b = 0;
    std::int64_t c = 0;
    CHECK_THROWS_AS(multiply_codes(-1, 1, 1, &a, &b, &c), Error);
    CHECK_THROWS_AS(multiply_codes(1, -1, 1, &a, &b, &c), Error);
    CHECK_THROWS_AS(multiply_codes(1, 1, -1, &a, &b, &c), Error);
  }

  TEST_CASE("weights that are packed once serve both kinds of codes, from bytes or from planes of bits") {
    const OneThread one;
    std::vector<ConvShape> shapes = {square(2, 6, 17, 5, 3, 1, 1), square(3, 5, 65, 40, 3, 2, 1),
                                     square(2, 1, 130, 33, 1, 1, 0), square(1, 4, 12, 6, 3, 1, 2)};
    shapes.back().groups = 3, shapes.back().dilation_h = 2;
    for (const ConvShape& s : shapes)
      for (const BitCode& code : {BitCode::signs(), BitCode::ternary(), BitCode::signed_bits(4),
                                  BitCode::unsigned_bits(7), BitCode::signed_bits(8)})
        for_both_kinds([&]<class In>(In) {
          INFO(name(s), ", weights of ", code.bits, " bits from ", code.low);
          Case<In> c(s, true, kHighest<In>, code.low, code.high());
          if (code == BitCode::signs())
            for (auto& w : c.weight) w = w < 0 ? -1 : 1;
          const std::int64_t channels = s.in_channels / s.groups, taps = s.out_channels * s.kernel_h * s.kernel_w;
          std::vector<std::uint64_t> planes(static_cast<std::size_t>(packed_words(code.bits, taps, channels)));
          pack_values(code, taps, channels, c.weight.data(), planes.data());
          const std::vector<float> expected = c.expected(true);
          with_each_code_table([&] {
            const ByteWeights from_bytes(s, c.weight.data()), from_planes(s, code, planes.data());
            for (const ByteWeights* w : {&from_bytes, &from_planes}) {
              std::vector<float> y = output<float>(y_size(s));
              conv2d_forward_codes(s, c.x.data(), *w, c.scale, c.bias.data(), y.data());
              CHECK(same_bits(y, expected));
            }
          });
        });
  }

  TEST_CASE("sums, and levels of thresholds as bytes and as planes, are those of the definition, 1 as 2 threads") {
    std::vector<ConvShape> shapes = {square(1, 9, 17, 5, 3, 1, 1),    square(3, 5, 65, 40, 3, 2, 1),
                                     square(20, 1, 130, 70, 1, 1, 0), square(1, 32, 16, 130, 3, 1, 1),
                                     square(0, 4, 3, 2, 3, 1, 1),     square(2, 4, 12, 6, 3, 1, 2)};
    shapes.back().groups = 3, shapes.back().dilation_h = 2;
    for (const ConvShape& s : shapes)
      for_both_kinds([&]<class In>(In) {
        const Case<In> c(s, false, 15, -8, 7);
        const auto exact = c.sums();
        std::vector<std::int32_t> expected = output<std::int32_t>(y_size(s));
        std::ranges::transform(exact, expected.begin(), [](std::int64_t v) { return static_cast<std::int32_t>(v); });
        for (const int count : {1, 3, 15}) {
          INFO(name(s), ", ", count, " thresholds");
          const auto channels = static_cast<std::size_t>(s.out_channels);
          std::vector<std::int32_t> bounds;
          std::vector<std::uint8_t> descending(channels);
          for (std::size_t o = 0; o < channels; ++o) {
            descending[o] = o % 3 == 0;
            for (int k = 0; k < count; ++k) bounds.push_back(60 * k - 30 * count + static_cast<int>(o));
          }
          const BitThresholds t(count, bounds, descending);
          std::vector<std::uint8_t> levels = output<std::uint8_t>(y_size(s));
          for (std::size_t i = 0; i < exact.size(); ++i) {
            int level = 0;
            for (std::size_t k = 0; k < static_cast<std::size_t>(count); ++k) {
              const std::int32_t bound = bounds[i % channels * static_cast<std::size_t>(count) + k];
              level += descending[i % channels] ? exact[i] <= bound : exact[i] >= bound;
            }
            levels[i] = static_cast<std::uint8_t>(level);
          }
          const std::int64_t pixels = s.batch * s.out_height() * s.out_width();
          const auto untouched = output<std::uint64_t>(packed_words(t.bits(), pixels, s.out_channels));
          auto wanted = untouched;
          pack_planes(t.bits(), pixels, s.out_channels, levels.data(), wanted.data());
          with_each_code_table([&] {
            const ByteWeights w(s, c.weight.data());
            std::vector<std::int32_t> sums = output<std::int32_t>(y_size(s));
            conv2d_sums_of_codes(s, c.x.data(), w, sums.data());
            CHECK(sums == expected);
            CHECK(same_on_threads(levels, [&] {
              std::vector<std::uint8_t> all = output<std::uint8_t>(y_size(s));
              conv2d_levels_of_codes(s, c.x.data(), w, t, all.data());
              return all;
            }));
            auto planes = untouched;
            conv2d_planes_of_codes(s, c.x.data(), w, t, planes.data());
            CHECK(planes == wanted);
          });
        }
      });
  }

  TEST_CASE("sums that 32 bits do not hold, and thresholds of other channels, are errors where integers are wanted") {
    const std::int64_t most = kernels::kMaxCodeDepth;
    const ConvShape deep = square(1, 1, most + 1, 1, 1, 1, 0);
    const std::vector<std::uint8_t> x(static_cast<std::size_t>(most + 1));
    const std::vector<std::int8_t> w(x.size());
    std::int32_t sum = 0;
    std::uint8_t level = 0;
    const ByteWeights packed(deep, w.data());
    CHECK_THROWS_AS(conv2d_sums_of_codes(deep, x.data(), packed, &sum), Error);
    conv2d_sums_of_codes(deep, w.data(), packed, &sum);  // signed codes have more room
    const std::vector<std::int32_t> bounds(2);
    const std::vector<std::uint8_t> ascending(2);
    const BitThresholds one(1, {bounds.data(), 1}, {ascending.data(), 1}), two(1, bounds, ascending);
    CHECK_THROWS_AS(conv2d_levels_of_codes(deep, x.data(), packed, one, &level), Error);
    conv2d_levels_of_codes(deep, w.data(), packed, one, &level);
    CHECK_THROWS_AS(conv2d_levels_of_codes(deep, w.data(), packed, two, &level), Error);
  }

  TEST_CASE("packed weights of another shape, and codes that bytes do not hold, are errors") {
    const ConvShape s = square(1, 4, 4, 6, 3, 1, 1);
    const Case<std::uint8_t> c(s, false);
    const ByteWeights w(s, c.weight.data());
    std::vector<float> y(1000);
    const auto call = [&](const ConvShape& other) {
      conv2d_forward_codes(other, c.x.data(), w, c.scale, nullptr, y.data());
    };
    call(s);
    for (const auto change : {+[](ConvShape& o) { o.in_channels = 2; }, +[](ConvShape& o) { o.out_channels = 4; },
                              +[](ConvShape& o) { o.kernel_h = 2; }, +[](ConvShape& o) { o.kernel_w = 1; },
                              +[](ConvShape& o) { o.groups = 2; }, +[](ConvShape& o) { o.dilation_w = 2; }}) {
      ConvShape other = s;
      change(other);
      CHECK_THROWS_AS(call(other), Error);
    }
    const std::vector<std::uint64_t> planes(static_cast<std::size_t>(packed_words(8, 54, 4)));
    CHECK_THROWS_AS(ByteWeights(s, BitCode::unsigned_bits(8), planes.data()), Error);
    CHECK_THROWS_AS(ByteWeights(s, BitCode{2, 4, 1, -7}, planes.data()), Error);
  }

  TEST_CASE("a number of scales that fits neither one nor all channels is an error, as are impossible shapes") {
    const std::vector<float> scale(5, 1.f);
    float y[3];
    const auto call = [&](const ConvShape& s, std::size_t scales) {
      const Case<std::uint8_t> c(s, false);
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
    Case<std::int8_t> c(s, true);
    const std::vector<float> y = c.forward(true);
    c.weight.back() = c.weight.back() == 0 ? 1 : 0;
    CHECK_FALSE(same_bits(y, c.expected(true)));
  }

  TEST_CASE("packed codes and tiles of every size equal the reference, scaled and as sums") {
    const auto check = [](const Kernels& table, const Kernels& scalar) {
      for_both_kinds([&]<class In>(In) { check_tiles(table.matmul_codes.of<In>(), scalar.matmul_codes.of<In>()); });
    };
    for_each_vector_table(check);
    for_each_vector_table([](const Kernels& table, const Kernels& scalar) {  // two runs of up to 37 steps: small enough
      if (table.matmul_codes.small)
        check_tiles(*table.matmul_codes.small, scalar.matmul_codes.by_unsigned, {0, 15}, {-8, 7});
    });
    check(plain_tiles_kernels(), *all_kernels().front());
  }

  TEST_CASE("small codes are exact up to the ends of 16 bits, and codes one larger are no small ones") {
    // Two products of each step go into a sum of 16 bits: 2 * 15 * 8 * 136 = 32640, 2 * 15 * 7 * 156 = 32760.
    with_each_table([] {
      for (const int steps : {136, 137, 156})
        for (const int weight : {-8, 7, 8}) {
          INFO(steps, " steps, weight ", weight);
          const std::int64_t depth = steps * kernels::kCodesPerStep;
          const std::vector<std::uint8_t> x(static_cast<std::size_t>(depth), 15);
          const std::vector<std::int8_t> w(static_cast<std::size_t>(depth), static_cast<std::int8_t>(weight));
          const ConvShape s = square(1, 1, depth, 1, 1, 1, 0);
          const float one = 1;
          float y = 0;
          conv2d_forward_codes(s, x.data(), ByteWeights(s, w.data(), 15), {&one, 1}, nullptr, &y);
          CHECK(y == static_cast<float>(15 * weight * depth));
        }
    });
  }

  TEST_CASE("convolutions of codes packed for small activations equal the definition bit for bit") {
    const OneThread one;
    for_each_ordinary_shape([](const ConvShape& s) {
      for (const int highest : {1, 15, 100, 255}) {
        INFO(name(s), ", codes up to ", highest);
        const Case<std::uint8_t> c(s, true, highest, -2, 1);
        const std::vector<float> expected = c.expected(false);
        with_each_table([&] {
          std::vector<float> y = output<float>(y_size(s));
          conv2d_forward_codes(s, c.x.data(), ByteWeights(s, c.weight.data(), highest), c.scale, nullptr, y.data());
          CHECK(same_bits(y, expected));
        });
      }
    });
  }
}
