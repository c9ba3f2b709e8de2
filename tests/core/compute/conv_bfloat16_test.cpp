// Products of bfloat16: the kernels against the reference, and the convolutions that are made of them against the
// definition, on every table and over tiles in plain C++.
#include "core/compute/conv_bfloat16.h"

#include "core/kernels/tiles/plain.h"
#include "tests/support/bfloat16.h"
#include "tests/support/conv_case.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::kBfloat16PerStep;

namespace {

// A convolution whose factors are bfloat16.
struct HalfCase : Case<float> {
  Halves half_x, half_dy;

  HalfCase(const ConvShape& shape, Fill fill) : Case<float>(shape, fill) {
    for (std::vector<float>* values : {&x, &weight, &dy}) *values = rounded_floats(*values);
    half_x = rounded(x);
    half_dy = rounded(dy);
  }
  std::vector<float> forward(const Bfloat16Factor& from, bool with_bias) const {
    std::vector<float> y(dy.size(), 77);
    conv2d_forward_bfloat16(s, from, weight.data(), with_bias ? bias.data() : nullptr, y.data());
    return y;
  }
  std::vector<float> backward_data(const Bfloat16Factor& from) const {
    std::vector<float> dx(x.size(), 77);
    conv2d_backward_data_bfloat16(s, from, weight.data(), dx.data());
    return dx;
  }
  std::vector<float> backward_weight(const Bfloat16Factor& from, const Bfloat16Factor& gradient) const {
    std::vector<float> dweight(weight.size(), 77);
    conv2d_backward_weight_bfloat16(s, from, gradient, dweight.data());
    return dweight;
  }
};

// Integers exactly, reals within the bound; the same bits for numbers that are kept as for those that are rounded.
void check_convolution(const ConvShape& s) {
  for (const Fill fill : {Fill::kIntegers, Fill::kReals}) {
    INFO(name(s));
    const HalfCase c(s, fill);
    const Bfloat16Factor kept_x(c.half_x.data()), kept_dy(c.half_dy.data()), x(Elements<float>(c.x.data())),
        dy(Elements<float>(c.dy.data()));
    const auto y = c.forward(kept_x, true), dx = c.backward_data(kept_dy), dweight = c.backward_weight(kept_x, kept_dy);
    CHECK(worst_error(y, c.reference_forward(true)) <= allowed_error(fill));
    CHECK(worst_error(dx, c.reference_backward_data()) <= allowed_error(fill));
    CHECK(worst_error(dweight, c.reference_backward_weight()) <= allowed_error(fill));
    CHECK(same_bits(y, c.forward(x, true)));
    CHECK(same_bits(dx, c.backward_data(dy)));
    CHECK(same_bits(dweight, c.backward_weight(x, dy)));
  }
}

// Tables that have kernels for bfloat16, and the one over tiles in plain C++.
template <class Check>
void for_each_bfloat16_table(Check check) {
  for (const Kernels* table : all_kernels())
    if (table->matmul_bfloat16.lanes > 0) {
      INFO("table ", std::string(table->name));
      check(table->matmul_bfloat16);
    }
  INFO("table plain_tiles");
  check(plain_tiles_kernels().matmul_bfloat16);
}

// C of one tile, which lies in a larger matrix.
std::vector<float> product(const kernels::MatmulBfloat16& kernel, int rows, int columns, int width, bool accumulate,
                           bool with_bias, unsigned seed) {
  constexpr std::int64_t kSteps[] = {2, 3, 21};
  const std::int64_t a_row = 2 * 3 * 50, c_row = columns + 3;
  const auto values = [&](std::int64_t n, unsigned number) {
    return rounded(rounded_floats(filled<float>(n, Fill::kIntegers, seed + number)));
  };
  const Halves a = values(rows * a_row, 1), b = values(2 * 3 * 21 * kBfloat16PerStep * width, 2);
  const auto bias = filled<float>(columns, Fill::kIntegers, seed + 3);
  std::vector<float> c = filled<float>(rows * c_row, Fill::kIntegers, seed + 4);
  const std::int64_t step = kBfloat16PerStep * width;
  kernel.tile({.a = a.data(),
               .a_row = a_row,
               .b = b.data(),
               .steps = {kSteps[0], kSteps[1], kSteps[2]},
               .a_step = {3 * 50, 50, kBfloat16PerStep},
               .b_step = {3 * 21 * step, 21 * step, step},
               .c = c.data(),
               .c_row = c_row,
               .rows = rows,
               .columns = columns,
               .bias = with_bias ? bias.data() : nullptr,
               .accumulate = accumulate});
  kernels::PlainTiles::release();
  return c;
}

}  // namespace

TEST_SUITE("bfloat16") {
  TEST_CASE("bfloat16 kernels: tiles of every size, of integers, are those of the reference") {
    const kernels::MatmulBfloat16& scalar = all_kernels()[0]->matmul_bfloat16;
    for_each_bfloat16_table([&](const kernels::MatmulBfloat16& kernel) {
      unsigned seed = 1;
      for (int vectors = 1; vectors <= kernels::MatmulBfloat16::kMaxVectors; ++vectors)
        for (int rows = 1; rows <= kernel.max_rows[vectors]; ++rows, ++seed) {
          const int width = vectors * kernel.lanes, columns = width - static_cast<int>(seed % 3) * 5;
          const bool accumulate = seed % 4 == 0, with_bias = seed % 2 == 0;
          INFO(rows, " rows, ", columns, " columns");
          CHECK(same_bits(product(kernel, rows, columns, width, accumulate, with_bias, seed),
                          product(scalar, rows, columns, width, accumulate, with_bias, seed)));
        }
    });
  }

  TEST_CASE("bfloat16 kernels: denormal numbers count as 0") {
    const Bfloat16 tiny[2] = {{0x0001}, {0x807F}}, large = to_bfloat16(0x1p100f);
    for_each_bfloat16_table([&](const kernels::MatmulBfloat16& kernel) {
      const Halves b(static_cast<std::size_t>(2 * kernel.lanes), large);
      float c = 3;
      kernel.tile({.a = tiny,
                   .a_row = 2,
                   .b = b.data(),
                   .steps = {1, 1, 1},
                   .a_step = {0, 0, 2},
                   .b_step = {0, 0, 2 * kernel.lanes},
                   .c = &c,
                   .c_row = 1,
                   .rows = 1,
                   .columns = 1,
                   .accumulate = true});
      kernels::PlainTiles::release();
      CHECK(c == 3);
    });
  }

  TEST_CASE("convolutions of bfloat16: integers exactly, reals within the bound, on every table") {
    const OneThread one;
    with_each_code_table([] {
      for (const ConvShape& s : kCorners) check_convolution(s);
      for_each_unusual_shape([turn = 0](const ConvShape& s) mutable {
        if (turn++ % 5 == 0) check_convolution(s);
      });
      check_convolution({67, 5, 6, 7, 9, 3, 3, 1, 1, 1, 1});    // more images than a step of tiles, odd everything
      check_convolution({70, 7, 7, 18, 36, 3, 3, 2, 2, 1, 1});  // with a stride
    });
  }

  TEST_CASE("convolutions of bfloat16: all shapes, on every table" * doctest::test_suite("bfloat16 long")) {
    const OneThread one;
    with_each_code_table([] {
      for_each_ordinary_shape(check_convolution);
      for_each_unusual_shape(check_convolution);
    });
  }

  TEST_CASE("convolutions of bfloat16: the same bits with 1 and 2 threads") {
    with_each_code_table([] {
      for (const ConvShape& s : {square(40, 8, 16, 40, 3, 1, 1), square(3, 16, 64, 64, 3, 2, 1)}) {
        INFO(name(s));
        const HalfCase c(s, Fill::kReals);
        const Bfloat16Factor x(c.half_x.data()), dy(c.half_dy.data());
        CHECK(same_with_two_threads([&] { return c.forward(x, true); }));
        CHECK(same_with_two_threads([&] { return c.backward_data(dy); }));
        CHECK(same_with_two_threads([&] { return c.backward_weight(x, dy); }));
      }
    });
  }
}
