// Projections of tensors: grids, groups, names. The mathematics of one group is tested in uniform_weight_test.cpp.
#include "quant/weights/projection.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/deferred.h"
#include "nn/init.h"
#include "quant/weights/lloyd.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

struct Options {
  int bits = 0;  // 0: the only one
  bool per_channel = false;
  int sign_of_zero = 1;
};

// One scale for each channel is xnor's only choice.
std::unique_ptr<quant::WeightProjection> made(std::string_view name, const Options& o) {
  Part part = quant::weight_projections().part(name);
  if (o.bits > 0) part.options.set("bits", o.bits);
  if (o.per_channel && part.options.has("per-channel")) part.options.set("per-channel", true);
  if (o.sign_of_zero != 1) part.options.set("sign-of-zero", o.sign_of_zero);
  return quant::weight_projection(part);
}

Tensor projected(std::string_view name, const Options& options, const Tensor& w) {
  return made(name, options)->project(w);
}

std::vector<std::pair<std::string, int>> shipped() {
  std::vector<std::pair<std::string, int>> all{{"binary", 1}, {"ternary", 2}, {"twn", 2}, {"sign", 1}, {"xnor", 1}};
  for (int bits = 1; bits <= 8; ++bits) {
    all.emplace_back("lloyd", bits);
    all.emplace_back("warm_lloyd", bits);
    all.emplace_back("exact", bits);
  }
  return all;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("projection: values are scale times code, and codes stay within the grid of the bits") {
    const Tensor w = nn::uniform({6, 3, 3, 5}, 1, Rng(1));
    for (const auto& each : shipped())
      for (const bool per_channel : {false, true}) {
        const std::string& name = each.first;
        const int bits = each.second;
        INFO(name, " ", bits, per_channel ? " per channel" : "");
        const auto projection = made(name, {.bits = bits, .per_channel = per_channel});
        CHECK(projection->name() == name);
        CHECK(projection->bits() == bits);
        const Tensor p = projection->project(w);
        REQUIRE(p.shape() == w.shape());
        REQUIRE(p.coded() != nullptr);
        const Coded& coded = *p.coded();
        CHECK(coded.bits() == bits);
        CHECK(coded.is_signed());
        REQUIRE(coded.scales().size() == (per_channel || name == "xnor" ? 6u : 1u));
        const auto group = w.numel() / static_cast<std::int64_t>(coded.scales().size());
        const int most = highest_weight_level(bits);
        int largest = 0;
        for (std::int64_t i = 0; i < w.numel(); ++i) {
          const int code = coded.signed_codes()[i];
          CHECK(p[i] == coded.scales()[static_cast<std::size_t>(i / group)] * static_cast<Real>(code));
          CHECK_UNARY(bits == 1 ? std::abs(code) == 1 : std::abs(code) <= most);
          largest = std::max(largest, std::abs(code));
        }
        CHECK(10 * largest >= 9 * most);
      }
  }

  TEST_CASE("projection per output channel is that of each channel on its own") {
    const Tensor w = nn::uniform({4, 3, 3, 50}, 1, Rng(2));
    for (const auto& [name, bits] : shipped()) {
      if (bits > 4) continue;
      const Tensor whole = projected(name, {.bits = bits, .per_channel = true}, w);
      for (std::int64_t c = 0; c < 4; ++c) {
        const Tensor channel({1, 450}, std::vector<Real>(w.data() + c * 450, w.data() + (c + 1) * 450));
        const Tensor part = projected(name, {.bits = bits}, channel);
        CHECK(part.coded()->scales()[0] == whole.coded()->scales()[static_cast<std::size_t>(c)]);
        CHECK(std::equal(part.data(), part.data() + 450, whole.data() + c * 450));
      }
    }
  }

  TEST_CASE("sign of zero: +1 by default, 0 on request") {
    const Tensor w({4}, {0, -1, Real(-0.0), 3});
    const Tensor plus = projected("binary", {}, w), none = projected("binary", {.sign_of_zero = 0}, w);
    const Real expected_plus[] = {1, -1, 1, 1}, expected_none[] = {0, -2, 0, 2};
    for (std::int64_t i = 0; i < 4; ++i) {
      CHECK(plus[i] == expected_plus[i]);
      CHECK(none[i] == expected_none[i]);
    }
  }

  TEST_CASE("exact is the best of all projections with as many bits, lloyd at 1 bit and exact are binary") {
    const Tensor w = nn::uniform({8, 100}, 1, Rng(3));
    const auto residual = [&](std::string_view name, int bits) {
      const Tensor p = projected(name, {.bits = bits}, w);
      double sum = 0;
      for (std::int64_t i = 0; i < w.numel(); ++i)
        sum += std::pow(static_cast<double>(w[i]) - static_cast<double>(p[i]), 2);
      return sum;
    };
    for (int bits = 2; bits <= 8; ++bits) CHECK(residual("exact", bits) <= residual("lloyd", bits) * (1 + 1e-6));
    CHECK(residual("ternary", 2) < residual("twn", 2));
    CHECK(residual("exact", 2) == residual("ternary", 2));
    CHECK(residual("lloyd", 1) == residual("binary", 1));
    CHECK(residual("exact", 1) == residual("binary", 1));
    CHECK(residual("exact", 3) < residual("ternary", 2));
    CHECK(residual("exact", 4) < residual("exact", 3));
  }

  TEST_CASE("zero, empty and NaN weights: zeros, nothing, and NaN throughout the group") {
    for (const auto& [name, bits] : shipped()) {
      for (const Real v : projected(name, {.bits = bits}, Tensor({3, 5})).view()) CHECK(v == 0);
      CHECK(projected(name, {.bits = bits}, Tensor({0, 5})).shape() == Shape{0, 5});
      CHECK(projected(name, {.bits = bits, .per_channel = true}, Tensor({3, 0})).shape() == Shape{3, 0});
      Tensor w = nn::uniform({3, 5}, 1, Rng(4));
      w.mutable_data()[7] = std::numeric_limits<Real>::quiet_NaN();
      const Tensor p = projected(name, {.bits = bits, .per_channel = true}, w);
      for (std::int64_t i = 0; i < 15; ++i) CHECK(std::isnan(p[i]) == (i / 5 == 1));
    }
  }

  TEST_CASE("projections have the same bits for 1 and 2 threads, by layer and by channel") {
    const Tensor w = nn::uniform({64, 3, 3, 200}, 1, Rng(5));
    for (const char* name : {"ternary", "lloyd", "warm_lloyd"})
      for (const bool per_channel : {false, true})
        CHECK(same_with_two_threads([&] {
          const Tensor p = projected(name, {.bits = 2, .per_channel = per_channel}, w);
          return std::vector<Real>(p.view().begin(), p.view().end());
        }));
  }

  TEST_CASE("names: unknown ones list the known, bits must fit, a registered one is found") {
    try {
      quant::weight_projection({"tertiary"});
      FAIL("expected an error");
    } catch (const UsageError& e) {
      std::string known;
      for (const std::string& name : quant::weight_projections().names()) known += " " + name;
      CHECK(std::string(e.what()) == "weight projection: given 'tertiary', expected one of:" + known);
      for (const char* name : {" binary ", " twn ", " xnor ", " dorefa ", " lsq ", " power_of_two "})
        CHECK(known.find(name) != std::string::npos);
    }
    CHECK_THROWS_AS(quant::weight_projection({"binary", quant::BinaryOptions{.bits = 2}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"ternary", quant::TernaryOptions{.bits = 3}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"twn", quant::TernaryOptions{.bits = 1}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"exact", quant::ExactOptions{.bits = 9}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"lloyd", quant::LloydOptions{.bits = 0}}), UsageError);
    for (const char* name : {"lloyd", "warm_lloyd"})
      CHECK_THROWS_AS(quant::weight_projection({name, quant::LloydOptions{.steps = 0}}), UsageError);
    for (const char* name : {"sign", "xnor"})
      CHECK_THROWS_AS(quant::weight_projection(quant::weight_projections().part(name).with("bits", 2)), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"binary", quant::BinaryOptions{.sign_of_zero = -1}}), UsageError);

    const auto halves = [](const quant::TernaryOptions& o) {
      return quant::uniform_projection("halves_of_test", {o.bits, o.per_channel},
                                       [](std::span<const Real>) { return std::vector<Real>{Real(0.5)}; });
    };
    quant::weight_projections().add("halves_of_test", "", quant::TernaryOptions{}, halves);
    const Tensor p = projected("halves_of_test", {.bits = 2}, Tensor({4}, {1, Real(0.25), -3, 0}));
    const Real expected[] = {2, 0, -2, 0};
    for (std::int64_t i = 0; i < 4; ++i) CHECK(p[i] == expected[i]);
    CHECK(quant::weight_projections().names().back() == "halves_of_test");
    for (const char* name : {"binary", ""})
      CHECK_THROWS_AS(quant::weight_projections().add(name, "", quant::TernaryOptions{}, halves), UsageError);
  }

  TEST_CASE("thresholds of a rule must belong to the bits: the half-mean rule is one of 2 bits alone") {
    const auto half_mean = [](const quant::WeightGrid& grid) {
      return quant::uniform_projection("half_mean", grid, [](std::span<const Real> w) {
        const double mean = magnitude<Real>(w).sum / static_cast<double>(w.size());
        return std::vector<Real>{static_cast<Real>(0.5 * mean)};
      });
    };
    const Tensor w({4}, {1, Real(0.25), -3, 0});
    const Real expected[] = {2, 0, -2, 0};
    const auto two = half_mean({.bits = 2});
    two->begin(w);
    CHECK(std::ranges::equal(two->project(w).view(), expected));
    for (const bool per_channel : {false, true}) {
      CHECK_SAYS(complaint_of([&] { half_mean({.bits = 3, .per_channel = per_channel})->project(w); }),
                 "half_mean weights: given 1 thresholds with 3 bits, expected 3");
      CHECK_SAYS(complaint_of([&] { half_mean({.bits = 1, .per_channel = per_channel})->begin(w); }),
                 "with 1 bit, expected 0: its codes are -1 and +1");
    }
  }

  TEST_CASE("projection takes no memory from the system once it is warm") {
    Tensor w = nn::uniform({64, 3, 3, 64}, 1, Rng(6));
    for (const char* name : {"binary", "ternary", "lloyd", "warm_lloyd"}) {
      const auto projection =
          quant::weight_projection(quant::weight_projections().part(name).with("bits", name[0] == 'b' ? 1 : 2));
      for (int i = 0; i < 3; ++i) projection->project(w);
      const auto misses = pool_stats().misses;
      for (int i = 0; i < 10; ++i) projection->project(w);
      CHECK(pool_stats().misses == misses);
    }
  }
}
