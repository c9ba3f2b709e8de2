#include "core/deferred.h"

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/ops.h"
#include "nn/init.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

std::shared_ptr<Coded> activation_codes(std::int64_t size) {
  auto coded = std::make_shared<Coded>(size, 4, Coded::Sign::none, std::vector<Real>{Real(0.3)});
  for (std::int64_t i = 0; i < size; ++i) coded->codes()[i] = static_cast<std::uint8_t>((i * 7 + i / 5) % 16);
  return coded;
}

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

// Counts how many elements anybody asked for.
class Counted : public Deferred {
 public:
  explicit Counted(std::atomic<std::int64_t>& read) : read_(read) {}
  void read(std::int64_t begin, std::int64_t end, Real* out) const override {
    read_ += end - begin;
    for (std::int64_t i = begin; i < end; ++i) out[i - begin] = static_cast<Real>(i);
  }
  std::int64_t granule() const override { return 3; }

 private:
  std::atomic<std::int64_t>& read_;
};

}  // namespace

TEST_CASE("a deferred tensor is made once, for all its copies, and only when somebody asks") {
  std::atomic<std::int64_t> read = 0;
  const std::int64_t size = 3 * 70001;
  const Tensor t = Tensor::deferred({size}, std::make_shared<Counted>(read)), copy = t.reshaped({3, size / 3});
  CHECK(t.defined());
  CHECK(t.numel() == size);
  CHECK(read == 0);
  CHECK(copy[size - 1] == static_cast<Real>(size - 1));
  CHECK(t[12345] == 12345);
  CHECK(read == size);
}

TEST_CASE("writing to a deferred tensor leaves its copies alone and drops its codes") {
  const auto coded = activation_codes(40);
  Tensor t = Tensor::deferred({40}, coded);
  const Tensor copy = t;
  CHECK(t.coded() == coded.get());
  t.mutable_data()[3] = 7;
  CHECK(t[3] == 7);
  CHECK(t[4] == copy[4]);
  CHECK(t.coded() == nullptr);
  CHECK(copy.coded() == coded.get());
  CHECK(copy[3] == Real(0.3) * coded->codes()[3]);
}

TEST_CASE("signed codes with a scale for each slice of the first axis decode to scale times code") {
  auto coded = std::make_shared<Coded>(12, 3, Coded::Sign::two_s_complement, std::vector<Real>{1, 2, Real(0.5)});
  std::iota(coded->signed_codes(), coded->signed_codes() + 12, -6);
  const Tensor t = Tensor::deferred({3, 4}, coded);
  CHECK(values(t) == std::vector<Real>{-6, -5, -4, -3, -4, -2, 0, 2, 1, Real(1.5), 2, Real(2.5)});
  Real piece[5];
  coded->read(3, 8, piece);
  CHECK(std::vector<Real>(piece, piece + 5) == std::vector<Real>{-3, -4, -2, 0, 2});
}

TEST_CASE("codes that fit no tensor are refused") {
  CHECK_SAYS(complaint_of([] { Coded(12, 9, Coded::Sign::none, {1}); }), "given 9 bits");
  CHECK_SAYS(complaint_of([] { Coded(12, 4, Coded::Sign::none, {}); }), "0 scales");
  CHECK_SAYS(complaint_of([] { Coded(12, 4, Coded::Sign::none, std::vector<Real>(5)); }), "5 scales");
}

TEST_CASE("a convolution of a deferred image gives the bits of the same image in memory, forward and back") {
  const std::pair<std::int64_t, std::int64_t> channels_and_groups[] = {{3, 1}, {16, 1}, {33, 1}, {16, 2}};
  for (const auto& [channels, groups] : channels_and_groups) {
    const Shape shape{5, 9, 8, channels};
    const Tensor plain(shape, values(Tensor::deferred(shape, activation_codes(shape.numel()))));
    const Tensor w = nn::normal({20, 3, 3, channels / groups}, 1, Rng(1)), dy = nn::normal({5, 5, 4, 20}, 1, Rng(2));
    std::vector<std::vector<Real>> results;
    for (const Tensor& x : {plain, Tensor::deferred(shape, activation_codes(shape.numel()))}) {
      const Var weight = Var::leaf(w);
      const Var y = conv2d(x, weight, {}, {.stride = 2, .padding = 1, .groups = groups});
      y.backward(dy);
      results.push_back(values(y.value()));
      results.push_back(values(weight.grad()));
    }
    CHECK(results[0] == results[2]);
    CHECK(results[1] == results[3]);
  }
}

TEST_CASE("subsampling takes every other pixel and adds zeros behind, of codes as of values") {
  const Shape shape{2, 5, 4, 3};
  const Tensor coded = Tensor::deferred(shape, activation_codes(shape.numel()));
  const Tensor plain(shape, values(Tensor::deferred(shape, activation_codes(shape.numel()))));
  const Var a = subsample2d(coded, 2, 1), b = subsample2d(plain, 2, 1);
  CHECK(a.shape() == Shape{2, 3, 2, 4});
  CHECK(a.value().coded() != nullptr);
  CHECK(values(a.value()) == values(b.value()));
  for (std::int64_t i = 0; i < b.numel(); ++i) {
    const std::int64_t c = i % 4, x = i / 4 % 2, y = i / 8 % 3, n = i / 24;
    CHECK(b.value()[i] == (c == 3 ? Real(0) : plain[((n * 5 + 2 * y) * 4 + 2 * x) * 3 + c]));
  }
}

TEST_CASE("subsampling adds zeros in front, too, of codes as of values") {
  const Shape shape{2, 5, 4, 3};
  const Tensor coded = Tensor::deferred(shape, activation_codes(shape.numel()));
  const Tensor plain(shape, values(Tensor::deferred(shape, activation_codes(shape.numel()))));
  const Var a = subsample2d(coded, 2, 4, 2), b = subsample2d(plain, 2, 4, 2);
  CHECK(a.shape() == Shape{2, 3, 2, 7});
  CHECK(a.value().coded() != nullptr);
  CHECK(values(a.value()) == values(b.value()));
  for (std::int64_t i = 0; i < b.numel(); ++i) {
    const std::int64_t c = i % 7 - 2, x = i / 7 % 2, y = i / 14 % 3, n = i / 42;
    CHECK(b.value()[i] == (c < 0 || c > 2 ? Real(0) : plain[((n * 5 + 2 * y) * 4 + 2 * x) * 3 + c]));
  }
  CHECK_THROWS_AS(subsample2d(plain, 2, 1, 2), Error);
  CHECK_THROWS_AS(subsample2d(plain, 2, 1, -1), Error);
}

namespace {

std::shared_ptr<Coded> weight_codes(std::int64_t size, std::int64_t outputs) {
  std::vector<Real> scales(static_cast<std::size_t>(outputs));
  for (std::size_t o = 0; o < scales.size(); ++o) scales[o] = Real(0.125) * static_cast<Real>(o + 1);
  auto coded = std::make_shared<Coded>(size, 4, Coded::Sign::two_s_complement, scales);
  for (std::int64_t i = 0; i < size; ++i) coded->signed_codes()[i] = static_cast<std::int8_t>(i * 5 % 15 - 7);
  return coded;
}

Tensor decoded(const Tensor& t) { return Tensor(t.shape(), values(t)); }

}  // namespace

TEST_CASE("codes times codes: sums of integers forward, the gradients of the decoded values") {
  const Shape image{3, 6, 5, 8}, filter{7, 3, 3, 8}, rows{4, 9}, dense{5, 9};
  const auto conv = [](const Var& x, const Var& w) { return conv2d(x, w, {}, {.stride = 1, .padding = 1}); };
  const auto fc = [](const Var& x, const Var& w) { return linear(x, w); };
  const auto check_op = [](const auto& op, const Shape& xs, const Shape& ws) {
    const Tensor x = Tensor::deferred(xs, activation_codes(xs.numel()));
    const Tensor w = Tensor::deferred(ws, weight_codes(ws.numel(), ws[0]));
    const Var coded_x = Var::leaf(x), coded_w = Var::leaf(w), x_values = Var::leaf(decoded(x)),
              w_values = Var::leaf(decoded(w));
    const Var y = op(coded_x, coded_w), expected = op(x_values, w_values);
    for (std::int64_t i = 0; i < y.numel(); ++i)
      CHECK(y.value()[i] == doctest::Approx(expected.value()[i]).epsilon(1e-5));
    const Tensor g = nn::normal(y.shape(), 1, Rng(7));
    y.backward(g);
    expected.backward(g);
    CHECK(values(coded_x.grad()) == values(x_values.grad()));
    CHECK(values(coded_w.grad()) == values(w_values.grad()));
    // Integers, each scaled once: a whole number of scales (float only, double multiplies the decoded values).
    for (std::int64_t i = 0; sizeof(Real) == sizeof(float) && i < y.numel(); ++i) {
      const Real scale = x.coded()->scales()[0] * w.coded()->scales()[static_cast<std::size_t>(i % ws[0])];
      CHECK(y.value()[i] == scale * std::round(y.value()[i] / scale));
    }
  };
  check_op(conv, image, filter);
  check_op(fc, rows, dense);
}

TEST_CASE("max pooling of codes gives the codes of the largest values, and the gradient of those") {
  const Shape shape{3, 6, 4, 5};
  const Tensor coded = Tensor::deferred(shape, activation_codes(shape.numel()));
  const Var a = Var::leaf(coded), b = Var::leaf(decoded(coded));
  const Var pooled = max_pool2d(a), expected = max_pool2d(b);
  CHECK(pooled.value().coded() != nullptr);
  CHECK(values(pooled.value()) == values(expected.value()));
  const Tensor g = nn::normal(pooled.shape(), 1, Rng(8));
  pooled.backward(g);
  expected.backward(g);
  CHECK(values(a.grad()) == values(b.grad()));
}
