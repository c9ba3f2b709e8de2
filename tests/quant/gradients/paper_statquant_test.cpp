// The acceptance list of Chen, Gai, Yao, Mahoney, Gonzalez, "A statistical framework for low-bitwidth
// training of deep neural networks" (NeurIPS 2020, arXiv 2010.14298), in double. Reference numbers are exact
// variances of X_ij = a_i sin(1 + 0.7 i + 1.3 j), i < 8, j < 16.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "quant/gradients/gradient_quantizer.h"
#include "quant/math/block_householder.h"
#include "quant/math/gradient_variance.h"

using namespace coarsegrad;
using quant::gradient_moments;
using quant::gradient_quantizer;

namespace {

double sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

struct Case {
  const char* name;
  std::vector<double> scales;
  std::vector<std::int64_t> small_rows;  // of each group
  struct Row {
    int bits;
    double ptq, psq, bhq, ptq_bound, psq_bound;
  } rows[2];
};
const Case kCases[] = {{"G1",
                        {1, .01, .01, .01, .01, .01, .01, .01},
                        {7},
                        {{4, 0.51613725, 0.040309728, 0.0057864204, 0.557164, 0.0696934},
                         {8, 1.3687659e-3, 1.2979847e-4, 2.1712754e-5, 1.9279e-3, 2.41153e-4}}},
                       {"G2",
                        {1, .6, .02, .015, .01, .01, .008, .005},
                        {4, 2},
                        {{4, 0.48793772, 0.05340305, 0.014496765, 0.557164, 0.0950885},
                         {8, 1.3060475e-3, 1.8271786e-4, 5.2415414e-5, 1.9279e-3, 3.29026e-4}}},
                       {"G3",
                        {1, 1, 1, 1, 1, 1, 1, 1},
                        {2, 1, 2},
                        {{4, 0.35538132, 0.31112829, 0.31695636, 0.568491, 0.548274},
                         {8, 1.2190358e-3, 1.0707693e-3, 1.0809430e-3, 1.9671e-3, 1.89714e-3}}}};

Tensor gradient_of(const Case& c) {
  Tensor x = Tensor::uninitialized({8, 16});
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 16; ++j)
      x.mutable_data()[16 * i + j] =
          static_cast<Real>(c.scales[static_cast<std::size_t>(i)] * std::sin(1 + 0.7 * i + 1.3 * j));
  return x;
}

// Rows of N(0, scale(i)^2).
template <class Scale>
Tensor gaussian_rows(std::int64_t rows, std::int64_t cols, Rng rng, Scale scale) {
  Tensor x = Tensor::uninitialized({rows, cols});
  rng.normal(x.mutable_data(), static_cast<std::size_t>(x.numel()));
  for (std::int64_t i = 0; i < x.numel(); ++i) x.mutable_data()[i] *= static_cast<Real>(scale(i / cols));
  return x;
}

double variance(const char* name, int bits, const Tensor& x) {
  return sum(gradient_quantizer(name, {.bits = bits})->variance(x));
}
double bound(const char* name, int bits, const Tensor& x) {
  return gradient_quantizer(name, {.bits = bits})->variance_bound(x);
}

struct Transform {
  std::vector<Interval<double>> ranges;
  std::vector<HouseholderGroup> groups;

  explicit Transform(const Tensor& x) : ranges(static_cast<std::size_t>(x.size(0))) {
    row_ranges<double>(x.size(0), x.size(1), x.data(), RowRange::min_max, ranges.data());
    std::vector<double> lengths;
    for (const auto& r : ranges) lengths.push_back(r.length());
    groups = householder_groups(lengths);
  }
};

}  // namespace

TEST_SUITE("paper-statquant") {
  TEST_CASE("paper-statquant 8.1: exact variances and bounds of the reference cases") {
    for (const Case& c : kCases)
      for (const auto& row : c.rows) {
        INFO(c.name, " ", row.bits, " bits");
        const Tensor x = gradient_of(c);
        CHECK(variance("ptq", row.bits, x) == doctest::Approx(row.ptq).epsilon(1e-5));
        CHECK(variance("psq", row.bits, x) == doctest::Approx(row.psq).epsilon(1e-5));
        CHECK(variance("bhq", row.bits, x) == doctest::Approx(row.bhq).epsilon(1e-5));
        CHECK(bound("ptq", row.bits, x) == doctest::Approx(row.ptq_bound).epsilon(1e-5));
        CHECK(bound("psq", row.bits, x) == doctest::Approx(row.psq_bound).epsilon(1e-5));
      }
  }

  TEST_CASE("paper-statquant 8.1: groups of the reference cases, and scales and transform of the first") {
    for (const Case& c : kCases) {
      INFO(c.name);
      const Transform t(gradient_of(c));
      REQUIRE(t.groups.size() == c.small_rows.size());
      std::vector<std::int64_t> seen;
      for (std::size_t g = 0; g < t.groups.size(); ++g) {
        CHECK(t.groups[g].rows.size() == static_cast<std::size_t>(c.small_rows[g] + 1));
        seen.insert(seen.end(), t.groups[g].rows.begin(), t.groups[g].rows.end());
      }
      std::ranges::sort(seen);
      CHECK(seen == std::vector<std::int64_t>{0, 1, 2, 3, 4, 5, 6, 7});
    }
    const Transform t(gradient_of(kCases[0]));
    const HouseholderGroup& g = t.groups[0];
    CHECK(g.large_scale == doctest::Approx(1.0109761).epsilon(1e-6));
    CHECK(g.small_scale == doctest::Approx(6.8047632).epsilon(1e-6));
    const auto entry = [&](std::size_t i, std::size_t j) {  // of T = Q diag(s)
      return ((i == j) - g.beta() * g.v(i) * g.v(j)) * g.scale(j);
    };
    CHECK(entry(0, 0) == doctest::Approx(0.357434).epsilon(1e-5));
    CHECK(entry(0, 5) == doctest::Approx(2.405847).epsilon(1e-5));
    CHECK(entry(1, 0) == doctest::Approx(0.357434).epsilon(1e-5));
    CHECK(entry(1, 1) == doctest::Approx(5.488962).epsilon(1e-5));
    CHECK(entry(1, 7) == doctest::Approx(-1.315801).epsilon(1e-5));
  }

  TEST_CASE("paper-statquant 8.2: without rounding the transform is undone, scaled rows fill 0 to B") {
    for (const Case& c : kCases) {
      INFO(c.name);
      const Tensor x = gradient_of(c);
      const Transform t(x);
      std::vector<double> y(128), back(128);
      householder_transform(16, t.ranges, t.groups, x.data(), y.data());
      householder_inverse(16, t.ranges, t.groups, y.data(), back.data());
      for (std::size_t i = 0; i < 128; ++i) CHECK(std::abs(back[i] - x[static_cast<int>(i)]) <= 1e-6);
      std::vector<Interval<double>> ranges(8);
      row_ranges<double>(8, 16, y.data(), RowRange::min_max, ranges.data());
      for (std::size_t row = 0; row < 8; ++row) {
        const Grid<double> grid = grid_over(ranges[row], 15);
        double least = 99, most = -99;
        for (std::size_t j = 0; j < 16; ++j) {
          const double q = (y[16 * row + j] - grid.center) * grid.inverse + 7.5;
          least = std::min(least, q);
          most = std::max(most, q);
        }
        CHECK(std::abs(least) <= 1e-6);
        CHECK(std::abs(most - 15) <= 1e-6);
      }
    }
  }

  TEST_CASE("paper-statquant 8.3 and 8.4: unbiased, and the variance is the exact one, below its bound" *
            doctest::test_suite("paper-statquant long")) {
    constexpr std::int64_t kDraws = 4000;
    for (const Case& c : kCases)
      for (const int bits : {4, 8})
        for (const char* name : {"ptq", "psq", "bhq"}) {
          INFO(c.name, " ", name, " ", bits, " bits");
          const Tensor x = gradient_of(c);
          const auto quantizer = gradient_quantizer(name, {.bits = bits});
          const auto m = gradient_moments(*quantizer, x, kDraws, Rng(7).split(name));
          const std::vector<double> exact = quantizer->variance(x);
          double distance = 0, worst = 0;
          for (std::size_t i = 0; i < exact.size(); ++i) {
            const double error = m.mean[i] - x[static_cast<std::int64_t>(i)];
            worst = std::max(worst, std::abs(error) - 6 * std::sqrt(exact[i] / kDraws));
            distance += error * error;
          }
          CHECK(worst <= 1e-7);
          const double ratio = distance * kDraws / sum(exact);
          CHECK(ratio >= 0.2);
          CHECK(ratio <= 3);
          CHECK(sum(m.variance) == doctest::Approx(sum(exact)).epsilon(0.03));
          CHECK(sum(exact) <= quantizer->variance_bound(x));
        }
  }

  TEST_CASE("paper-statquant 8.5: the order of the variances") {
    const auto in_order = [](const Tensor& x, int bits) {
      CHECK(variance("psq", bits, x) <= bound("psq", bits, x));
      CHECK(bound("psq", bits, x) <= bound("ptq", bits, x));
    };
    for (const int bits : {4, 8}) {
      for (const Case& c : kCases) in_order(gradient_of(c), bits);
      CHECK(variance("bhq", bits, gradient_of(kCases[0])) < variance("psq", bits, gradient_of(kCases[0])) / 5);
      CHECK(variance("bhq", bits, gradient_of(kCases[1])) < variance("psq", bits, gradient_of(kCases[1])) / 3);
      CHECK(variance("bhq", bits, gradient_of(kCases[2])) <= 1.05 * variance("psq", bits, gradient_of(kCases[2])));
    }
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      const Tensor x = gaussian_rows(64, 128, Rng(seed), [](auto) { return 1; });
      in_order(x, 5);
      CHECK(variance("bhq", 5, x) <= 1.15 * variance("psq", 5, x));
    }
  }

  TEST_CASE("paper-statquant 8.6: with one outlier among N rows bhq wins a factor of about N") {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
      const Tensor x = gaussian_rows(64, 256, Rng(seed), [](std::int64_t i) { return i == 0 ? 1 : 1e-4; });
      const double ratio = variance("psq", 8, x) / variance("bhq", 8, x);
      INFO("seed ", seed);
      CHECK(ratio >= 45);
      CHECK(ratio <= 80);
      CHECK(bound("ptq", 8, x) / bound("psq", 8, x) == doctest::Approx(64).epsilon(0.01));
    }
  }

  TEST_CASE("paper-statquant 8.7: a bit less is about four times the variance") {
    const Rng rng(3);
    std::vector<double> scales(64);
    Rng(5).normal(scales.data(), scales.size());
    const Tensor x =
        gaussian_rows(64, 128, rng, [&](std::int64_t i) { return std::exp(scales[static_cast<std::size_t>(i)]); });
    for (const char* name : {"psq", "bhq"})
      for (int bits = 4; bits <= 7; ++bits) {
        INFO(name, " ", bits, " bits");
        const double ratio = variance(name, bits, x) / variance(name, bits + 1, x);
        CHECK(ratio >= 3);
        CHECK(ratio <= 5.5);
      }
  }
}
