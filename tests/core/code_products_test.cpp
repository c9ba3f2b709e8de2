// Ops on tensors whose codes travel with them: products in integers, weights that are packed once, signs on their way.
#include <doctest/doctest.h>

#include <cmath>
#include <thread>
#include <utility>

#include "core/activate.h"
#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/compute/code_weights.h"
#include "core/ops.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }
Tensor normal(const Shape& shape, unsigned seed) { return Tensor(shape, gaussian(shape.numel(), seed)); }
Tensor decoded(const Tensor& t) { return Tensor(t.shape(), values(t)); }

// Codes from -most to most without 0 where `most` is 1; signs where `bits` is 1.
std::shared_ptr<Coded> signed_codes(std::int64_t size, int bits, std::vector<Real> scales, unsigned seed) {
  auto coded = std::make_shared<Coded>(size, bits, Coded::Sign::two_s_complement, std::move(scales));
  std::mt19937 random(seed);
  const int most = bits == 1 ? 1 : (1 << (bits - 1)) - 1;
  std::int8_t* const codes = coded->signed_codes();
  for (std::int64_t i = 0; i < size; ++i) {
    const int any = static_cast<int>(random() / 8 % static_cast<unsigned>(2 * most + 1)) - most;
    codes[i] = static_cast<std::int8_t>(bits > 1 ? any : random() / 8 % 2 == 0 ? -1 : 1);
  }
  return coded;
}

Tensor activations(const Shape& shape, int bits, Real scale = Real(0.7)) {
  return Tensor::deferred(shape, signed_codes(shape.numel(), bits, {scale}, 1));
}

Tensor weights(const Shape& shape, int bits) {
  std::vector<Real> scales;
  for (std::int64_t o = 0; o < shape[0]; ++o) scales.push_back(Real(0.1) * static_cast<Real>(o + 1));
  return Tensor::deferred(shape, signed_codes(shape.numel(), bits, scales, 2));
}

// The exact sum of codes, rounded once, and one fused multiply-add.
std::vector<Real> expected_conv(const Tensor& x, const Tensor& w, const Tensor& bias, std::int64_t padding) {
  const Shape xs = x.shape(), ws = w.shape();
  const Coded &a = *x.coded(), &b = *w.coded();
  const std::int64_t outputs = ws[0] * ws[3] / xs[3];  // of a group
  std::vector<Real> y;
  for (std::int64_t n = 0; n < xs[0]; ++n)
    for (std::int64_t oy = 0; oy < xs[1] + 2 * padding - ws[1] + 1; ++oy)
      for (std::int64_t ox = 0; ox < xs[2] + 2 * padding - ws[2] + 1; ++ox)
        for (std::int64_t o = 0; o < ws[0]; ++o) {
          std::int64_t sum = 0;
          for (std::int64_t ky = 0; ky < ws[1]; ++ky)
            for (std::int64_t kx = 0; kx < ws[2]; ++kx)
              for (std::int64_t c = 0; c < ws[3]; ++c) {
                const std::int64_t iy = oy + ky - padding, ix = ox + kx - padding;
                if (iy < 0 || iy >= xs[1] || ix < 0 || ix >= xs[2]) continue;
                sum += a.signed_codes()[((n * xs[1] + iy) * xs[2] + ix) * xs[3] + o / outputs * ws[3] + c] *
                       b.signed_codes()[((o * ws[1] + ky) * ws[2] + kx) * ws[3] + c];
              }
          const Real scale = a.scales()[0] * b.scales()[static_cast<std::size_t>(o)];
          y.push_back(std::fma(scale, static_cast<Real>(sum), bias.defined() ? bias[o] : Real(0)));
        }
  return y;
}

Var conv(const Var& x, const Var& w, const Var& bias = {}) { return conv2d(x, w, bias, {.padding = 1}); }

// What a call takes from the pool of memory.
template <class F>
std::uint64_t blocks_taken(F f) {
  const PoolStats before = pool_stats();
  f();
  const PoolStats after = pool_stats();
  return after.hits + after.misses - before.hits - before.misses;
}

// What weights (40, 3, 3, 64) do to images of 6 x 6.
constexpr ConvShape kLayer{.batch = 2,
                           .height = 6,
                           .width = 6,
                           .in_channels = 64,
                           .out_channels = 40,
                           .kernel_h = 3,
                           .kernel_w = 3,
                           .pad_h = 1,
                           .pad_w = 1};

}  // namespace

TEST_CASE("signed codes times signed codes are exact sums in conv2d and linear, with a bias, on every kernel table") {
  const Tensor bias = normal({37}, 1);
  for (const auto& bits : {std::pair{1, 1}, {1, 2}, {2, 1}, {4, 4}, {1, 8}}) {
    const auto& [activation_bits, weight_bits] = bits;
    INFO(bits.second, " by ", bits.first, " bits");
    const Tensor x = activations({2, 5, 6, 33}, activation_bits), w = weights({37, 3, 3, 33}, weight_bits);
    const std::vector<Real> expected = expected_conv(x, w, bias, 1);
    const Tensor rows = activations({9, 1, 1, 131}, activation_bits), dense = weights({37, 1, 1, 131}, weight_bits);
    const std::vector<Real> expected_rows = expected_conv(rows, dense, bias, 0);
    with_each_table([&] {
      CHECK(same_bits(values(conv(x, w, bias).value()), expected));
      CHECK(same_bits(values(linear(rows.reshaped({9, 131}), dense.reshaped({37, 131}), bias).value()), expected_rows));
    });
  }
}

TEST_CASE("signs whose sums are exact in float give the floats of their values, forward and back") {
  const Tensor x = activations({3, 6, 5, 16}, 1, 1);
  const Tensor w = Tensor::deferred({7, 3, 3, 16}, signed_codes(7 * 9 * 16, 1, {1}, 3));
  const Var a = Var::leaf(x), b = Var::leaf(w), c = Var::leaf(decoded(x)), d = Var::leaf(decoded(w));
  const Var y = conv(a, b), expected = conv(c, d);
  CHECK(same_bits(values(y.value()), values(expected.value())));
  const Tensor g = normal(y.shape(), 7);
  y.backward(g);
  expected.backward(g);
  CHECK(values(a.grad()) == values(c.grad()));
  CHECK(values(b.grad()) == values(d.grad()));
}

TEST_CASE("signed codes in groups and of more than 4 bits are multiplied as bytes, exactly, with and without padding") {
  const Tensor x = activations({2, 5, 5, 8}, 1, 1), wide = activations({2, 5, 5, 8}, 6, 1);
  const Tensor grouped = weights({6, 3, 3, 4}, 1), w = weights({6, 3, 3, 8}, 1);
  for (const int padding : {0, 1}) {
    const Var y = conv2d(x, grouped, {}, {.padding = padding, .groups = 2});
    CHECK(values(y.value()) == expected_conv(x, grouped, {}, padding));
    CHECK(values(conv2d(wide, w, {}, {.padding = padding}).value()) == expected_conv(wide, w, {}, padding));
  }
}

TEST_CASE("weights are packed once for every change of them, not in every forward pass") {
  use_kernels("scalar");           // whose choice between bits and bytes is the same everywhere
  for (const int bits : {1, 8}) {  // planes of bits, and bytes
    INFO(bits, " bits");
    auto coded = signed_codes(40 * 9 * 64, bits, {Real(0.5)}, 4);
    const Tensor x = Tensor::deferred({2, 6, 6, 64}, [] {
      auto codes = std::make_shared<Coded>(2 * 6 * 6 * 64, 2, Coded::Sign::none, std::vector<Real>{1});
      for (std::int64_t i = 0; i < codes->size(); ++i)
        codes->codes()[i] = static_cast<std::uint8_t>((i * 7 + i / 64) % 4);
      return codes;
    }());
    const Tensor w = Tensor::deferred({40, 3, 3, 64}, coded);
    const auto run = [&] { return values(conv(x, w).value()); };
    const std::uint64_t first = blocks_taken(run), second = blocks_taken(run), third = blocks_taken(run);
    CHECK(second < first);
    CHECK(third == second);
    const auto packed = [&] { return std::as_const(*coded).packed_for(BitCode::unsigned_bits(2), kLayer); };
    const auto before = packed();
    CHECK(before->kernel() == (bits == 1 ? CodeKernel::bits : CodeKernel::bytes));
    run();
    CHECK(packed() == before);

    const std::vector<Real> y = run();
    coded->signed_codes()[1] = static_cast<std::int8_t>(-coded->signed_codes()[1] | 1);  // of a channel without zeros
    CHECK(blocks_taken(run) == first);
    CHECK(packed() != before);
    const Tensor fresh = decoded(Tensor::deferred({40, 3, 3, 64}, coded));
    const std::vector<Real> changed = run(), expected = values(conv(decoded(x), fresh).value());
    CHECK(changed != y);
    for (std::size_t i = 0; i < changed.size(); ++i) CHECK(changed[i] == doctest::Approx(expected[i]));
  }
  use_kernels("auto");
}

TEST_CASE("weights are packed again for another kernel table, and give the same bits") {
  const Tensor x = activations({2, 6, 6, 64}, 1), w = weights({40, 3, 3, 64}, 1);
  const std::vector<Real> expected = values(conv(x, w).value());
  std::shared_ptr<const CodeWeights> last;
  with_each_table([&] {
    CHECK(values(conv(x, w).value()) == expected);
    const auto now = w.coded()->packed_for(BitCode::signs(), kLayer);
    CHECK(now != last);
    last = now;
  });
}

TEST_CASE("two threads that multiply by the same weights at once pack them once") {
  const Tensor x = activations({2, 6, 6, 64}, 1), w = weights({40, 3, 3, 64}, 1);
  std::vector<Real> results[2];
  {
    std::jthread other([&] { results[1] = values(conv(x, w).value()); });
    results[0] = values(conv(x, w).value());
  }
  CHECK(results[0] == results[1]);
  CHECK(results[0] == expected_conv(x, w, {}, 1));
}

TEST_CASE("codes with a sign survive max pooling, reshaping and subsampling, and go on into a product of integers") {
  for (const int bits : {1, 3}) {
    INFO(bits, " bits");
    const Tensor x = activations({3, 7, 6, 40}, bits);
    const Var a = Var::leaf(x), b = Var::leaf(decoded(x));
    for (const PoolOptions& options : {PoolOptions{.kernel = 2}, PoolOptions{.kernel = 3, .stride = 2, .padding = 1}}) {
      const Var pooled = max_pool2d(a, options), expected = max_pool2d(b, options);
      REQUIRE(pooled.value().coded() != nullptr);
      CHECK(pooled.value().coded()->is_signed());
      CHECK(pooled.value().coded()->bits() == bits);
      CHECK(values(pooled.value()) == values(expected.value()));
      const Tensor g = normal(pooled.shape(), 8);
      pooled.backward(g);
      expected.backward(g);
      CHECK(values(a.grad()) == values(b.grad()));
      const Tensor w = weights({5, 3, 3, 40}, 1);
      CHECK(values(conv(pooled, w).value()) == expected_conv(pooled.value(), w, {}, 1));
    }
    const Var flat = reshape(a, {3, -1});
    REQUIRE(flat.value().coded() != nullptr);
    CHECK(values(flat.value()) == values(b.value()));
    const Var fewer = subsample2d(a, 2, 0), padded = subsample2d(a, 2, 4);
    CHECK(fewer.value().coded()->bits() == bits);
    CHECK(padded.value().coded()->bits() == std::max(bits, 2));  // there are zeros between signs
    const Tensor w = weights({5, 3, 3, 44}, 1);
    CHECK(values(conv(padded, w).value()) == expected_conv(padded.value(), w, {}, 1));
  }
}

TEST_CASE("a sign activation behind a pooling goes through a network of signs as codes") {
  const ActivationMap signs_of{.op = "sign",
                               .grid = ActivationGrid{.quantizer = {1, 1, kernels::Rounding::sign}, .bits = 1}};
  const auto act = [&](const Var& v) { return activate(v, signs_of); };
  const Tensor x = normal({2, 8, 8, 32}, 5), w = weights({16, 3, 3, 32}, 1), fc = weights({10, 16 * 16}, 1);
  const Var signs = max_pool2d(act(x));
  const Var hidden = act(conv(signs, w));
  CHECK(values(hidden.value()) == values(act(Tensor({2, 4, 4, 16}, expected_conv(signs.value(), w, {}, 1))).value()));
  const Var flat = reshape(hidden, {2, -1});
  REQUIRE(flat.value().coded() != nullptr);
  CHECK(values(linear(flat, fc).value()) ==
        expected_conv(flat.value().reshaped({2, 1, 1, 256}), fc.reshaped({10, 1, 1, 256}), {}, 0));
}

TEST_CASE("signs that hold a zero, and unsigned codes as packed weights, are errors") {
  auto coded = signed_codes(2 * 5 * 5 * 8, 1, {1}, 1);
  coded->signed_codes()[17] = 0;
  const Tensor x = Tensor::deferred({2, 5, 5, 8}, coded), w = weights({6, 3, 3, 8}, 1);
  CHECK_SAYS(complaint_of([&] { conv(x, w); }), "given a value that has no level");
  const Coded unsigned_codes(9 * 8, 2, Coded::Sign::none, {1});
  CHECK_SAYS(complaint_of([&] { unsigned_codes.packed_for(BitCode::signs(), bit_linear_shape(1, 8, 9)); }),
             "given unsigned codes");
}
