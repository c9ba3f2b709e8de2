// Signs as activations: values, codes, surrogates, padding, and behind a normalisation.
#include "quant/activations/sign.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/parallel.h"
#include "core/deferred.h"
#include "core/ops.h"
#include "nn/init.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::SignActivation;

TEST_SUITE("quant") {
  TEST_CASE("sign activation: -1 and +1 as signed codes, that of zero is +1, NaN stays") {
    SignActivation act;
    CHECK(act.bits() == 1);
    const std::vector<Real> x{-2, Real(-1e-20), Real(-0.0), 0, Real(1e-20), 5};
    const Tensor y = act(Tensor({6}, x)).value();
    REQUIRE(y.coded() != nullptr);
    CHECK(y.coded()->is_signed());
    CHECK(y.coded()->bits() == 1);
    const Real expected[] = {-1, -1, 1, 1, 1, 1};
    for (std::int64_t i = 0; i < 6; ++i) {
      CHECK(y[i] == expected[i]);
      CHECK(y.coded()->signed_codes()[i] == expected[i]);
    }
    const Tensor nan = act(Tensor({2}, {std::numeric_limits<Real>::quiet_NaN(), 1})).value();
    CHECK(std::isnan(nan[0]));
    CHECK(nan[1] == 1);
    CHECK(act(Tensor({0, 4})).shape() == Shape{0, 4});
  }

  TEST_CASE("sign activation: backward is 1 for |x| <= 1 by default, and any surrogate's derivative at x") {
    const Tensor x = nn::uniform({501}, 3, Rng(1));
    SignActivation act;
    const Var leaf = Var::leaf(x);
    act(leaf).backward(Tensor({501}, Real(2)));
    for (std::int64_t i = 0; i < x.numel(); ++i) CHECK(leaf.grad()[i] == (std::abs(x[i]) <= 1 ? 2 : 0));
    const Var ends =
        Var::leaf(Tensor({4}, {-1, 1, std::nextafter(Real(-1), Real(-2)), std::nextafter(Real(1), Real(2))}));
    act(ends).backward(Tensor({4}, Real(1)));
    const Real expected[] = {1, 1, 0, 0};
    for (std::int64_t i = 0; i < 4; ++i) CHECK(ends.grad()[i] == expected[i]);
    const FlushDenormals flush;
    for (const Surrogate* s : all_surrogates()) {
      INFO(s->name());
      SignActivation with(*s);
      const Var at = Var::leaf(x);
      with(at).backward(Tensor({501}, Real(1)));
      std::vector<Real> slopes(x.view().begin(), x.view().end());
      s->derivative(slopes, Real(1), slopes);
      for (std::int64_t i = 0; i < x.numel(); ++i) CHECK(at.grad()[i] == slopes[static_cast<std::size_t>(i)]);
    }
  }

  TEST_CASE("sign activation: in a convolution the padding is zero, between the signs") {
    SignActivation act;
    const Tensor x = nn::uniform({1, 4, 4, 8}, 1, Rng(2)), signs = act(x).value();
    const Tensor w({8, 3, 3, 8}, Real(1));
    const Tensor y = conv2d(signs, w, {}, {.padding = 1}).value();
    double corner = 0;
    for (const std::int64_t row : {0, 1})
      for (const std::int64_t column : {0, 1})
        for (std::int64_t c = 0; c < 8; ++c) corner += x[(row * 4 + column) * 8 + c] >= 0 ? 1 : -1;
    CHECK(std::abs(static_cast<double>(y[0]) - corner) < 1e-4);
  }
}
