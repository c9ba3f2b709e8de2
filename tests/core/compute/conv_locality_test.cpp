// What one value does to a convolution: which results see it, and what it costs the accuracy of the others.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/compute/conv_winograd.h"
#include "core/kernels/winograd.h"
#include "tests/support/conv_case.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity(), kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr double kDirectError = 16, kWinogradError = 128;  // what conv.h promises

// Both kernels of Winograd's algorithm; outputs as large as inputs, in whole tiles.
const ConvShape kShapes[] = {square(8, 12, 64, 64, 3, 1, 1), square(3, 28, 16, 16, 5, 1, 2)};

std::size_t pixel(const ConvShape& s, std::int64_t y, std::int64_t x) {
  return static_cast<std::size_t>((y * s.width + x) * s.in_channels);
}

// How many results are not the sums of their own products: NaN where those are, the same infinity, or within
// `allowed` epsilons of the sum of their magnitudes.
template <class T>
std::int64_t strangers(const std::vector<T>& got, const ReferenceSums& expected, double allowed) {
  REQUIRE(got.size() == expected.value.size());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto value = static_cast<double>(got[i]);
    const double right = expected.value[i];
    const double room = allowed * static_cast<double>(std::numeric_limits<T>::epsilon()) * expected.magnitude[i];
    const bool same = std::isfinite(right) ? std::abs(value - right) <= room
                                           : value == right || (std::isnan(value) && std::isnan(right));
    count += !same;
  }
  return count;
}

template <class T>
void check_products(const Case<T>& c, double allowed) {
  const ReferenceSums y = c.reference_forward(false), dx = c.reference_backward_data(),
                      dweight = c.reference_backward_weight();
  with_each_table([&] {
    CHECK(strangers(c.forward(false), y, allowed) == 0);
    CHECK(strangers(c.backward_data(), dx, allowed) == 0);
    CHECK(strangers(c.backward_weight(), dweight, allowed) == 0);
  });
}

// The images that m x m outputs at a time are computed from, as a convolution like those of kShapes sees them: x going
// forward, dy going back.
struct Tiles {
  const ConvShape& s;
  const std::vector<float>& images;

  std::int64_t out() const { return kernels::winograd_out(s.kernel_h); }
  std::int64_t count() const { return s.height / out(); }  // along either axis

  // f(magnitude, pixel) for the pixels of `extent` x `extent` from (y, x) on that lie in image n.
  template <class F>
  void for_each_pixel(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t extent, std::int64_t channel,
                      F&& f) const {
    for (std::int64_t i = std::max<std::int64_t>(y, 0); i < std::min(y + extent, s.height); ++i)
      for (std::int64_t j = std::max<std::int64_t>(x, 0); j < std::min(x + extent, s.width); ++j)
        f(std::abs(at(images, ((n * s.height + i) * s.width + j) * s.in_channels + channel)));
  }
  double largest(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t channel) const {
    double most = 0;
    for_each_pixel(n, y * out() - s.pad_h, x * out() - s.pad_w, kernels::kWinogradIn, channel,
                   [&](double v) { most = std::max(most, v); });
    return most;
  }
  double sum(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t channel) const {
    double all = 0;
    for_each_pixel(n, y * out(), x * out(), out(), channel, [&](double v) { all += v; });
    return all;
  }
  template <class F>
  void for_each(F&& f) const {
    for (std::int64_t n = 0; n < s.batch; ++n)
      for (std::int64_t y = 0; y < count(); ++y)
        for (std::int64_t x = 0; x < count(); ++x) f(n, y, x);
  }
};

// The sum of the magnitudes of the taps between two channels.
double taps(const Case<float>& c, std::int64_t out, std::int64_t in) {
  const std::int64_t all = c.s.kernel_h * c.s.kernel_w;
  double sum = 0;
  for (std::int64_t t = 0; t < all; ++t) sum += std::abs(at(c.weight, (out * all + t) * c.s.in_channels + in));
  return sum;
}

// sums.magnitude of m x m pixels at a time = the sum over channels of the largest pixel that they are computed
// from times weight(channel, outgoing channel).
template <class Weight>
void set_tile_magnitudes(const ConvShape& s, const std::vector<float>& images, Weight weight, ReferenceSums& sums) {
  const std::int64_t channels = s.in_channels;  // on both sides
  const Tiles tiles{s, images};
  std::vector<double> weights;
  for (std::int64_t o = 0; o < channels; ++o)
    for (std::int64_t c = 0; c < channels; ++c) weights.push_back(weight(c, o));
  tiles.for_each([&](std::int64_t n, std::int64_t y, std::int64_t x) {
    std::vector<double> largest;
    for (std::int64_t c = 0; c < channels; ++c) largest.push_back(tiles.largest(n, y, x, c));
    for (std::int64_t o = 0; o < channels; ++o) {
      double sum = 0;
      for (std::int64_t c = 0; c < channels; ++c)
        sum += largest[static_cast<std::size_t>(c)] * weights[static_cast<std::size_t>(o * channels + c)];
      for (std::int64_t i = 0; i < tiles.out(); ++i)
        for (std::int64_t j = 0; j < tiles.out(); ++j)
          sums.magnitude[static_cast<std::size_t>(n * s.height * s.width * channels + o) +
                         pixel(s, y * tiles.out() + i, x * tiles.out() + j)] = sum;
    }
  });
}

// As above for the gradient of the kernel: the sum over tiles of the largest pixel times the sum of the gradients.
void set_tile_magnitudes(const Case<float>& c, ReferenceSums& dweight) {
  const ConvShape& s = c.s;
  const std::int64_t all = s.kernel_h * s.kernel_w;
  const Tiles x_tiles{s, c.x}, dy_tiles{s, c.dy};
  std::fill(dweight.magnitude.begin(), dweight.magnitude.end(), 0);
  x_tiles.for_each([&](std::int64_t n, std::int64_t y, std::int64_t x) {
    for (std::int64_t o = 0; o < s.out_channels; ++o) {
      const double gradients = dy_tiles.sum(n, y, x, o);
      for (std::int64_t i = 0; i < s.in_channels; ++i) {
        const double products = gradients * x_tiles.largest(n, y, x, i);
        for (std::int64_t t = 0; t < all; ++t)
          dweight.magnitude[static_cast<std::size_t>((o * all + t) * s.in_channels + i)] += products;
      }
    }
  });
}

// Values of any order of magnitude from 2^-20 to 2^20, a quarter of them zeros.
std::vector<float> of_all_sizes(std::int64_t n, unsigned seed) {
  std::vector<float> values = gaussian(n, seed);
  std::mt19937 bits(seed + 100);
  for (float& v : values) v = bits() % 4 == 0 ? 0 : std::ldexp(v, static_cast<int>(bits() % 41) - 20);
  return values;
}

// Ordinary images and gradients, but for one pixel of image 0 in one channel.
Case<float> with_one_pixel(const ConvShape& s, float value) {
  Case<float> c(s, Fill::kReals);
  c.x = gaussian(x_size(s), 5);
  c.dy = gaussian(y_size(s), 6);
  c.x[pixel(s, 5, 5)] = c.dy[pixel(s, 6, 2)] = value;
  return c;
}

// Values, pixels and gradients that a sum of transformed products could drown.
std::vector<Case<float>> hard_cases(const ConvShape& s) {
  std::vector<Case<float>> cases;
  for (float value : {1e4f, 1e6f, 1e30f}) cases.push_back(with_one_pixel(s, value));
  cases.emplace_back(s, Fill::kReals);
  cases.back().x = of_all_sizes(x_size(s), 1);
  cases.back().weight = of_all_sizes(weight_size(s), 2);
  cases.back().dy = of_all_sizes(y_size(s), 3);
  cases.emplace_back(s, Fill::kReals);
  std::fill(cases.back().x.begin(), cases.back().x.end(), 0.f);
  std::fill(cases.back().dy.begin(), cases.back().dy.end(), 0.f);
  cases.back().x[pixel(s, 5, 5)] = cases.back().dy[pixel(s, 6, 2)] = 1e30f;
  return cases;
}

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("a value that overflows, infinity or NaN among zeros reaches the results that see it and no others" *
            doctest::test_suite("conv long")) {
    for (const ConvShape& s : kShapes) {
      const std::size_t middle = pixel(s, 5, 5), border = pixel(s, 0, 11);
      struct {
        float value;
        std::size_t place;
      } const outliers[] = {{3e37f, middle}, {3e38f, border}, {-kInfinity, border}, {kNaN, middle}};
      for (const auto& outlier : outliers)
        for (std::vector<float> Case<float>::*operand : {&Case<float>::x, &Case<float>::dy}) {
          INFO(name(s), " value ", outlier.value, " at ", outlier.place);
          Case<float> c(s, Fill::kIntegers);
          for (std::vector<float>* all : {&c.x, &c.weight, &c.dy}) std::fill(all->begin(), all->end(), 0.01f);
          std::fill((c.*operand).begin(), (c.*operand).end(), 0.f);
          (c.*operand)[outlier.place] = outlier.value;
          check_products(c, kDirectError);
        }
    }
  }

  TEST_CASE("an infinity or NaN among ordinary values, in images, kernels or gradients, stays where it belongs" *
            doctest::test_suite("conv long")) {
    for (const ConvShape& s : kShapes)
      for (float value : {kInfinity, kNaN})
        for (std::vector<float> Case<float>::*operand : {&Case<float>::x, &Case<float>::weight, &Case<float>::dy}) {
          INFO(name(s), " value ", value);
          Case<float> c(s, Fill::kReals);
          (c.*operand)[7] = value;
          check_products(c, kWinogradError);
        }
  }

  TEST_CASE("an infinity or NaN stays where it belongs in double, and with groups, dilation and stride, too") {
    ConvShape s = square(3, 6, 4, 6, 3, 1, 2);
    const auto check_shape = [&]<class T>(T value) {
      for (std::vector<T> Case<T>::*operand : {&Case<T>::x, &Case<T>::weight, &Case<T>::dy}) {
        INFO(name(s), " value ", value);
        Case<T> c(s, Fill::kReals);
        (c.*operand)[3] = value;
        check_products(c, kDirectError);
      }
    };
    for (const std::int64_t groups : {1, 2})
      for (const std::int64_t step : {1, 2}) {
        s.groups = groups;
        s.stride_h = s.dilation_w = step;
        check_shape(kInfinity);
        check_shape(kNaN);
        check_shape(-static_cast<double>(kInfinity));
        check_shape(static_cast<double>(kNaN));
      }
  }

  TEST_CASE("images beside one with an infinity keep their bits, and all have the same with 1 and 2 threads") {
    for (const ConvShape& s : kShapes) {
      INFO(name(s));
      const Case<float> clean(s, Fill::kReals);
      Case<float> c = clean;
      c.x[pixel(s, 3, 3)] = c.dy[pixel(s, 3, 3)] = kInfinity;
      with_each_table([&] {
        CHECK(same_with_two_threads([&] { return c.forward(true); }));
        CHECK(same_with_two_threads([&] { return c.backward_data(); }));
        CHECK(same_with_two_threads([&] { return c.backward_weight(); }));
        const auto image = static_cast<std::ptrdiff_t>(x_size(s) / s.batch);
        const auto y = clean.forward(true), dx = clean.backward_data();
        CHECK(std::equal(y.begin() + image, y.end(), c.forward(true).begin() + image));
        CHECK(std::equal(dx.begin() + image, dx.end(), c.backward_data().begin() + image));
      });
    }
  }

  TEST_CASE("Winograd's algorithm is as exact as the largest pixel of a tile allows, whatever the values" *
            doctest::test_suite("conv long")) {
    for (const ConvShape& s : kShapes)
      for (const Case<float>& c : hard_cases(s)) {
        INFO(name(s), " magnitudes ", c.x[pixel(s, 5, 5)], " ", c.dy[pixel(s, 6, 2)]);
        ReferenceSums y = c.reference_forward(false), dx = c.reference_backward_data(),
                      dweight = c.reference_backward_weight();
        set_tile_magnitudes(
            s, c.x, [&](auto in, auto out) { return taps(c, out, in); }, y);
        set_tile_magnitudes(
            s, c.dy, [&](auto in, auto out) { return taps(c, in, out); }, dx);
        set_tile_magnitudes(c, dweight);
        with_each_table([&] {
          CHECK(worst_error(c.forward(false), y) <= kWinogradError);
          CHECK(worst_error(c.backward_data(), dx) <= kWinogradError);
          CHECK(worst_error(c.backward_weight(), dweight) <= kWinogradError);
        });
      }
  }

  TEST_CASE("beside a pixel of 1e6 outputs are less exact than their own products would allow") {
    for (const ConvShape& s : kShapes) {
      INFO(name(s));
      const Case<float> c = with_one_pixel(s, 1e6f);
      const bool winograd = winograd::covers(s);
      if (!winograd) MESSAGE("skipped: this processor runs the scalar table only");
      CHECK((worst_error(c.forward(false), c.reference_forward(false)) > kWinogradError) == winograd);
      CHECK((worst_error(c.backward_data(), c.reference_backward_data()) > kWinogradError) == winograd);
    }
  }
}
