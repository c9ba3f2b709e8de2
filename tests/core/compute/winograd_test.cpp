// The transforms of Winograd's algorithm, by themselves; convolutions made of them are in conv_test.cpp.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/kernels/kernels.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::Winograd, kernels::WinogradFilter, kernels::WinogradTile;

namespace {

struct Extents {
  void (*transform)(const Winograd& family, const WinogradTile& tile);
  int in, out;
};

template <auto kTransform>
void input(const Winograd& family, const WinogradTile& tile) {
  (family.*kTransform)(tile);
}
template <auto kFilter, auto kTransform>
void apply(const Winograd& family, const WinogradTile& tile) {
  (family.*kFilter.*kTransform)(tile);
}

// The transforms of k x k kernels.
struct Filter {
  WinogradFilter Winograd::*transforms;
  int taps, out;
  Extents weight, output_gradient, output, weight_gradient;
};
template <auto kFilter>
constexpr Filter filter(int taps) {
  const int out = 7 - taps;
  return {kFilter,
          taps,
          out,
          {apply<kFilter, &WinogradFilter::weight>, taps, 6},
          {apply<kFilter, &WinogradFilter::output_gradient>, out, 6},
          {apply<kFilter, &WinogradFilter::output>, 6, out},
          {apply<kFilter, &WinogradFilter::weight_gradient>, 6, taps}};
}
constexpr Extents kInput{input<&Winograd::input>, 6, 6};
constexpr Filter kFilters[] = {filter<&Winograd::kernel3>(3), filter<&Winograd::kernel5>(5)};

std::vector<Extents> all_transforms() {
  std::vector<Extents> all{kInput};
  for (const Filter& f : kFilters) all.insert(all.end(), {f.weight, f.output_gradient, f.output, f.weight_gradient});
  return all;
}

// A whole tile of dense rows.
WinogradTile dense(const Extents& e, const float* in, float* out, std::int64_t channels) {
  return {.in = in,
          .in_row = e.in * channels,
          .in_column = channels,
          .row_begin = 0,
          .row_end = e.in,
          .column_begin = 0,
          .column_end = e.in,
          .out = out,
          .out_row = e.out * channels,
          .out_column = channels,
          .rows = e.out,
          .columns = e.out,
          .channels = channels};
}

std::vector<float> transformed(const Winograd& family, const Extents& e, const std::vector<float>& in) {
  std::vector<float> out(static_cast<std::size_t>(e.out * e.out));
  e.transform(family, dense(e, in.data(), out.data(), 1));
  return out;
}

double dot(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

}  // namespace

TEST_CASE("Winograd transforms of every table equal the reference up to rounding, and write nothing else") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const Extents& e : all_transforms())
      for (std::int64_t channels : {1, 15, 16, 17, 40})
        for (int cut = 0; cut < 3; ++cut) {
          INFO("from ", e.in, " to ", e.out, " channels ", channels, " cut ", cut);
          const std::vector<float> in = gaussian(e.in * e.in * channels, 1), bias = gaussian(channels, 2);
          std::vector<float> out = output<float>(e.out * e.out * channels), expected = out;
          WinogradTile tile = dense(e, in.data(), out.data(), channels);
          tile.row_begin = cut > 0, tile.column_end -= cut, tile.rows -= cut, tile.columns -= cut / 2;
          tile.bias = cut == 1 ? bias.data() : nullptr;
          e.transform(table.winograd, tile);
          tile.out = expected.data();
          e.transform(scalar.winograd, tile);
          double worst = 0;
          for (std::size_t i = 0; i < out.size(); ++i)
            worst = std::max(worst, std::abs(static_cast<double>(out[i] - expected[i])));
          CHECK(worst <= 1e-4);  // of values up to 200
        }
  });
}

TEST_CASE("Winograd products of one tile are the correlation") {
  with_each_table([] {
    const Winograd& family = active_kernels().winograd;
    for (const Filter& f : kFilters) {
      const auto taps = static_cast<std::size_t>(f.taps), out = static_cast<std::size_t>(f.out);
      const std::vector<float> d = gaussian(36, 1), g = gaussian(f.taps * f.taps, 2);
      const std::vector<float> v = transformed(family, kInput, d), u = transformed(family, f.weight, g);
      std::vector<float> products(36);
      for (std::size_t i = 0; i < 36; ++i) products[i] = u[i] * v[i];
      const std::vector<float> y = transformed(family, f.output, products);
      for (std::size_t i = 0; i < out; ++i)
        for (std::size_t j = 0; j < out; ++j) {
          float sum = 0;
          for (std::size_t k = 0; k < taps; ++k)
            for (std::size_t l = 0; l < taps; ++l) sum += g[taps * k + l] * d[6 * (i + k) + j + l];
          CHECK(y[out * i + j] == doctest::Approx(sum).epsilon(1e-4));
        }
    }
  });
}

TEST_CASE("Winograd gradient transforms are the transposes of the others") {
  with_each_table([] {
    const Winograd& family = active_kernels().winograd;
    for (const Filter& f : kFilters) {
      const std::vector<float> m = gaussian(36, 1), y = gaussian(f.out * f.out, 2), g = gaussian(f.taps * f.taps, 3);
      CHECK(dot(transformed(family, f.output, m), y) ==
            doctest::Approx(dot(m, transformed(family, f.output_gradient, y))).epsilon(1e-5));
      CHECK(dot(transformed(family, f.weight, g), m) ==
            doctest::Approx(dot(g, transformed(family, f.weight_gradient, m))).epsilon(1e-5));
    }
  });
}

TEST_CASE("Winograd transforms to results say whether all that they wrote is finite, on every table") {
  with_each_table([] {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const Winograd& family = active_kernels().winograd;
    const auto check_all = [&](std::int64_t channels, const Extents& e, bool (*finite)(const WinogradTile& tile)) {
      const std::vector<float> clean = gaussian(e.in * e.in * channels, 1),
                               bias(static_cast<std::size_t>(channels), kInfinity);
      std::vector<float> out = output<float>(e.out * e.out * channels);
      WinogradTile tile = dense(e, clean.data(), out.data(), channels);
      tile.bias = bias.data();
      CHECK(finite(tile));  // a bias that is not finite belongs to every output
      tile.bias = nullptr;
      int missed = 0;
      for (std::size_t i = 0; i < clean.size(); ++i)
        for (float value : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN(), 3e38f}) {
          std::vector<float> in = clean;
          in[i] = value;
          tile.in = in.data();
          missed += finite(tile) && std::any_of(out.begin(), out.end(), [](float y) { return !std::isfinite(y); });
          missed += finite(tile) && value != 3e38f;
        }
      CHECK(missed == 0);
      tile = dense(e, clean.data(), out.data(), channels);
      std::vector<float> last_row = clean;
      for (std::int64_t c = 0; c < channels; ++c)
        last_row[static_cast<std::size_t>(35 * channels + c)] = kInfinity;  // seen by the last output alone
      tile.in = last_row.data();
      tile.columns = e.out - 1;
      CHECK(finite(tile));
    };
    for (std::int64_t channels : {1, 16, 19})
      for (const Filter& f : kFilters) {
        check_all(channels, f.output, (family.*f.transforms).output);
        check_all(channels, f.weight_gradient, (family.*f.transforms).weight_gradient);
      }
  });
}
