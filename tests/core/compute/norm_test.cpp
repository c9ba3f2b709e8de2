#include "core/compute/norm.h"

#include <limits>

#include "core/base/check.h"
#include "core/compute/elementwise.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::Quantizer;
using kernels::Rounding;

namespace {

const std::int64_t kRows[] = {1, 2, 3, 63, 64, 65, 200, 777};
const std::int64_t kCols[] = {1, 3, 10, 16, 17, 32, 33, 64, 65, 130};

template <class F>
void for_each_size(F f) {
  for (const std::int64_t rows : kRows)
    for (const std::int64_t cols : kCols) {
      INFO(rows, " x ", cols);
      f(rows, cols);
    }
}

struct Moments {
  std::vector<double> mean, m2;
};
Moments moments_of(const Kernels& table, std::int64_t rows, std::int64_t cols, const std::vector<float>& x) {
  Moments m{output<double>(cols), output<double>(cols)};
  table.real.norm.moments(rows, cols, x.data(), m.mean.data(), m.m2.data());
  return m;
}

// The stated bounds of Norm::moments.
bool moments_agree(std::int64_t rows, std::int64_t cols, const Moments& a, const Moments& reference) {
  const double blocks = static_cast<double>(rows) / kernels::kSumRows + 1;
  for (std::size_t c = 0; c < static_cast<std::size_t>(cols); ++c) {
    const double spread = std::sqrt(blocks * reference.m2[c] / static_cast<double>(rows));
    if (!(std::abs(a.mean[c] - reference.mean[c]) <= kernels::kSumError * spread + 1e-15 * std::abs(a.mean[c])))
      return false;
    if (!(std::abs(a.m2[c] - reference.m2[c]) <= 2 * kernels::kSumError * blocks * reference.m2[c])) return false;
  }
  return std::equal(a.mean.begin() + cols, a.mean.end(), reference.mean.begin() + cols) &&
         std::equal(a.m2.begin() + cols, a.m2.end(), reference.m2.begin() + cols);
}

}  // namespace

TEST_CASE("moments kernel: every table agrees with the reference within the stated bound, offset or not") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const float offset : {0.f, 1000.f, -3e4f})
      for_each_size([&](std::int64_t rows, std::int64_t cols) {
        const auto x = gaussian(rows * cols, 1, offset);
        CHECK(moments_agree(rows, cols, moments_of(table, rows, cols, x), moments_of(scalar, rows, cols, x)));
      });
  });
}

TEST_CASE("moments kernel: first rows far from all others do not spoil the sum of squares") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    const std::int64_t rows = 512, cols = 33;
    auto x = gaussian(rows * cols, 2, 5000);
    std::fill_n(x.begin(), 64 * cols, 0.f);
    CHECK(moments_agree(rows, cols, moments_of(table, rows, cols, x), moments_of(scalar, rows, cols, x)));
  });
}

TEST_CASE("moments kernel: squares beyond the range of floats, at either end, stay within the stated bound") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const float size : {1e-30f, 1e-19f, 1e19f, 1e30f, 1e38f})
      for_each_size([&](std::int64_t rows, std::int64_t cols) {
        INFO("size ", size);
        auto x = gaussian(rows * cols, 40, 2);
        for (std::size_t i = static_cast<std::size_t>(cols / 2); i < x.size(); i += static_cast<std::size_t>(cols))
          x[i] = size * std::clamp(x[i] - 2, -3.f, 3.f);
        CHECK(moments_agree(rows, cols, moments_of(table, rows, cols, x), moments_of(scalar, rows, cols, x)));
      });
  });
}

TEST_CASE("moments comparison: one value that is off by a thousandth of the deviation is noticed") {
  const std::int64_t rows = 65, cols = 17;
  auto x = gaussian(rows * cols, 3);
  const auto right = moments_of(*all_kernels()[0], rows, cols, x);
  x[20] += 0.1f;
  CHECK(!moments_agree(rows, cols, moments_of(*all_kernels()[0], rows, cols, x), right));
}

TEST_CASE("normalize and backward kernels: every table gives the bits of the reference") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for_each_size([&](std::int64_t rows, std::int64_t cols) {
      const auto x = awkward(rows * cols, 4), dy = gaussian(rows * cols, 5);
      const auto mean = gaussian(cols, 6), a = gaussian(cols, 7), b = gaussian(cols, 8), c = gaussian(cols, 9);
      const auto normalized = [&](const Kernels& k) {
        auto y = output<float>(rows * cols);
        k.real.norm.normalize(rows, cols, x.data(), mean.data(), a.data(), b.data(), y.data());
        return y;
      };
      const auto gradient = [&](const Kernels& k) {
        auto dx = output<float>(rows * cols);
        k.real.norm.backward(rows, cols, x.data(), dy.data(), nullptr, mean.data(), a.data(), b.data(), c.data(),
                             dx.data());
        return dx;
      };
      CHECK(same_bits(normalized(table), normalized(scalar)));
      CHECK(same_bits(gradient(table), gradient(scalar)));
    });
  });
}

TEST_CASE("backward_sums and column_sums kernels: every table stays within the stated bound") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for_each_size([&](std::int64_t rows, std::int64_t cols) {
      const auto x = gaussian(rows * cols, 10, 2), dy = gaussian(rows * cols, 11), mean = gaussian(cols, 12, 2);
      const auto sums = [&](const Kernels& k, const std::vector<float>& g) {
        std::vector<std::vector<double>> s(3, output<double>(cols));
        k.real.norm.backward_sums(rows, cols, x.data(), g.data(), nullptr, mean.data(), s[0].data(), s[1].data(),
                                  nullptr);
        k.real.elementwise.column_sums(rows, cols, g.data(), s[2].data());
        return s;
      };
      const auto got = sums(table, dy), want = sums(scalar, dy);
      for (std::size_t c = 0; c < static_cast<std::size_t>(cols); ++c) {
        double size = 0, product_size = 0;
        for (std::size_t i = c; i < x.size(); i += static_cast<std::size_t>(cols)) {
          size += std::abs(dy[i]);
          product_size += std::abs(double(dy[i]) * (double(x[i]) - mean[c]));
        }
        CHECK(std::abs(got[0][c] - want[0][c]) <= kernels::kSumError * size);
        CHECK(std::abs(got[1][c] - want[1][c]) <= kernels::kSumError * product_size + 1e-6 * size);
        CHECK(std::abs(got[2][c] - want[2][c]) <= kernels::kSumError * size);
        auto planted = dy;
        planted[c] += 0.01f;
        const double shift = std::abs(sums(table, planted)[2][c] - want[2][c]);
        if (rows < 100) CHECK(shift > kernels::kSumError * size);
      }
      for (int k = 0; k < 3; ++k)
        CHECK(std::all_of(got[k].begin() + cols, got[k].end(), [](double v) { return v == 77; }));
    });
  });
}

TEST_CASE("backward_sums and column_sums kernels: what overflows a float on the way stays within the bound") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for_each_size([&](std::int64_t rows, std::int64_t cols) {
      const std::int64_t wide = (cols + 7) / 8 * 8;  // the mask is one of whole bytes in each row
      auto x = gaussian(rows * wide, 41, 0, 1e30f), dy = gaussian(rows * wide, 42);
      for (std::size_t i = 0; i < dy.size(); i += 3) dy[i] = i % 2 ? 3e38f : -3e38f;
      const std::vector<float> mean(static_cast<std::size_t>(wide), -1e30f);
      const std::vector<std::uint8_t> mask(dy.size() / 8, 0xB7);
      const auto sums = [&](const Kernels& k, const std::uint8_t* gate) {
        std::vector<std::vector<double>> s(3, output<double>(wide));
        k.real.norm.backward_sums(rows, wide, x.data(), dy.data(), gate, mean.data(), s[0].data(), s[1].data(),
                                  nullptr);
        k.real.elementwise.column_sums(rows, wide, dy.data(), s[2].data());
        return s;
      };
      for (const std::uint8_t* gate : {static_cast<const std::uint8_t*>(nullptr), mask.data()}) {
        const auto got = sums(table, gate), want = sums(scalar, gate);
        for (std::size_t c = 0; c < static_cast<std::size_t>(wide); ++c) {
          double size = 0, product_size = 0;
          for (std::size_t i = c; i < x.size(); i += static_cast<std::size_t>(wide)) {
            size += std::abs(double(dy[i]));
            product_size += std::abs(double(dy[i])) * (std::abs(double(x[i])) + 1e30);
          }
          CHECK(std::abs(got[0][c] - want[0][c]) <= kernels::kSumError * size);
          CHECK(std::abs(got[1][c] - want[1][c]) <= kernels::kSumError * product_size);
          CHECK(std::abs(got[2][c] - want[2][c]) <= kernels::kSumError * size);
        }
      }
    });
  });
}

namespace {

// Everything that training mode hands out, from the definitions in double.
struct Reference {
  std::vector<double> y, mean, var, dx, dscale, dshift;

  Reference(std::int64_t rows, std::int64_t channels, const std::vector<float>& x, const std::vector<float>& dy,
            const std::vector<float>& scale, const std::vector<float>& shift, double eps)
      : y(x.size()), mean(scale.size()), var(scale.size()), dx(x.size()), dscale(scale.size()), dshift(scale.size()) {
    for (std::size_t c = 0; c < scale.size(); ++c) {
      const double n = static_cast<double>(rows);
      const auto each = [&](auto f) {
        for (std::size_t i = c; i < x.size(); i += static_cast<std::size_t>(channels)) f(i);
      };
      each([&](std::size_t i) { mean[c] += x[i] / n; });
      each([&](std::size_t i) { var[c] += (x[i] - mean[c]) * (x[i] - mean[c]) / n; });
      const double r = 1 / std::sqrt(var[c] + eps);
      each([&](std::size_t i) {
        const double hat = (x[i] - mean[c]) * r;
        y[i] = hat * scale[c] + shift[c];
        dscale[c] += dy[i] * hat;
        dshift[c] += dy[i];
      });
      each([&](std::size_t i) {
        const double hat = (x[i] - mean[c]) * r;
        dx[i] = scale[c] * r * (dy[i] - dshift[c] / n - hat * dscale[c] / n);
      });
    }
  }
};

template <class T>
double largest_error(const std::vector<T>& got, const std::vector<double>& want) {
  double error = 0;
  for (std::size_t i = 0; i < want.size(); ++i)
    error = std::max(error, std::isnan(got[i]) ? 1e9 : std::abs(got[i] - want[i]) / (1 + std::abs(want[i])));
  return error;
}

struct Result {
  std::vector<float> y, mean, inv_std, dx, dscale, dshift;
  std::vector<double> var;
};
Result batch_norm(std::int64_t rows, std::int64_t channels, const std::vector<float>& x, const std::vector<float>& dy,
                  const std::vector<float>& scale, const std::vector<float>& shift, float eps) {
  const std::vector<float> elements(x.size()), per_channel(scale.size());
  Result r{elements, per_channel, per_channel, elements, per_channel, per_channel, {}};
  r.var.resize(scale.size());
  batch_norm_statistics(rows, channels, x.data(), eps, r.mean.data(), r.var.data(), r.inv_std.data());
  const NormColumns<float> columns{r.mean.data(), r.inv_std.data(), scale.data(), shift.data()};
  batch_norm_apply(rows, channels, x.data(), columns, r.y.data());
  batch_norm_backward(rows, channels, x.data(), dy.data(), nullptr, columns, BatchStatistics::of_batch,
                      {r.dx.data(), r.dscale.data(), r.dshift.data(), nullptr});
  return r;
}

}  // namespace

TEST_CASE("batch norm: forward and backward equal the definitions, for every table") {
  with_each_table([] {
    for (const std::int64_t rows : {2, 3, 129, 2049})
      for (const std::int64_t channels : kCols) {
        INFO(rows, " x ", channels);
        const auto x = gaussian(rows * channels, 13, 3, 2), dy = gaussian(rows * channels, 14);
        const auto scale = gaussian(channels, 15, 1), shift = gaussian(channels, 16);
        const Reference want(rows, channels, x, dy, scale, shift, 1e-2);
        const Result got = batch_norm(rows, channels, x, dy, scale, shift, 1e-2f);
        CHECK(largest_error(got.y, want.y) < 4e-6);
        CHECK(largest_error(got.mean, want.mean) < 1e-6);
        CHECK(largest_error(got.var, want.var) < 1e-5);
        CHECK(largest_error(got.dx, want.dx) < 2e-5);
        CHECK(largest_error(got.dscale, want.dscale) < 2e-5);
        CHECK(largest_error(got.dshift, want.dshift) < 2e-5);
      }
  });
}

TEST_CASE("batch norm: deviations whose squares overflow a float are normalised as others are, for every table") {
  with_each_table([] {
    for (const float size : {1e19f, 1e25f, 1e30f}) {
      INFO("size ", size);
      const std::int64_t rows = 129, channels = 10;
      const auto x = gaussian(rows * channels, 51, 0, size), dy = gaussian(rows * channels, 52);
      const auto scale = gaussian(channels, 53, 1), shift = gaussian(channels, 54);
      Reference want(rows, channels, x, dy, scale, shift, 1e-5);
      Result got = batch_norm(rows, channels, x, dy, scale, shift, 1e-5f);
      for (float& v : got.dx) v *= size;
      for (double& v : want.dx) v *= static_cast<double>(size);
      CHECK(largest_error(got.y, want.y) < 4e-6);
      CHECK(largest_error(got.dx, want.dx) < 2e-5);
      CHECK(largest_error(got.dscale, want.dscale) < 2e-5);
      for (std::size_t c = 0; c < want.var.size(); ++c) CHECK(got.var[c] == doctest::Approx(want.var[c]));
    }
    // Beyond deviations of 8.5e37 the factor is no normal float.
    const Result none = batch_norm(2, 1, {-3e38f, 3e38f}, {1, 1}, {1}, {0}, 1e-5f);
    CHECK(std::isnan(none.y[0]));
    CHECK(none.var[0] == doctest::Approx(9e76));
  });
}

TEST_CASE("batch norm: a constant channel and a single row give the shift, not NaN") {
  const std::vector<float> x(5, 3.f), dy(5, 1.f);
  const Result constant = batch_norm(5, 1, x, dy, {2}, {0.5}, 1e-5f);
  CHECK(constant.y == std::vector<float>(5, 0.5f));
  CHECK(constant.var[0] == 0);
  CHECK(largest_error(constant.dx, std::vector<double>(5, 0)) < 1e-6);
  CHECK(batch_norm(1, 5, x, dy, dy, dy, 1e-5f).y == std::vector<float>(5, 1.f));
}

TEST_CASE("batch norm: evaluation mode uses the statistics given and lets no gradient through them") {
  const std::int64_t rows = 37, channels = 10;
  const auto x = gaussian(rows * channels, 17), dy = gaussian(rows * channels, 18);
  const auto mean = gaussian(channels, 19), inv_std = gaussian(channels, 20, 3, 0.1f);
  std::vector<float> y(x.size()), dx(x.size());
  const NormColumns<float> columns{mean.data(), inv_std.data(), nullptr, nullptr};
  batch_norm_apply(rows, channels, x.data(), columns, y.data());
  batch_norm_backward(rows, channels, x.data(), dy.data(), nullptr, columns, BatchStatistics::constant,
                      {dx.data(), nullptr, nullptr, nullptr});
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % static_cast<std::size_t>(channels);
    CHECK(y[i] == (x[i] - mean[c]) * inv_std[c]);
    CHECK(dx[i] == dy[i] * inv_std[c]);
  }
}

TEST_CASE("batch norm: bitwise the same with 1 and with 2 threads, for every table") {
  with_each_table([] {
    const std::int64_t rows = 20000, channels = 10;
    const auto x = gaussian(rows * channels, 21, 1), dy = gaussian(rows * channels, 22);
    const auto scale = gaussian(channels, 23), shift = gaussian(channels, 24);
    CHECK(same_with_two_threads([&] {
      Result r = batch_norm(rows, channels, x, dy, scale, shift, 1e-5f);
      for (const auto* part : {&r.mean, &r.inv_std, &r.dx, &r.dscale, &r.dshift})
        r.y.insert(r.y.end(), part->begin(), part->end());
      return r.y;
    }));
  });
}

namespace {

struct Fused {
  std::vector<float> y, gated, dx;
  std::vector<double> sum_g, sum_gx;
  std::vector<std::uint8_t> relu_mask, codes, mask;
  bool any_nan = false;
};
// All that the kernels with an activation give, for one table.
Fused fused(const Kernels& k, std::int64_t rows, std::int64_t cols, const std::vector<float>& x, bool with_add,
            Rounding rounding = Rounding::up) {
  const auto dy = gaussian(rows * cols, 31), add = gaussian(rows * cols, 32), mean = gaussian(cols, 33),
             factor = gaussian(cols, 34), shift = gaussian(cols, 35), slope = gaussian(cols, 36);
  const auto bits = output<std::uint8_t>(rows * cols / 8);
  Fused f{output<float>(rows * cols),
          output<float>(rows * cols),
          output<float>(rows * cols),
          output<double>(cols),
          output<double>(cols),
          bits,
          output<std::uint8_t>(rows * cols),
          bits};
  const float* const plus = with_add ? add.data() : nullptr;
  const auto& norm = k.real.norm;
  norm.normalize_relu(rows, cols, x.data(), mean.data(), factor.data(), shift.data(), plus, f.y.data(),
                      f.relu_mask.data());
  f.any_nan = norm.normalize_quantize(rows, cols, x.data(), mean.data(), factor.data(), shift.data(), plus,
                                      {0.3f, 3, rounding}, {0, 3}, f.codes.data(), f.mask.data());
  norm.backward_sums(rows, cols, x.data(), dy.data(), f.mask.data(), mean.data(), f.sum_g.data(), f.sum_gx.data(),
                     f.gated.data());
  norm.backward(rows, cols, x.data(), dy.data(), f.mask.data(), mean.data(), factor.data(), slope.data(), shift.data(),
                f.dx.data());
  return f;
}

}  // namespace

TEST_CASE("norm kernels with an activation: every table gives the bits of the reference, sums within the bound") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t rows : {1, 3, 64, 67})
      for (const std::int64_t cols : {8, 16, 24, 64, 72, 136})
        for (const bool with_add : {false, true}) {
          INFO(rows, " x ", cols, " add ", with_add);
          const auto x = gaussian(rows * cols, 30);
          const Rounding rounding = rows == 3 ? Rounding::nearest : rows == 67 ? Rounding::sign : Rounding::up;
          const Fused got = fused(table, rows, cols, x, with_add, rounding),
                      want = fused(scalar, rows, cols, x, with_add, rounding);
          CHECK(same_bits(got.y, want.y));
          CHECK(same_bits(got.gated, want.gated));
          CHECK(same_bits(got.dx, want.dx));
          CHECK(got.relu_mask == want.relu_mask);
          CHECK(got.codes == want.codes);
          CHECK(got.mask == want.mask);
          CHECK(!got.any_nan);
          for (std::size_t c = 0; c < static_cast<std::size_t>(cols); ++c) {
            double size = 0, product_size = 0;
            for (std::size_t r = 0; r < static_cast<std::size_t>(rows); ++r) {
              const double g = want.gated[r * static_cast<std::size_t>(cols) + c];
              size += std::abs(g);
              product_size += std::abs(g * x[r * static_cast<std::size_t>(cols) + c]) + 4 * std::abs(g);
            }
            CHECK(std::abs(got.sum_g[c] - want.sum_g[c]) <= kernels::kSumError * size);
            CHECK(std::abs(got.sum_gx[c] - want.sum_gx[c]) <= kernels::kSumError * product_size);
          }
        }
    auto x = gaussian(5 * 24, 30);
    x[70] = std::numeric_limits<float>::quiet_NaN();
    CHECK(fused(table, 5, 24, x, false).any_nan);
    CHECK(fused(scalar, 5, 24, x, true).any_nan);
  });
}

TEST_CASE("batch norm with activation: the bits of the separate passes, odd channels are refused") {
  with_each_table([] {
    for (const std::int64_t rows : {2, 129, 2049})
      for (const std::int64_t channels : {8, 16, 40}) {
        const auto n = static_cast<std::size_t>(rows * channels);
        const auto x = gaussian(rows * channels, 41), add = gaussian(rows * channels, 42),
                   mean = gaussian(channels, 43), inv_std = gaussian(channels, 44, 2), scale = gaussian(channels, 45),
                   shift = gaussian(channels, 46);
        const NormColumns<float> columns{mean.data(), inv_std.data(), scale.data(), shift.data()};
        std::vector<float> t(n), want(n), got(n);
        std::vector<std::uint8_t> want_mask(n / 8), mask(n / 8), want_codes(n), codes(n);
        batch_norm_apply(rows, channels, x.data(), columns, t.data());
        for (std::size_t i = 0; i < n; ++i) t[i] += add[i];
        relu_forward(rows * channels, t.data(), want.data(), want_mask.data());
        batch_norm_relu(rows, channels, x.data(), columns, add.data(), got.data(), mask.data());
        CHECK(same_bits(got, want));
        CHECK(mask == want_mask);
        const Quantizer<float> quantizer{0.2f, 7};
        quantize_forward(rows * channels, t.data(), quantizer, {0, 7}, static_cast<float*>(nullptr), want_codes.data(),
                         want_mask.data());
        batch_norm_quantize(rows, channels, x.data(), columns, add.data(), quantizer, {0, 7}, codes.data(),
                            mask.data());
        CHECK(codes == want_codes);
        CHECK(mask == want_mask);
      }
  });
  float x[6] = {}, one[3] = {1, 1, 1};
  std::uint8_t mask = 0;
  CHECK_THROWS_AS(batch_norm_relu<float>(2, 3, x, {one, one, nullptr, nullptr}, nullptr, x, &mask), Error);
}

TEST_CASE("batch norm: no rows are an error") {
  float none = 0;
  double var = 0;
  CHECK_THROWS_AS(batch_norm_statistics(0, 1, &none, 1e-5f, &none, &var, &none), Error);
}
