#include "core/compute/precision.h"

#include <cmath>
#include <limits>

#include "core/compute/conv.h"
#include "core/compute/norm.h"
#include "tests/support/bfloat16.h"
#include "tests/support/conv_case.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

const ConvShape kShapes[] = {
    {3, 9, 7, 5, 6, 3, 3, 1, 1, 1, 1},           // odd everything
    {130, 6, 6, 16, 32, 3, 3, 2, 2, 1, 1},       // stride 2, many images
    {2, 8, 8, 16, 16, 1, 1, 2, 2, 0, 0},         // pixels that no tap meets
    {4, 16, 16, 64, 64, 3, 3, 1, 1, 1, 1},       // Winograd
    {2, 8, 8, 8, 12, 3, 3, 1, 1, 1, 1, 2, 2},    // dilation
    {2, 8, 8, 8, 12, 3, 3, 1, 1, 1, 1, 1, 1, 4}  // groups
};

}  // namespace

TEST_CASE("bfloat16: rounding goes to the nearest, the even one of two, and keeps what is not finite") {
  const auto to = [](float x) { return to_float(to_bfloat16(x)); };
  CHECK(to(1) == 1);
  CHECK(to(1 + 0x1p-8f) == 1);                       // between 1 and 1 + 2^-7: even
  CHECK(to(1 + 3 * 0x1p-8f) == 1 + 0x1p-6f);         // likewise, upwards
  CHECK(to(1 + 0x1p-8f + 0x1p-20f) == 1 + 0x1p-7f);  // just above the middle
  CHECK(to(-3.14159265f) == -3.140625f);
  CHECK(to(std::numeric_limits<float>::max()) == std::numeric_limits<float>::infinity());
  CHECK(to(-std::numeric_limits<float>::infinity()) == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(to(std::numeric_limits<float>::quiet_NaN())));
  CHECK(std::isnan(to(std::bit_cast<float>(0x7F800001u))));  // whose upper half alone would be infinite
  CHECK(std::signbit(to(-0.f)));
  for (const float x : gaussian(1000, 1))
    CHECK(std::abs(to(x) - x) <= kBfloat16Error * std::abs(static_cast<double>(x)));
}

TEST_CASE("bfloat16 kernels: every table gives the bits of to_bfloat16() and to_float()") {
  with_each_table([] {
    const Kernels& table = active_kernels();
    for (const std::int64_t n : {0, 1, 7, 8, 15, 16, 17, 1000}) {
      auto x = awkward(n, 3);
      if (n > 8) x[7] = std::bit_cast<float>(0x7F800001u), x[8] = std::numeric_limits<float>::max();
      Halves y(x.size());
      std::vector<float> wide(x.size()), values(x.size());
      table.precision.round(n, x.data(), y.data());
      table.precision.widen(n, y.data(), wide.data());
      table.precision.round_values(n, x.data(), values.data());
      CHECK(y == rounded(x));
      CHECK(same_bits(wide, testing::widened(y)));
      CHECK(same_bits(values, wide));
    }
  });
}

TEST_CASE("norm kernels of bfloat16 give what those of float give for the same numbers") {
  with_each_table([] {
    const Kernels& table = active_kernels();
    for (const std::int64_t rows : {1, 65, 130})
      for (const std::int64_t cols : {8, 16, 40, 64}) {
        INFO(rows, " x ", cols);
        const std::int64_t n = rows * cols;
        const Halves x = rounded(gaussian(n, 4, 1)), dy = rounded(gaussian(n, 5));
        const auto wide_x = testing::widened(x), wide_dy = testing::widened(dy), add = gaussian(n, 6);
        const auto mean = gaussian(cols, 7), a = gaussian(cols, 8), b = gaussian(cols, 9), c = gaussian(cols, 10);
        const auto& f = table.real.norm;
        const auto& h = table.norm_of_bfloat16;
        std::vector<double> sums(4 * static_cast<std::size_t>(cols));
        double *const mean_f = sums.data(), *const m2_f = mean_f + cols, *const mean_h = m2_f + cols,
                      *const m2_h = mean_h + cols;
        f.moments(rows, cols, wide_x.data(), mean_f, m2_f);
        h.moments(rows, cols, x.data(), mean_h, m2_h);
        CHECK(std::equal(mean_f, mean_h, mean_h));
        std::vector<float> y_f(wide_x.size()), y_h(wide_x.size());
        std::vector<std::uint8_t> mask_f(x.size() / 8), mask_h(x.size() / 8), codes_f(x.size()), codes_h(x.size());
        f.normalize(rows, cols, wide_x.data(), mean.data(), a.data(), b.data(), y_f.data());
        h.normalize(rows, cols, x.data(), mean.data(), a.data(), b.data(), y_h.data());
        CHECK(same_bits(y_f, y_h));
        f.normalize_relu(rows, cols, wide_x.data(), mean.data(), a.data(), b.data(), add.data(), y_f.data(),
                         mask_f.data());
        h.normalize_relu(rows, cols, x.data(), mean.data(), a.data(), b.data(), add.data(), y_h.data(), mask_h.data());
        CHECK(same_bits(y_f, y_h));
        CHECK(mask_f == mask_h);
        f.normalize_quantize(rows, cols, wide_x.data(), mean.data(), a.data(), b.data(), nullptr, {1, 15}, {0, 15},
                             codes_f.data(), mask_f.data());
        h.normalize_quantize(rows, cols, x.data(), mean.data(), a.data(), b.data(), nullptr, {1, 15}, {0, 15},
                             codes_h.data(), mask_h.data());
        CHECK(codes_f == codes_h);
        CHECK(mask_f == mask_h);
        for (const std::uint8_t* mask : std::initializer_list<const std::uint8_t*>{nullptr, mask_f.data()}) {
          std::vector<float> gated_f(x.size()), dx_f(x.size());
          Halves gated_h(x.size()), dx_h(x.size());
          f.backward_sums(rows, cols, wide_x.data(), wide_dy.data(), mask, mean.data(), mean_f, m2_f, gated_f.data());
          h.backward_sums(rows, cols, x.data(), dy.data(), mask, mean.data(), mean_h, m2_h, gated_h.data());
          CHECK(std::equal(mean_f, mean_h, mean_h));
          CHECK(same_bits(gated_f, testing::widened(gated_h)));
          f.backward(rows, cols, wide_x.data(), wide_dy.data(), mask, mean.data(), a.data(), b.data(), c.data(),
                     dx_f.data());
          h.backward(rows, cols, x.data(), dy.data(), mask, mean.data(), a.data(), b.data(), c.data(), dx_h.data());
          CHECK(rounded(dx_f) == dx_h);
        }
      }
  });
}

TEST_CASE("convolutions read and write bfloat16 as if the floats were there: forward, backward data, backward weight") {
  with_each_table([] {
    for (const ConvShape& s : kShapes) {
      INFO(name(s));
      Case<float> floats(s, Fill::kReals);
      const Elements<float> unrounded(floats.x.data());
      const Halves dy = rounded(floats.dy);
      Halves y(floats.dy.size()), dx(floats.x.size());
      std::vector<float> dw(floats.weight.size());
      conv2d_forward<float>(s, rounded_elements(unrounded), floats.weight.data(), floats.bias.data(),
                            rounded_into(y.data()));
      conv2d_backward_data<float>(s, coarsegrad::widened(dy.data()), floats.weight.data(), rounded_into(dx.data()));
      conv2d_backward_weight<float>(s, rounded_elements(unrounded), coarsegrad::widened(dy.data()), dw.data());
      floats.x = rounded_floats(floats.x);
      floats.dy = testing::widened(dy);
      CHECK(y == rounded(floats.forward(true)));
      CHECK(dx == rounded(floats.backward_data()));
      CHECK(same_bits(dw, floats.backward_weight()));
    }
  });
}
