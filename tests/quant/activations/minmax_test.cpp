// StatQuant's forward quantizers.
#include "quant/activations/minmax.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/ops.h"
#include "nn/init.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/weights/minmax.h"
#include "quant/weights/projection.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using quant::zero_point_grid;

TEST_SUITE("paper-statquant") {
  TEST_CASE("paper-statquant 4: activations go to the nearest level between 0 and the largest, straight through") {
    const Tensor x = nn::uniform({5, 40}, 3, Rng(1));
    Real most = 0;
    for (const Real v : x.view()) most = std::max(most, v);
    for (const int bits : {2, 4, 8}) {
      INFO(bits, " bits");
      const double levels = (1 << bits) - 1, step = static_cast<double>(most) / levels;
      quant::MinMaxActivation act(bits);
      const Var in = Var::leaf(x), y = act(in);
      y.backward(Tensor(x.shape(), Real(2)));
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        const double positive = std::max(static_cast<double>(x[i]), 0.0);
        CHECK(std::abs(static_cast<double>(y.value()[i]) - positive) <= 0.5 * step + 1e-6);
        const double k = static_cast<double>(y.value()[i]) / step;
        CHECK(std::abs(k - std::round(k)) < 1e-3);
        CHECK(in.grad()[i] == (x[i] > 0 ? 2 : 0));
      }
      REQUIRE(y.value().coded() != nullptr);
      CHECK(y.value().coded()->bits() == bits);
      act.eval();
      CHECK(std::ranges::equal(act(in).value().view(), y.value().view()));
    }
  }

  TEST_CASE("paper-statquant 4: activations without a positive value, empty ones, and what is not finite") {
    quant::MinMaxActivation act(8);
    for (const Real v : act(Tensor({3, 4}, Real(-1))).value().view()) CHECK(v == 0);
    CHECK(act(Tensor({0, 4})).value().shape() == Shape{0, 4});
    for (const Real bad : {Real(INFINITY), Real(NAN)}) {
      Tensor x({2, 2}, Real(1));
      x.mutable_data()[3] = bad;
      for (const Real v : act(x).value().view()) CHECK(std::isnan(v));
    }
    CHECK_THROWS_AS(quant::MinMaxActivation(0), UsageError);
    CHECK_THROWS_AS(quant::activations().part("minmax").with("surrogate", "tanh"), UsageError);
  }

  TEST_CASE(
      "paper-statquant 4: the zero point of weights is integral, and both ends are on the grid or within "
      "it") {
    const auto grid = zero_point_grid(-1, 1.5, 255);  // floor(102) = 102
    CHECK(grid.zero == 102);
    CHECK(grid.step == doctest::Approx(1.0 / 102));
    for (const auto& range : std::vector<std::pair<double, double>>{
             {-1, 1}, {-0.3, 2}, {-2, 0.3}, {-1e-9, 1}, {-1, 1e-9}, {0, 1}, {-1, 0}, {-0.004, 1}})
      for (const int bins : {3, 15, 255}) {
        const double low = range.first, high = range.second;
        INFO(low, " ", high, " ", bins);
        const auto g = zero_point_grid(low, high, bins);
        CHECK(g.zero >= 0);
        CHECK(g.zero <= bins);
        CHECK(-g.zero * g.step <= low * (1 - 1e-12));
        CHECK((bins - g.zero) * g.step >= high * (1 - 1e-12));
        CHECK(g.step <= 2 * (high - low) / bins * (1 + 1e-9) + (low < 0 && high > 0 ? (high - low) / bins : 0));
      }
    CHECK(zero_point_grid(0, 0, 255).step == 0);
    CHECK_THROWS_AS(zero_point_grid(0.1, 1, 255), Error);
    CHECK_THROWS_AS(zero_point_grid(-1, INFINITY, 255), Error);
  }

  TEST_CASE("paper-statquant 4: weights are rounded to the nearest point of that grid, zeros stay") {
    Tensor w = nn::uniform({6, 3, 3, 4}, 0.4, Rng(3));
    for (const int i : {0, 50, 100}) w.mutable_data()[i] = 0;
    w.mutable_data()[7] = Real(0.9);
    for (const bool per_channel : {false, true}) {
      const auto projection =
          quant::weight_projection({"minmax", quant::MinMaxWeightOptions{.bits = 4, .per_channel = per_channel}});
      CHECK(projection->name() == "minmax");
      CHECK(projection->bits() == 4);
      const Tensor p = projection->project(w);
      for (const int i : {0, 50, 100}) CHECK(p[i] == 0);
      const std::int64_t n = per_channel ? 36 : w.numel();
      for (std::int64_t first = 0; first < w.numel(); first += n) {
        const auto [low, high] = std::minmax_element(w.data() + first, w.data() + first + n);
        const auto grid = zero_point_grid(static_cast<double>(*low), static_cast<double>(*high), 15);
        std::set<Real> levels;
        for (std::int64_t i = first; i < first + n; ++i) {
          CHECK(std::abs(static_cast<double>(p[i] - w[i])) <= 0.5 * grid.step * (1 + 1e-5));
          levels.insert(p[i]);
        }
        CHECK(levels.size() <= 16);
        CHECK(levels.size() >= 8);
      }
      const Tensor g = nn::uniform(w.shape(), 1, Rng(4));
      CHECK(std::ranges::equal(projection->gradient(w, g).weight.view(), g.view()));
    }
  }

  TEST_CASE("paper-statquant 4: weights of one sign, zeros, none, and what is not finite") {
    const auto projection = quant::weight_projection({"minmax", quant::MinMaxWeightOptions{.bits = 8}});
    for (const double mean : {3.0, -3.0}) {
      Tensor w = nn::uniform({500}, 1, Rng(3));
      for (Real& v : w.mut()) v += static_cast<Real>(mean);
      const Tensor p = projection->project(w);
      for (int i = 0; i < 500; ++i) CHECK(std::abs(static_cast<double>(p[i] - w[i])) <= 0.5 * 4.0 / 255 * 1.01);
    }
    for (const Real v : projection->project(Tensor({7})).view()) CHECK(v == 0);
    CHECK(projection->project(Tensor({0, 3})).shape() == Shape{0, 3});
    for (const Real bad : {Real(INFINITY), Real(NAN)}) {
      Tensor w({5}, Real(1));
      w.mutable_data()[2] = bad;
      for (const Real v : projection->project(w).view()) CHECK(std::isnan(v));
    }
    const Tensor wide({4}, {Real(-3e38), 0, Real(1e38), Real(3.3e38)});  // finite, but not from end to end
    const Tensor rounded = projection->project(wide);
    for (int i = 0; i < 4; ++i) CHECK(std::abs(double(rounded[i]) - double(wide[i])) <= 0.5 * 6.3e38 / 254 * 1.01);
    CHECK(rounded[1] == 0);
    for (const int bits : {1, 9})
      CHECK_THROWS_AS(quant::weight_projection({"minmax", quant::MinMaxWeightOptions{.bits = bits}}), UsageError);
  }
}
