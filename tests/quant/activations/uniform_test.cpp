// Quantized activations as ops: levels forward, the surrogate's derivative backward, at the points where mistakes hide.
#include "quant/activations/uniform.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "quant/math/uniform_activation.h"

using namespace coarsegrad;

namespace {

constexpr Real kInfinity = std::numeric_limits<Real>::infinity();
const Real kNaN = std::numeric_limits<Real>::quiet_NaN();

/// Grid points k alpha, their neighbours on both sides, middles, zeros of both signs, the ends of the range.
Tensor special_points(Real alpha, int levels) {
  std::vector<Real> points{-kInfinity,  Real(-1e30), -1,        -0.0, 0, std::numeric_limits<Real>::min(),
                           Real(1e-30), Real(1e30),  kInfinity, kNaN};
  for (int k = 0; k <= levels + 2; ++k) {
    const Real grid = alpha * static_cast<Real>(k);
    for (const Real x :
         {grid, std::nextafter(grid, Real(-1)), std::nextafter(grid, kInfinity), grid + alpha / 2, -grid})
      if (std::abs(x) >= std::numeric_limits<Real>::min() || x == 0) points.push_back(x);
  }
  return {{static_cast<std::int64_t>(points.size())}, points};
}

bool same(Real a, Real b) { return a == b || (std::isnan(a) && std::isnan(b)); }

Tensor slope_of(const Tensor& x, Real alpha, int bits, const Surrogate& s, const Tensor& seed) {
  const Var leaf = Var::leaf(x);
  quant::quantize_activation(leaf, alpha, bits, s).backward(seed);
  return leaf.grad();
}

template <class F>
void for_each_kernel_table(F f) {
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    INFO(table->name);
    f();
  }
  use_kernels("auto");
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("forward: the level that the scalar rule gives, at grid points, neighbours, zeros, ends and NaN") {
    for_each_kernel_table([] {
      for (const Real alpha : {Real(0.5), Real(0.6511), Real(3)})
        for (const int bits : {1, 2, 4, 8}) {
          const int levels = highest_level(bits);
          const Tensor x = special_points(alpha, levels);
          const Tensor y = quant::quantize_activation(x, alpha, bits, surrogate("relu")).value();
          const FlushDenormals flush;  // a quotient below the normal numbers is 0
          for (std::int64_t i = 0; i < x.numel(); ++i) {
            const Real expected = uniform_activation(x[i], alpha, static_cast<Real>(levels));
            INFO("alpha ", alpha, " bits ", bits, " x ", x[i], " given ", y[i], " expected ", expected);
            CHECK(same(y[i], expected));
          }
        }
    });
  }

  TEST_CASE("backward: every registered surrogate's derivative at x / alpha with window 2^bits - 1, exactly") {
    for_each_kernel_table([] {
      const FlushDenormals flush;  // as in the backward pass
      for (const Surrogate* s : all_surrogates())
        for (const Real alpha : {Real(0.5), Real(0.6511)})
          for (const int bits : {1, 2, 4, 8}) {
            const int levels = highest_level(bits);
            const Tensor x = special_points(alpha, levels);
            Tensor expected = map(x, [=](Real v) { return v / alpha; });
            s->derivative(expected.view(), static_cast<Real>(levels), expected.mut());
            const Tensor slope = slope_of(x, alpha, bits, *s, Tensor(x.shape(), Real(1)));
            for (std::int64_t i = 0; i < x.numel(); ++i) {
              INFO(s->name(), " alpha ", alpha, " bits ", bits, " x ", x[i], " given ", slope[i], " expected ",
                   expected[i]);
              CHECK(same(slope[i], expected[i]));
            }
          }
    });
  }

  TEST_CASE("backward is linear in the incoming gradient: sums and multiples come out as such") {
    for (const Surrogate* s : all_surrogates()) {
      const Tensor x = nn::uniform({501}, 3, Rng(1).split("x"));
      Tensor a(x.shape()), b(x.shape());
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        a.mutable_data()[i] = static_cast<Real>(i % 7) - 3;
        b.mutable_data()[i] = static_cast<Real>(i % 5) * 4;
      }
      const auto slope = [&](const Tensor& seed) { return slope_of(x, Real(0.65), 2, *s, seed); };
      const Tensor da = slope(a), db = slope(b), sum = slope(zip(a, b, [](Real p, Real q) { return p + q; }));
      const Tensor minus_8a = slope(map(a, [](Real v) { return -8 * v; }));
      INFO(s->name());
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        CHECK(std::abs(sum[i] - (da[i] + db[i])) <=
              8 * std::numeric_limits<Real>::epsilon() * (std::abs(da[i]) + std::abs(db[i])));
        CHECK(minus_8a[i] == -8 * da[i]);
      }
    }
  }

  TEST_CASE("a surrogate registered by a user is used under its name, kinks and all") {
    const Surrogate& triangle = register_surrogate(
        "triangle_of_test",
        [](auto x, auto) {
          using T = decltype(x);
          const T c = std::min(std::max(x, T(-1)), T(1));
          return c - std::abs(c) * c / 2;
        },
        [](auto x, auto) { return std::max(decltype(x)(0), 1 - std::abs(x)); });
    const Tensor slope =
        slope_of(Tensor({4}, {0, Real(0.25), -1, Real(0.5)}), Real(0.5), 2, triangle, Tensor({4}, Real(2)));
    const Real expected[] = {2, 1, 0, 0};
    for (std::int64_t i = 0; i < 4; ++i) CHECK(slope[i] == expected[i]);
  }

  TEST_CASE("all-zero, constant, one-element and empty inputs, 1 bit, and a resolution close to 0") {
    const Surrogate& relu = surrogate("relu");
    for (const int bits : {1, 2, 8}) {
      for (const Real y : quant::quantize_activation(Tensor({100}), 1, bits, relu).value().view()) CHECK(y == 0);
      for (const Real y : quant::quantize_activation(Tensor({100}, Real(0.3)), Real(0.5), bits, relu).value().view())
        CHECK(y == Real(0.5));
      CHECK(quant::quantize_activation(Tensor({0, 4}), 1, bits, relu).shape() == Shape{0, 4});
      CHECK(quant::quantize_activation(Tensor::scalar(5), 1, bits, relu).item() == std::min(5, highest_level(bits)));
      const Real tiny = std::numeric_limits<Real>::min();
      const Tensor y = quant::quantize_activation(Tensor({3}, {1, -1, 0}), tiny, bits, relu).value();
      CHECK(y[0] == tiny * static_cast<Real>(highest_level(bits)));
      CHECK(y[1] == 0);
      CHECK(y[2] == 0);
    }
    const Var empty = Var::leaf(Tensor({0, 4}));
    quant::quantize_activation(empty, 1, 2, surrogate("clipped_relu")).backward(Tensor({0, 4}));
    CHECK(empty.grad().shape() == Shape{0, 4});
  }

  TEST_CASE("a resolution that is no positive number, and bits outside 1 to 8, are refused") {
    const Var x(Tensor({2}));
    const Surrogate& relu = surrogate("relu");
    for (const Real alpha : {Real(0), Real(-1), kInfinity, kNaN, std::numeric_limits<Real>::denorm_min()})
      CHECK_THROWS_AS(quant::quantize_activation(x, alpha, 2, relu), Error);
    for (const double alpha : {0.0, -1.0, HUGE_VAL, std::nan("")})
      CHECK_THROWS_AS(quant::UniformActivation(2, alpha, relu), Error);
    for (const int bits : {0, 9, -1, 33}) {
      CHECK_THROWS_AS(quant::quantize_activation(x, 1, bits, relu), UsageError);
      CHECK_THROWS_AS(quant::UniformActivation(bits, 1, relu), UsageError);
    }
  }

  TEST_CASE("networks take the quantizer at every activation, and a float net's state loads into them") {
    const auto quantized = nn::lenet5(quant::uniform_activation(2, surrogate("clipped_relu")), Rng(1));
    const auto plain = nn::lenet5(nn::relu_activation(), Rng(2));
    quantized->load_state_dict(plain->state_dict());
    int found = 0;
    for (const auto& [name, module] : quantized->named_modules())
      if (const auto* a = dynamic_cast<const quant::UniformActivation*>(module)) {
        ++found;
        CHECK(a->bits() == 2);
        CHECK(a->alpha() == half_gaussian_alpha(2));
        CHECK(a->surrogate().name() == "clipped_relu");
        module->register_forward_hook(
            [&, alpha = static_cast<Real>(a->alpha())](nn::Module&, const Var&, const Var& y) {
              bool on_grid = true;
              for (const Real v : y.value().view()) {
                const Real k = std::round(v / alpha);
                on_grid = on_grid && k >= 0 && k <= 3 && v == alpha * k;
              }
              CHECK(on_grid);
            });
      }
    CHECK(found == 3);
    (*quantized)(nn::uniform({4, 28, 28, 1}, 1, Rng(3)));
  }
}
