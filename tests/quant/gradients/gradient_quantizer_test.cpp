// Gradient quantizers beside their papers' lists: names, awkward tensors, threads, tables.
#include "quant/gradients/gradient_quantizer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "quant/math/block_householder.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::gradient_quantizer;

namespace {

const std::vector<std::string> kShipped{"dorefa", "ptq", "psq", "bhq"};

Tensor gaussian_tensor(const Shape& shape, std::uint64_t seed, double mean = 0) {
  Tensor g = Tensor::uninitialized(shape);
  Rng(seed).normal(g.mutable_data(), static_cast<std::size_t>(g.numel()), static_cast<Real>(mean));
  return g;
}

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("gradient quantizers are known by name, and others can be added") {
    const auto names = quant::gradient_quantizer_names();
    REQUIRE(names.size() >= kShipped.size());
    CHECK(std::equal(kShipped.begin(), kShipped.end(), names.begin()));
    for (const std::string& name : kShipped) {
      CHECK(gradient_quantizer(name, {.bits = 5})->name() == name);
      CHECK(gradient_quantizer(name, {.bits = 5})->bits() == 5);
      for (const int bits : {0, 9}) CHECK_THROWS_AS(gradient_quantizer(name, {.bits = bits}), UsageError);
    }
    CHECK(complaint_of([] { gradient_quantizer("float", {}); }) ==
          "gradient quantizer: given 'float', expected one of: dorefa ptq psq bhq");
    quant::register_gradient_quantizer("test_half", [](const quant::GradientQuantizerOptions& o) {
      return gradient_quantizer("psq", {.bits = (o.bits + 1) / 2});
    });
    CHECK(gradient_quantizer("test_half", {.bits = 8})->bits() == 4);
    CHECK_THROWS_AS(quant::register_gradient_quantizer("ptq", {}), UsageError);
  }

  TEST_CASE("quantized gradients have at most 2^bits levels on their grid, which spans the range") {
    const Tensor g = gaussian_tensor({6, 3, 4, 5}, 1, 0.3);
    for (const std::string name : {"dorefa", "ptq", "psq"})
      for (const int bits : {1, 2, 5}) {
        INFO(name, " ", bits, " bits");
        const Tensor q = gradient_quantizer(name, {.bits = bits})->quantize(g, Rng(2));
        REQUIRE(q.shape() == g.shape());
        const std::int64_t group = name == "ptq" ? g.numel() : 60;
        for (std::int64_t first = 0; first < g.numel(); first += group) {
          const std::set<Real> levels(q.data() + first, q.data() + first + group);
          CHECK(levels.size() <= std::size_t{1} << bits);
          CHECK(levels.size() > std::size_t{1} << (bits - 1));
          const auto [low, high] = std::minmax_element(g.data() + first, g.data() + first + group);
          const Real most = std::max(-*low, *high), least = name == "dorefa" ? -most : *low;
          CHECK(*levels.begin() >= least - Real(1e-5));
          CHECK(*levels.rbegin() <= (name == "dorefa" ? most : *high) + Real(1e-5));
        }
      }
  }

  TEST_CASE("gradients that leave little to choose: empty, one or two samples, constants, zeros, one sign") {
    for (const std::string& name : kShipped) {
      INFO(name);
      const auto quantizer = gradient_quantizer(name, {.bits = 4});
      const auto q = [&](const Tensor& g) { return quantizer->quantize(g, Rng(1)); };
      for (const Shape& empty : {Shape{0, 3}, Shape{3, 0}, Shape{0}}) {
        CHECK(q(Tensor(empty)).shape() == empty);
        CHECK(quantizer->variance(Tensor(empty)).empty());
      }
      CHECK_THROWS_AS(gradient_quantizer("psq", {})->quantize(Tensor::scalar(1), Rng(1)), Error);
      CHECK(values(q(Tensor({5, 7}))) == std::vector<Real>(35, 0));
      if (name != "dorefa") {  // whose grid is symmetric
        CHECK(values(q(Tensor({5, 7}, Real(-2.5)))) == std::vector<Real>(35, Real(-2.5)));
        CHECK(q(Tensor({1, 1}, Real(3))).item() == 3);
      }
      for (const std::int64_t samples : {1, 2, 3})
        for (const double mean : {0.0, 100.0, -100.0}) {
          const Tensor g = gaussian_tensor({samples, 50}, 4, mean), y = q(g);
          const double bound = quantizer->variance_bound(g);
          double squares = 0;
          for (std::int64_t i = 0; i < g.numel(); ++i) squares += std::pow(static_cast<double>(y[i] - g[i]), 2);
          CHECK(squares > 0);
          CHECK(squares <= 5 * bound);
        }
    }
  }

  TEST_CASE("constant samples among others stay as they are under psq and bhq") {
    Tensor g = gaussian_tensor({8, 20}, 6);
    for (const int row : {1, 4, 5})
      for (int i = 0; i < 20; ++i) g.mutable_data()[20 * row + i] = row == 4 ? Real(1e3) : Real(0);
    const Tensor psq = gradient_quantizer("psq", {.bits = 4})->quantize(g, Rng(1));
    const Tensor bhq = gradient_quantizer("bhq", {.bits = 4})->quantize(g, Rng(1));
    for (const int row : {1, 4, 5})
      for (int i = 20 * row; i < 20 * row + 20; ++i) {
        CHECK(psq[i] == g[i]);
        CHECK(bhq[i] == doctest::Approx(g[i]).epsilon(1e-3));  // noise of the group, scaled by its range of 0
      }
  }

  TEST_CASE("what is not finite makes its grid NaN: the sample, or all of the tensor") {
    for (const Real bad : {Real(INFINITY), -Real(INFINITY), Real(NAN)})
      for (const std::string& name : kShipped) {
        INFO(name);
        Tensor g = gaussian_tensor({4, 9}, 2);
        g.mutable_data()[13] = bad;
        const Tensor q = gradient_quantizer(name, {.bits = 4})->quantize(g, Rng(1));
        for (int i = 0; i < 36; ++i) CHECK(std::isnan(q[i]) == (i / 9 == 1 || name == "ptq" || name == "bhq"));
      }
  }

  TEST_CASE("gradients at the ends of the range of floats: unbiased, with the variance that is stated") {
    constexpr std::int64_t kDraws = 2000;
    for (const std::string& name : kShipped)
      for (const double size : {1e-36, 1e-34, 5e-34, 8.6e37, 2.6e38, 6e38})
        for (const int bits : {1, 2, 8}) {
          if (name == "bhq" && size > 1e38) continue;  // whose results are beyond the largest float
          if (bits == 8 && size < 1e-35) continue;     // points that are no normal float
          INFO(name, " ", bits, " bits, range ", size);
          Tensor g = Tensor::uninitialized({4, 12});
          Rng(5).uniform(g.mutable_data(), 48);
          for (Real& v : g.mut()) v = static_cast<Real>(size * (static_cast<double>(v) - 0.5));
          const auto quantizer = gradient_quantizer(name, {.bits = bits});
          const std::vector<double> exact = quantizer->variance(g);
          const auto m = quant::gradient_moments(*quantizer, g, kDraws, Rng(7));
          double seen = 0, stated = 0;
          for (std::size_t i = 0; i < exact.size(); ++i) {
            CHECK(std::abs(m.mean[i] - static_cast<double>(g.view()[i])) <=
                  6 * std::sqrt(exact[i] / kDraws) + 1e-4 * size);
            seen += m.variance[i];
            stated += exact[i];
          }
          CHECK(seen / stated == doctest::Approx(1).epsilon(0.05));
        }
  }

  TEST_CASE("what one quantizer learns about the samples changes nothing for the next") {
    for (const Shape& shape : {Shape{33, 10}, Shape{5, 40000}}) {
      const Tensor g = gaussian_tensor(shape, 3, 0.1);
      for (const std::string& first : kShipped)
        for (const std::string& second : kShipped) {
          INFO(first, " then ", second, " ", shape);
          quant::SampleRanges known;
          const auto a = gradient_quantizer(first, {.bits = 5}), b = gradient_quantizer(second, {.bits = 8});
          CHECK(values(a->quantize_with(known, g, Rng(1))) == values(a->quantize(g, Rng(1))));
          CHECK(known.empty() == (first == "dorefa"));
          CHECK(values(b->quantize_with(known, g, Rng(2))) == values(b->quantize(g, Rng(2))));
        }
    }
  }

  TEST_CASE("quantized gradients: the same bits for any number of threads") {
    for (const std::string& name : kShipped)
      for (const Shape& shape : {Shape{33, 10}, Shape{128, 8, 8, 16}, Shape{3, 50000}}) {
        INFO(name, " ", shape);
        const Tensor g = gaussian_tensor(shape, 3);
        CHECK(
            same_with_two_threads([&] { return values(gradient_quantizer(name, {.bits = 5})->quantize(g, Rng(4))); }));
      }
  }

  TEST_CASE("quantized gradients: the same bits for every kernel table") {
    for (const std::string& name : kShipped)
      for (const Shape& shape : {Shape{33, 10}, Shape{40, 1500}, Shape{3, 40001}}) {
        INFO(name, " ", shape);
        const Tensor g = gaussian_tensor(shape, 3, 0.1);
        std::vector<Real> reference;
        with_each_table([&] {
          const auto q = values(gradient_quantizer(name, {.bits = 5})->quantize(g, Rng(4)));
          if (reference.empty()) reference = q;
          CHECK(same_bits(q, reference));
        });
      }
  }

  TEST_CASE("householder groups: each row once, outliers lead, what cannot be grouped is refused") {
    std::vector<double> ranges(100);
    for (std::size_t i = 0; i < ranges.size(); ++i) ranges[i] = std::pow(0.8, static_cast<double>((i * 37) % 100));
    const auto groups = householder_groups(ranges);
    std::set<std::int64_t> seen;
    double least_large = INFINITY, most_small = 0;
    for (const HouseholderGroup& g : groups) {
      CHECK(g.rows.size() >= 2);
      seen.insert(g.rows.begin(), g.rows.end());
      least_large = std::min(least_large, ranges[static_cast<std::size_t>(g.rows[0])]);
      for (std::size_t j = 1; j < g.rows.size(); ++j)
        most_small = std::max(most_small, ranges[static_cast<std::size_t>(g.rows[j])]);
    }
    CHECK(seen.size() == 100);
    CHECK(least_large >= most_small);
    for (const auto& none : std::vector<std::vector<double>>{{}, {1, 2}, {0, 0, 0}, {1, -1, 2}, {1, NAN, 2}})
      CHECK_THROWS_AS(householder_groups(none), Error);
  }
}
