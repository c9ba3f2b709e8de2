#include "core/compute/pool.h"

#include "core/base/check.h"
#include "core/compute/code_sweeps.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

struct Case {
  PoolShape s;
  const char* what;
};
const Case kCases[] = {
    {{2, 4, 6, 32, 2, 2, 2, 2}, "2x2, tiled"},
    {{3, 5, 7, 17, 2, 2, 2, 2}, "2x2 with pixels left over"},
    {{2, 7, 5, 33, 3, 3, 2, 2, 1, 1}, "3x3 stride 2 padding 1"},
    {{1, 6, 6, 3, 3, 3, 1, 1, 1, 1}, "3x3 stride 1 padding 1"},
    {{2, 9, 8, 10, 2, 3, 3, 4}, "stride beyond the window"},
    {{1, 3, 3, 16, 2, 2, 1, 2, 1, 0}, "even window, padding in one direction"},
    {{2, 1, 1, 1, 1, 1, 1, 1}, "one pixel"},
    {{1, 2, 3, 64, 4, 5, 1, 1, 2, 2}, "window larger than the image"},
    {{0, 4, 4, 3, 2, 2, 2, 2}, "empty batch"},
};

std::int64_t inputs(const PoolShape& s) { return s.batch * s.height * s.width * s.channels; }
std::int64_t outputs(const PoolShape& s) { return s.batch * s.out_height() * s.out_width() * s.channels; }

// visit(output, input, place, pixels of the window in the image) straight from the definition, in order.
template <class F>
void for_each_tap(const PoolShape& s, F visit) {
  for (std::int64_t n = 0, o = 0; n < s.batch; ++n)
    for (std::int64_t oh = 0; oh < s.out_height(); ++oh)
      for (std::int64_t ow = 0; ow < s.out_width(); ++ow)
        for (std::int64_t c = 0; c < s.channels; ++c, ++o)
          for (std::int64_t i = 0; i < s.kernel_h; ++i)
            for (std::int64_t j = 0; j < s.kernel_w; ++j) {
              const std::int64_t h = oh * s.stride_h - s.pad_h + i, w = ow * s.stride_w - s.pad_w + j;
              if (h < 0 || h >= s.height || w < 0 || w >= s.width) continue;
              visit(static_cast<std::size_t>(o),
                    static_cast<std::size_t>(((n * s.height + h) * s.width + w) * s.channels + c), i * s.kernel_w + j);
            }
}

}  // namespace

TEST_CASE("max pooling: values, places and gradients equal the definition bit for bit, for every table") {
  with_each_table([] {
    for (const Case& test : kCases)
      for (const unsigned seed : {1u, 2u, 3u}) {
        const PoolShape& s = test.s;
        INFO(std::string(test.what));
        const FlushDenormals as_in_tasks;
        const auto x = seed == 1 ? gaussian(inputs(s), seed) : awkward(inputs(s), seed);
        const auto dy = gaussian(outputs(s), 9);
        auto y = output<float>(outputs(s)), want = y;
        auto number = output<std::uint16_t>(outputs(s)), places = number;
        std::vector<bool> seen(y.size());
        for_each_tap(s, [&](std::size_t o, std::size_t i, std::int64_t place) {
          if (seen[o] && !(x[i] > want[o]) && !std::isnan(x[i])) return;
          seen[o] = true;
          want[o] = x[i];
          places[o] = static_cast<std::uint16_t>(place);
        });
        max_pool_forward(s, x.data(), y.data(), number.data());
        CHECK(same_bits(y, want));
        CHECK(number == places);

        auto values_only = output<float>(outputs(s));
        max_pool_forward(s, x.data(), values_only.data(), nullptr);
        CHECK(same_bits(values_only, want));

        auto dx = output<float>(inputs(s)), want_dx = dx;
        std::fill_n(want_dx.begin(), inputs(s), 0.f);
        for_each_tap(s, [&](std::size_t o, std::size_t i, std::int64_t place) {
          if (places[o] == place) want_dx[i] += dy[o];
        });
        max_pool_backward(s, dy.data(), number.data(), dx.data());
        CHECK(same_bits(dx, want_dx));
      }
  });
}

TEST_CASE("max pooling: equal values go to the first place, and a NaN wins") {
  const PoolShape s{1, 2, 2, 1, 2, 2, 2, 2};
  float y = 0;
  std::uint16_t number = 9;
  const auto pool = [&](std::vector<float> x) { max_pool_forward(s, x.data(), &y, &number); };
  with_each_table([&] {
    pool({1, 5, 5, 5});
    CHECK(number == 1);
    pool({-0.f, 0.f, 0.f, -1.f});
    CHECK(number == 0);
    CHECK(std::signbit(y));
    const float inf = std::numeric_limits<float>::infinity();
    pool({-inf, -inf, -inf, -inf});
    CHECK(y == -inf);
    pool({inf, NAN, inf, 3});
    CHECK(std::isnan(y));
    CHECK(number == 1);
  });
}

TEST_CASE("max pooling of codes: bytes with and without a sign give the codes of the largest values") {
  const auto compare = [](const PoolShape& s, auto zero) {
    using Code = decltype(zero);
    const auto x = gaussian(inputs(s), 6, 0, 60);
    std::vector<Code> codes(x.size());
    std::ranges::transform(x, codes.begin(), [](float v) { return static_cast<Code>(static_cast<int>(v)); });
    const std::vector<float> numbers(codes.begin(), codes.end());
    auto largest = output<float>(outputs(s));
    auto y = output<Code>(outputs(s));
    max_pool_forward<float>(s, numbers.data(), largest.data(), nullptr);
    max_pool_codes(s, codes.data(), y.data());
    for (std::int64_t o = 0; o < outputs(s); ++o) {
      const auto i = static_cast<std::size_t>(o);
      REQUIRE(static_cast<float>(y[i]) == largest[i]);
    }
  };
  for (const Case& test : kCases) {
    INFO(std::string(test.what));
    compare(test.s, std::uint8_t{0});
    compare(test.s, std::int8_t{0});
  }
}

TEST_CASE("average pooling: values and gradients equal the definition, with padding counted and not") {
  with_each_table([] {
    for (const Case& test : kCases)
      for (const bool count_padding : {true, false}) {
        const PoolShape& s = test.s;
        INFO(std::string(test.what), " ", count_padding);
        const auto x = gaussian(inputs(s), 4), dy = gaussian(outputs(s), 5);
        auto y = output<float>(outputs(s)), want = y, taps = y;
        std::fill_n(want.begin(), outputs(s), 0.f);
        std::fill_n(taps.begin(), outputs(s), 0.f);
        for_each_tap(s, [&](std::size_t o, std::size_t i, std::int64_t) {
          want[o] += x[i];
          taps[o] += 1;
        });
        const float places = static_cast<float>(s.kernel_h * s.kernel_w);
        for (std::size_t o = 0; o < dy.size(); ++o) want[o] /= count_padding ? places : taps[o];
        average_pool_forward(s, x.data(), count_padding, y.data());
        CHECK(same_bits(y, want));

        auto dx = output<float>(inputs(s)), want_dx = dx;
        std::fill_n(want_dx.begin(), inputs(s), 0.f);
        for_each_tap(s, [&](std::size_t o, std::size_t i, std::int64_t) {
          want_dx[i] += dy[o] / (count_padding ? places : taps[o]);
        });
        average_pool_backward(s, dy.data(), count_padding, dx.data());
        CHECK(same_bits(dx, want_dx));
      }
  });
}

TEST_CASE("global average pooling: the mean over the pixels and its gradient") {
  with_each_table([] {
    for (const std::int64_t channels : {1, 3, 10, 16, 17, 64, 130})
      for (const std::int64_t pixels : {1, 9, 49, 1000}) {
        const std::int64_t batch = 3;
        const auto x = gaussian(batch * pixels * channels, 6, 1), dy = gaussian(batch * channels, 7);
        std::vector<float> y(dy.size()), dx(x.size());
        std::vector<double> want(dy.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const auto c = static_cast<std::size_t>(channels), image = static_cast<std::size_t>(pixels) * c;
          want[i / image * c + i % c] += x[i] / static_cast<double>(pixels);
        }
        global_average_pool_forward(batch, pixels, channels, x.data(), y.data());
        for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - want[i]) < 1e-6);
        global_average_pool_backward(batch, pixels, channels, dy.data(), dx.data());
        bool right = true;
        for (std::size_t i = 0; i < dx.size(); ++i) {
          const auto c = static_cast<std::size_t>(channels), image = static_cast<std::size_t>(pixels) * c;
          right = right && dx[i] == dy[i / image * c + i % c] / static_cast<float>(pixels);
        }
        CHECK(right);
      }
  });
}

TEST_CASE("pooling: bitwise the same with 1 and with 2 threads, for every table") {
  with_each_table([] {
    const PoolShape s{16, 13, 13, 32, 3, 3, 2, 2, 1, 1};
    const auto x = gaussian(inputs(s), 8), dy = gaussian(outputs(s), 9);
    CHECK(same_with_two_threads([&] {
      std::vector<float> y(dy.size()), dx(x.size()), mean(dy.size()), dmean(x.size()), global(16 * 32);
      std::vector<std::uint16_t> number(dy.size());
      max_pool_forward(s, x.data(), y.data(), number.data());
      max_pool_backward(s, dy.data(), number.data(), dx.data());
      average_pool_forward(s, x.data(), true, mean.data());
      average_pool_backward(s, dy.data(), true, dmean.data());
      global_average_pool_forward(16, 13 * 13, 32, x.data(), global.data());
      for (const auto* part : {&dx, &mean, &dmean, &global}) y.insert(y.end(), part->begin(), part->end());
      return y;
    }));
  });
}

TEST_CASE("pooling: windows, strides and paddings that make no sense are errors") {
  std::vector<float> x(16), y(16);
  const auto pool = [&](PoolShape s) { max_pool_forward(s, x.data(), y.data(), nullptr); };
  CHECK_THROWS_AS(pool({1, 4, 4, 1, 5, 2, 1, 1}), Error);
  CHECK_THROWS_AS(pool({1, 4, 4, 1, 2, 2, 0, 1}), Error);
  CHECK_THROWS_AS(pool({1, 4, 4, 1, 0, 2, 1, 1}), Error);
  CHECK_THROWS_AS(pool({1, 4, 4, 1, 2, 2, 1, 1, 2, 0}), Error);
  CHECK_THROWS_AS(pool({1, 4, 4, 1, 400, 400, 1, 1, 200, 200}), Error);
  CHECK_THROWS_AS(pool({1, 0, 4, 1, 2, 2, 1, 1, 1, 1}), Error);
}
