#include "core/compute/activation.h"

#include <functional>
#include <optional>

#include "core/base/check.h"
#include "core/kernels/norm.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::Quantizer;
using kernels::Rounding;

namespace {

const std::int64_t kSizes[] = {0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 1000, 4133};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr kernels::PassBand<float> kEverywhere{-kInfinity, kInfinity}, kPositive{0, kInfinity};

kernels::PassBand<float> within(int levels) { return {0, static_cast<float>(levels)}; }

// Runs the check as kernels run in tasks, with denormals flushed, and as they run outside of them.
void with_and_without_denormals(const std::function<void()>& check) {
  check();
  const FlushDenormals flush;
  check();
}

struct Quantized {
  std::vector<float> y;
  std::vector<std::uint8_t> codes, mask;
  friend bool operator==(const Quantized& a, const Quantized& b) {
    return same_bits(a.y, b.y) && a.codes == b.codes && a.mask == b.mask;
  }
};
Quantized quantized(const Kernels& table, const std::vector<float>& x, const Quantizer<float>& quantizer,
                    const kernels::PassBand<float>& pass) {
  const auto n = static_cast<std::int64_t>(x.size());
  Quantized q{output<float>(n), output<std::uint8_t>(n),
              output<std::uint8_t>(static_cast<std::int64_t>(mask_bytes(n)))};
  table.real.activation.quantize(n, x.data(), quantizer, pass, q.y.data(), q.codes.data(), q.mask.data());
  return q;
}

// (k + offset) alpha and the two floats on either side, for all levels and some beyond.
std::vector<float> around_thresholds(float alpha, int levels, float offset) {
  std::vector<float> x{0.f, -0.f, kInfinity, -kInfinity, NAN, 1e-40f, -1e-40f, -alpha};
  for (int k = 0; k <= levels + 2; ++k) {
    const float t = (static_cast<float>(k) + offset) * alpha, below = std::nextafter(t, -kInfinity),
                above = std::nextafter(t, kInfinity);
    x.insert(x.end(), {t, below, above, std::nextafter(below, -kInfinity), std::nextafter(above, kInfinity)});
  }
  return x;
}

const float kAlphas[] = {1.f, 0.6511f, 0.1946f, 1.2221f, 1e-3f, 1e-37f, 3e37f, 0.1f, std::numeric_limits<float>::min()};

}  // namespace

TEST_CASE("relu kernel: every table gives the bits of the reference, values and mask") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : kSizes)
      with_and_without_denormals([&] {
        const auto x = awkward(n, static_cast<unsigned>(n));
        const auto run = [&](const Kernels& k) {
          auto y = output<float>(n);
          auto mask = output<std::uint8_t>(static_cast<std::int64_t>(mask_bytes(n)));
          k.real.activation.relu(n, x.data(), y.data(), mask.data());
          return Quantized{y, {}, mask};
        };
        CHECK(run(table) == run(scalar));
      });
  });
}

const Rounding kRoundings[] = {Rounding::up, Rounding::nearest, Rounding::sign};

TEST_CASE("quantize kernel: every table gives the bits of the reference, on and around all thresholds") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const Rounding rounding : kRoundings)
      for (const float alpha : kAlphas)
        for (const int levels : {1, 3, 15, 255})
          for (const auto pass : {kernels::PassBand<float>{0, static_cast<float>(levels)},
                                  kernels::PassBand<float>{0, kInfinity}, kernels::PassBand<float>{-1, 1}})
            with_and_without_denormals([&] {
              const auto x = around_thresholds(alpha, levels, rounding == Rounding::nearest ? 0.5f : 0.f);
              const Quantizer<float> q{alpha, levels, rounding};
              CHECK(quantized(table, x, q, pass) == quantized(scalar, x, q, pass));
            });
    for (const std::int64_t n : kSizes)
      for (const Rounding rounding : kRoundings)
        for (const float steps : {1.f, 3.f}) {
          const auto x = awkward(n, static_cast<unsigned>(n));
          const Quantizer<float> q{0.3f, 3, rounding, steps};
          CHECK(quantized(table, x, q, {0, 3}) == quantized(scalar, x, q, {0, 3}));
        }
  });
}

TEST_CASE("quantizer comparison: a reciprocal in place of the division is noticed at some threshold") {
  const float alpha = 0.6511f;
  auto x = around_thresholds(alpha, 255, 0);
  const auto right = quantized(*all_kernels()[0], x, {alpha, 255}, {0, 255});
  for (float& v : x) v *= 1 / alpha;
  CHECK(quantized(*all_kernels()[0], x, {1, 255}, {0, 255}).codes != right.codes);
}

TEST_CASE(
    "quantizer: rounding to the nearest goes to the even one of two, and steps multiply before alpha "
    "divides") {
  with_each_table([] {
    const std::vector<float> x{-0.3f, 0.f, 0.1f, 0.2f, 0.34f, 0.5f, 0.51f, 0.7f, 0.99f, 1.4f, NAN};
    std::vector<std::uint8_t> codes(x.size());
    const auto with = [&](int levels) {
      quantize_forward<float>(static_cast<std::int64_t>(x.size()), x.data(),
                              {1, levels, Rounding::nearest, static_cast<float>(levels)}, kEverywhere, nullptr,
                              codes.data(), nullptr);
      return codes;
    };
    CHECK(with(1) == std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 0});
    CHECK(with(3) == std::vector<std::uint8_t>{0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 0});
    CHECK(with(7) == std::vector<std::uint8_t>{0, 0, 1, 1, 2, 4, 4, 5, 7, 7, 0});  // 7 * 0.5 is a tie
  });
}

TEST_CASE("quantizer: signs are signed bytes, that of both zeros is +1, and the window is symmetric and closed") {
  with_each_table([] {
    const float inside = std::nextafter(1.f, 0.f), outside = std::nextafter(1.f, 2.f);
    const std::vector<float> x{0.f, -0.f, 1e-30f, -1e-30f, kInfinity, -kInfinity,
                               NAN, 1.f,  -1.f,   inside,  outside,   -outside};
    std::vector<float> y(x.size());
    std::vector<std::uint8_t> codes(x.size()), mask(2);
    const auto n = static_cast<std::int64_t>(x.size());
    CHECK(quantize_forward(n, x.data(), {2, 1, Rounding::sign, 2}, {std::nextafter(-1.f, -2.f), 1}, y.data(),
                           codes.data(), mask.data()));
    CHECK(codes == std::vector<std::uint8_t>{1, 1, 1, 255, 1, 255, 0, 1, 255, 1, 1, 255});
    CHECK(same_bits(y, {1.f, 1.f, 1.f, -1.f, 1.f, -1.f, NAN, 1.f, -1.f, 1.f, 1.f, -1.f}));
    CHECK(mask == std::vector<std::uint8_t>{0b10001111, 0b0011});
  });
}

TEST_CASE("quantizer: zero, signed zero, infinities, NaN and values at a threshold, for every table") {
  with_each_table([] {
    const std::vector<float> x{0.f, -0.f, kInfinity, -kInfinity, NAN, 0.5f, 1.f, 1.5f, 1.5000001f, -2.f, 0.50000006f};
    std::vector<float> y(x.size());
    std::vector<std::uint8_t> codes(x.size()), clipped(2), open(2);
    const auto n = static_cast<std::int64_t>(x.size());
    const Quantizer<float> q{0.5f, 3};
    quantize_forward(n, x.data(), q, within(q.levels), y.data(), codes.data(), clipped.data());
    quantize_forward<float>(n, x.data(), q, kPositive, nullptr, nullptr, open.data());
    CHECK(codes == std::vector<std::uint8_t>{0, 0, 3, 0, 0, 1, 2, 3, 3, 0, 2});
    CHECK(same_bits(y, {0.f, 0.f, 1.5f, 0.f, NAN, 0.5f, 1.f, 1.5f, 1.5f, 0.f, 1.f}));
    CHECK(clipped == std::vector<std::uint8_t>{0b11100000, 0b100});
    CHECK(open == std::vector<std::uint8_t>{0b11100100, 0b101});
  });
}

TEST_CASE("quantizer: codes decode to the values, and the mask is the backward pass") {
  with_each_table([] {
    const std::int64_t n = 70001;
    const auto x = gaussian(n, 1), dy = gaussian(n, 2);
    const Quantizer<float> q{0.6511f, 3};
    std::vector<float> y(x.size()), decoded(x.size()), dx(x.size());
    std::vector<std::uint8_t> codes(x.size()), mask(mask_bytes(n));
    quantize_forward(n, x.data(), q, within(q.levels), y.data(), codes.data(), mask.data());
    quantize_decode(n, codes.data(), q.alpha, decoded.data());
    CHECK(same_bits(y, decoded));
    mask_backward(n, mask.data(), dy.data(), dx.data());
    bool right = true;
    for (std::size_t i = 0; i < x.size(); ++i)
      right = right && dx[i] == (x[i] > 0 && x[i] / q.alpha <= 3 ? dy[i] : 0.f);
    CHECK(right);
    std::vector<std::uint8_t> all(mask_bytes(n), 0xFF);
    all.back() = 1;  // 70001 = 8 * 8750 + 1
    quantize_forward<float>(n, x.data(), q, kEverywhere, nullptr, nullptr, mask.data());
    CHECK(mask == all);
  });
}

TEST_CASE("decode and apply_mask kernels: every table gives the bits of the reference") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : kSizes) {
      const auto dy = awkward(n, 3);
      std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n) + 1);
      for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::uint8_t>(i * 89 + 7);
      const auto run = [&](const Kernels& k) {
        auto y = output<float>(n), dx = y;
        k.real.activation.decode(n, bytes.data(), 0.1f, y.data());
        k.real.activation.apply_mask(n, bytes.data(), dy.data(), dx.data());
        y.insert(y.end(), dx.begin(), dx.end());
        return y;
      };
      CHECK(same_bits(run(table), run(scalar)));
    }
  });
}

namespace {

// The table of paper-bcgd 2.
double d_alpha(float x, Quantizer<float> q, AlphaRule rule) {
  if (!(x / q.alpha > 0)) return 0;
  if (x / q.alpha > static_cast<float>(q.levels)) return q.levels;
  if (rule == AlphaRule::exact) return std::ceil(x / q.alpha);
  return rule == AlphaRule::three_valued ? (q.levels + 1) / 2 : 0;
}

}  // namespace

TEST_CASE("alpha gradient: the three rules, from the input and from what was saved, for every table") {
  with_each_table([] {
    for (const std::int64_t n : {1, 17, 1000, 5000, 100003})
      for (const int levels : {1, 3, 15})
        for (const AlphaRule rule : {AlphaRule::exact, AlphaRule::three_valued, AlphaRule::pact}) {
          const auto x = gaussian(n, 4), dy = gaussian(n, 5, 0.1f);
          const Quantizer<float> q{1.1f / static_cast<float>(levels), levels};
          double want = 0, size = 0;
          for (std::size_t i = 0; i < x.size(); ++i) {
            want += dy[i] * d_alpha(x[i], q, rule);
            size += std::abs(dy[i] * d_alpha(x[i], q, rule));
          }
          std::vector<std::uint8_t> codes(x.size()), mask(mask_bytes(n));
          quantize_forward<float>(n, x.data(), q, within(q.levels), nullptr, codes.data(), mask.data());
          const double bound = kernels::kSumError * size;
          CHECK(std::abs(quantize_alpha_gradient(n, x.data(), dy.data(), q, rule) - want) <= bound);
          CHECK(std::abs(quantize_alpha_gradient(n, codes.data(), mask.data(), dy.data(), levels, rule) - want) <=
                bound);
          if (levels == 3 && n > 100) CHECK(bound < 0.01 * std::abs(want));
        }
  });
}

TEST_CASE("alpha gradient: a NaN input counts nothing, and a tail is not read beyond its end") {
  with_each_table([] {
    const std::vector<float> x{NAN, 1.f, 9.f}, dy{5.f, 1.f, 2.f};
    const Quantizer<float> q{1.f, 3};
    CHECK(quantize_alpha_gradient(3, x.data(), dy.data(), q, AlphaRule::exact) == 7);
    CHECK(quantize_alpha_gradient(3, x.data(), dy.data(), q, AlphaRule::three_valued) == 8);
    CHECK(quantize_alpha_gradient(3, x.data(), dy.data(), q, AlphaRule::pact) == 6);
    CHECK(quantize_alpha_gradient(2, x.data(), dy.data(), q, AlphaRule::exact) == 1);
  });
}

TEST_CASE("activations: bitwise the same with 1 and with 2 threads, for every table") {
  with_each_table([] {
    const std::int64_t n = 200001;
    const auto x = awkward(n, 6), dy = gaussian(n, 7);
    const Quantizer<float> q{0.2f, 15};
    CHECK(same_with_two_threads([&] {
      std::vector<float> y(x.size()), r(x.size()), dx(x.size());
      std::vector<std::uint8_t> mask(mask_bytes(n));
      quantize_forward(n, x.data(), q, within(q.levels), y.data(), nullptr, mask.data());
      mask_backward(n, mask.data(), dy.data(), dx.data());
      relu_forward(n, x.data(), r.data(), mask.data());
      y.insert(y.end(), r.begin(), r.end());
      y.insert(y.end(), dx.begin(), dx.end());
      y.insert(y.end(), mask.begin(), mask.end());
      y.push_back(static_cast<float>(quantize_alpha_gradient(n, x.data(), dy.data(), q, AlphaRule::exact)));
      return y;
    }));
  });
}

TEST_CASE("step gradient: every table sums what equation 3 of LSQ says, within the bound") {
  with_each_table([] {
    for (const std::int64_t n : {0, 1, 9, 100, 70001})
      for (const int levels : {1, 3, 15, 255}) {
        const Quantizer<float> q{1.3f / static_cast<float>(levels), levels, Rounding::nearest};
        const auto x = gaussian(n, 1), dy = gaussian(n, 2);
        std::vector<std::uint8_t> codes(x.size());
        quantize_forward<float>(n, x.data(), q, kEverywhere, nullptr, codes.data(), nullptr);
        double want = 0, size = 0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const float v = x[i] / q.alpha, top = static_cast<float>(levels);
          const float d = v <= 0 ? 0 : v > top ? top : std::nearbyint(v) - v;
          want += static_cast<double>(dy[i]) * static_cast<double>(d);
          size += std::abs(static_cast<double>(dy[i]) * static_cast<double>(d));
        }
        CHECK(std::abs(quantize_step_gradient(n, x.data(), codes.data(), dy.data(), q) - want) <=
              kernels::kSumError * size);
      }
    const std::vector<float> x{-1.f, NAN, 0.6f, 5.f}, dy{1.f, 1.f, 1.f, 1.f};
    const std::vector<std::uint8_t> codes{0, 0, 1, 3};
    CHECK(quantize_step_gradient(4, x.data(), codes.data(), dy.data(), {1.f, 3, Rounding::nearest}) ==
          doctest::Approx(0.4 + 3));
    CHECK_THROWS_AS(quantize_step_gradient<float>(4, x.data(), codes.data(), dy.data(), {1.f, 3}), Error);
  });
}

TEST_CASE("alpha and step gradients: sums that overflow a float on the way are those of doubles, for every table") {
  with_each_table([] {
    for (const std::int64_t n : {9, 1000, 5001}) {
      const auto count = static_cast<std::size_t>(n);
      const Quantizer<float> q{0.25f, 3, Rounding::nearest};
      std::vector<float> x(count, 0.5f), dy(count);
      for (std::size_t i = 0; i < count; ++i) dy[i] = i < count / 3 ? 3e38f : -1.5e38f;
      const std::vector<std::uint8_t> codes(count, 2), mask(mask_bytes(n));
      double sum = 0;
      for (const float v : dy) sum += static_cast<double>(v);
      const auto size = 6e38 * static_cast<double>(n);
      const auto near = [&](double got, double want) { CHECK(std::abs(got - want) <= kernels::kSumError * size); };
      near(quantize_alpha_gradient(n, x.data(), dy.data(), {0.25f, 3}, AlphaRule::exact), 2 * sum);
      near(quantize_alpha_gradient(n, codes.data(), mask.data(), dy.data(), 3, AlphaRule::exact), 2 * sum);
      x.assign(count, -1.f);
      near(quantize_step_gradient(n, x.data(), codes.data(), dy.data(), q), 2 * sum);
    }
  });
}

TEST_CASE("activation quantizer: a resolution or a number of levels out of range is an error") {
  const float x = 1;
  float y = 0;
  const auto quantize = [&](float alpha, int levels) {
    quantize_forward<float>(1, &x, {alpha, levels}, kPositive, &y, nullptr, nullptr);
  };
  for (const float alpha : {0.f, -1.f, kInfinity, static_cast<float>(NAN), 1e-40f})
    CHECK_THROWS_AS(quantize(alpha, 3), Error);
  for (const int levels : {0, -1, 256}) CHECK_THROWS_AS(quantize(1, levels), Error);
  CHECK_THROWS_AS(quantize_alpha_gradient<float>(1, nullptr, nullptr, &x, 3, AlphaRule::pact), Error);
}
