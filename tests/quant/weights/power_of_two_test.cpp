// Power-of-two weights as tensors: codes, values, groups, what a network computes with them. The mathematics
// of one group is tested in power_of_two_test.cpp.
#include "quant/weights/power_of_two.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/base/memory.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "quant/activations/uniform.h"
#include "quant/math/bit_products.h"
#include "quant/math/power_of_two.h"
#include "quant/summary.h"
#include "quant/weights/projection.h"
#include "quant/weights/weight_rule.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

constexpr const char* kNames[] = {"power_of_two", "power_of_two_exact"};

struct Options {
  int bits = 4;
  bool per_channel = false;
  double mu_over_max = 0.75;  // the exact projection has none
};

std::unique_ptr<quant::WeightProjection> made(std::string_view name, const Options& o) {
  Part part = quant::weight_projections().part(name).with("bits", o.bits).with("per-channel", o.per_channel);
  if (part.options.has("mu-over-max")) part.options.set("mu-over-max", o.mu_over_max);
  return quant::weight_projection(part);
}

Tensor projected(std::string_view name, const Options& options, const Tensor& w) {
  return made(name, options)->project(w);
}

/// 2^s of a group as its power of two; false for anything else.
bool is_power_of_two(Real x) {
  int exponent;
  return std::frexp(std::abs(x), &exponent) == Real(0.5);
}

}  // namespace

TEST_SUITE("paper-lbw-net") {
  TEST_CASE("paper-lbw-net 12.7: every weight is zero or a power of two, at most 2n+1 values in a layer") {
    const Tensor w = nn::normal({6, 3, 3, 500}, Real(0.04), Rng(1));
    for (const char* name : kNames)
      for (int bits = 2; bits <= 7; ++bits)
        for (const bool per_channel : {false, true}) {
          const Tensor p = projected(name, {.bits = bits, .per_channel = per_channel}, w);
          std::set<Real> values;
          int wrong = 0;
          for (const Real v : p.view()) {
            wrong += v != 0 && !is_power_of_two(v);
            values.insert(v);
          }
          CHECK(wrong == 0);
          const auto most = static_cast<std::size_t>(2 * power_magnitudes(bits) + 1);
          CHECK(values.size() <= most * (per_channel ? 6 : 1));
          CHECK(values.size() >= 3);
        }
  }

  TEST_CASE("paper-lbw-net 12.10: a dense layer of codes is shifts and additions, bit for bit") {
    Rng rng(2);
    nn::Linear layer(150, 12, rng, false);
    const double alpha = 0.25;
    for (int bits = 2; bits <= 7; ++bits) {
      const Var x = quant::quantize_activation(Var(nn::normal({5, 150}, 1, rng.split("x"))), static_cast<Real>(alpha),
                                               4, surrogate("clipped_relu"));
      layer.weight.effective = projected("power_of_two", {.bits = bits}, layer.weight.value);
      const PowerCodes w = *quant::power_codes(layer.weight.effective);
      const Tensor y = layer(x).value();
      for (std::int64_t i = 0; i < 5; ++i)
        for (std::int64_t j = 0; j < 12; ++j) {
          const std::uint8_t* codes = x.value().coded()->codes() + i * 150;
          const std::vector<std::int32_t> integers(codes, codes + 150);
          const auto sum = shift_dot(w.codes.subspan(static_cast<std::size_t>(j * 150), 150), w.magnitudes, integers);
          const double expected = std::ldexp(static_cast<double>(sum), 1 - w.magnitudes) * alpha * double(w.scales[0]);
          // Sums of numbers on a grid of 2^(1-n): a float holds all of them up to 5 bits, a double always.
          if (bits <= 5 || sizeof(Real) == 8) CHECK(double(y[i * 12 + j]) == expected);
        }
    }
  }
}

TEST_SUITE("quant") {
  TEST_CASE("power-of-two tensors: values are those of the codes, and up to 4 bits multiples in bytes") {
    const Tensor w = nn::normal({4, 3, 3, 7}, 1, Rng(3));
    for (const char* name : kNames)
      for (int bits = 2; bits <= 7; ++bits)
        for (const bool per_channel : {false, true}) {
          const auto projection = made(name, {.bits = bits, .per_channel = per_channel});
          CHECK(projection->name() == name);
          CHECK(projection->bits() == bits);
          const Tensor p = projection->project(w);
          REQUIRE(p.shape() == w.shape());
          const auto powers = quant::power_codes(p);
          REQUIRE(powers);
          CHECK(p.source()->bits() == bits);
          CHECK(powers->magnitudes == power_magnitudes(bits));
          REQUIRE(powers->scales.size() == (per_channel ? 4u : 1u));
          CHECK((p.coded() != nullptr) == (bits <= 4));
          const auto group = static_cast<std::size_t>(w.numel()) / powers->scales.size();
          for (std::size_t i = 0; i < p.view().size(); ++i) {
            const Real scale = powers->scales[i / group];
            CHECK(is_power_of_two(scale));
            CHECK(p.view()[i] == scale * static_cast<Real>(power_value(powers->codes[i], powers->magnitudes)));
            if (p.coded())
              CHECK(p.view()[i] == p.coded()->scales()[i / group] * static_cast<Real>(p.coded()->signed_codes()[i]));
          }
        }
  }

  TEST_CASE("power-of-two tensors: each channel on its own, scalars, nothing, zeros, NaN") {
    const Tensor w = nn::normal({3, 2, 2, 5}, 1, Rng(4));
    for (const char* name : kNames)
      for (const int bits : {2, 4, 6}) {
        const Tensor whole = projected(name, {.bits = bits, .per_channel = true}, w);
        for (std::int64_t c = 0; c < 3; ++c) {
          const Tensor channel({20}, std::vector<Real>(w.data() + c * 20, w.data() + (c + 1) * 20));
          const Tensor part = projected(name, {.bits = bits}, channel);
          CHECK(std::equal(part.data(), part.data() + 20, whole.data() + c * 20));
        }
        CHECK(projected(name, {.bits = bits, .per_channel = true}, Tensor::scalar(3)).item() == 4);
        CHECK(projected(name, {.bits = bits}, Tensor({0, 5})).shape() == Shape{0, 5});
        for (const Real v : projected(name, {.bits = bits}, Tensor({3, 5})).view()) CHECK(v == 0);
        Tensor broken = w;
        broken.mutable_data()[25] = std::numeric_limits<Real>::quiet_NaN();
        const Tensor p = projected(name, {.bits = bits, .per_channel = true}, broken);
        for (std::int64_t i = 0; i < 60; ++i) CHECK(std::isnan(p[i]) == (i / 20 == 1));
      }
  }

  TEST_CASE("power-of-two tensors: no mu leaves less than the exact minimum, and mu_over_max is heard") {
    const Tensor w = nn::normal({50, 80}, 1, Rng(5));
    const auto left = [&](std::string_view name, double mu_over_max) {
      const Tensor p = projected(name, {.bits = 4, .mu_over_max = mu_over_max}, w);
      double sum = 0;
      for (std::int64_t i = 0; i < w.numel(); ++i) sum += std::pow(double(w[i]) - double(p[i]), 2);
      return sum;
    };
    CHECK(left("power_of_two", 0.75) > 1.05 * left("power_of_two_exact", 0.75));
    CHECK(left("power_of_two", 0.375) < left("power_of_two", 0.75));
    CHECK(left("power_of_two", 0.375) >= left("power_of_two_exact", 0.75));
    CHECK(left("power_of_two_exact", 0.375) == left("power_of_two_exact", 0.75));
    CHECK_THROWS_AS(left("power_of_two", 0), UsageError);
    CHECK_THROWS_AS(projected("power_of_two", {.bits = 8}, w), UsageError);
    CHECK_THROWS_AS(projected("power_of_two_exact", {.bits = 1}, w), UsageError);
  }

  TEST_CASE("power-of-two tensors take no memory from the system once they are warm") {
    const Tensor w = nn::normal({64, 3, 3, 64}, 1, Rng(6));
    for (const char* name : kNames) {
      const auto projection = quant::weight_projection(quant::weight_projections().part(name).with("bits", 5));
      for (int i = 0; i < 3; ++i) projection->project(w).data();
      const auto misses = pool_stats().misses;
      for (int i = 0; i < 10; ++i) projection->project(w).data();
      CHECK(pool_stats().misses == misses);
    }
  }

  TEST_CASE("a summary counts power-of-two weights with their own bits") {
    nn::Sequential net;
    net.add<nn::Flatten>("flat");
    net.add<nn::Linear>("fc1", 16, 8, Rng(7), false);
    net.add<nn::Linear>("fc2", 8, 4, Rng(8), false);
    for (const int bits : {4, 6}) {
      quant::WeightRule rule(net, Part{"power_of_two", quant::PowerOfTwoOptions{.bits = bits}});
      rule.deploy();
      const auto summary = quant::summarize(net, {1, 1, 16});
      CHECK(summary.layers[1].weight_bits == bits);
      CHECK(summary.layers[1].bytes == 16 * 8 * bits / 8 + 4);
    }
  }
}
