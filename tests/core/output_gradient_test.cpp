// Maps of the output's gradient before the two products of linear and conv2d.
#include <doctest/doctest.h>

#include <functional>

#include "core/map.h"
#include "core/ops.h"
#include "nn/init.h"
#include "tests/support/tables.h"

using namespace coarsegrad;

namespace {

using Values = std::vector<Real>;
Values values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

struct Gradient {
  Values x, weight, bias;
};
// Of a weighted sum of the output of a layer on two images of 5 x 4 x 3, or on two rows of 60.
Gradient gradients(bool dense, const OutputGradientMap& map) {
  const Var x = Var::leaf(nn::uniform(dense ? Shape{2, 60} : Shape{2, 5, 4, 3}, 1, Rng(1))),
            w = Var::leaf(nn::uniform(dense ? Shape{7, 60} : Shape{7, 3, 3, 3}, 1, Rng(2))),
            b = Var::leaf(nn::uniform({7}, 1, Rng(3)));
  const Var y = dense ? linear(x, w, b, map) : conv2d(x, w, b, {.padding = 1, .map = map});
  y.backward(nn::uniform(y.shape(), 1, Rng(4)));
  return {values(x.grad()), values(w.grad()), values(b.grad())};
}

// Powers of two: products with them are exact.
OutputGradientMap::Function times(Real factor, int* calls = nullptr) {
  return [factor, calls](const Tensor& g) {
    if (calls) ++*calls;
    return map(g, [factor](Real v) { return factor * v; });
  };
}
Values scaled(Values v, Real factor) {
  for (Real& x : v) x *= factor;
  return v;
}

}  // namespace

TEST_SUITE("output gradient") {
  TEST_CASE("each product of linear and conv2d sees its own map of the gradient") {
    for (const bool dense : {false, true}) {
      INFO("dense ", dense);
      const Gradient plain = gradients(dense, {});
      const Gradient both = gradients(dense, {times(2), times(8)});
      CHECK(both.x == scaled(plain.x, 2));
      CHECK(both.weight == scaled(plain.weight, 8));
      CHECK(both.bias == scaled(plain.bias, 8));
      const Gradient weight_alone = gradients(dense, {.for_weight = times(8)});
      CHECK(weight_alone.x == plain.x);
      CHECK(weight_alone.weight == both.weight);
      int calls = 0;
      const Gradient one = gradients(dense, {.for_input = times(4, &calls)});
      CHECK(calls == 1);
      CHECK(one.x == scaled(plain.x, 4));
      CHECK(one.weight == scaled(plain.weight, 4));
      CHECK(one.bias == scaled(plain.bias, 4));
    }
  }

  TEST_CASE("maps whose product nobody asks for are not called") {
    int input = 0, weight = 0;
    const OutputGradientMap map{times(2, &input), times(2, &weight)};
    const Var w = Var::leaf(nn::uniform({7, 60}, 1, Rng(2))), x = Var::leaf(nn::uniform({2, 60}, 1, Rng(1)));
    const auto run = [&](const Var& a, const Var& b) {
      input = weight = 0;
      const Var y = linear(a, b, {}, map);
      y.backward(Tensor(y.shape(), 1));
    };
    run(x.detach(), w);
    CHECK(input == 0);
    CHECK(weight == 1);
    run(x, w.detach());
    CHECK(input == 1);
    CHECK(weight == 0);
    const OutputGradientMap shared{.for_input = times(2, &input)};
    input = 0;
    const Var y = linear(x.detach(), w, {}, shared);
    y.backward(Tensor(y.shape(), 1));
    CHECK(input == 1);
  }
}
