#include "core/autograd.h"

#include <doctest/doctest.h>

#include "core/base/check.h"
#include "core/map.h"
#include "core/ops.h"

using namespace coarsegrad;

TEST_CASE("backward: a Var used twice receives both gradients") {
  const Var x = Var::leaf(Tensor::scalar(3));
  (x * x + x).backward();
  CHECK(x.grad().item() == 7);
}

TEST_CASE("backward: gradients accumulate in leaves until they are cleared") {
  Var x = Var::leaf(Tensor::scalar(3));
  square(x).backward();
  square(x).backward();
  CHECK(x.grad().item() == 12);
  x.zero_grad();
  CHECK_FALSE(x.grad().defined());
}

TEST_CASE("backward: a history of a million nodes runs and is taken apart without recursion" *
          doctest::test_suite("long")) {
  Var x = Var::leaf(Tensor::scalar(1)), y = x;
  for (int i = 0; i < 1'000'000; ++i) y = y + Var(Real(1));
  SUBCASE("backward") {
    y.backward();
    CHECK(x.grad().item() == 1);
  }
  SUBCASE("dropped unused") { y = Var(); }
}

TEST_CASE("backward: a second pass over a used history throws") {
  const Var x = Var::leaf(Tensor::scalar(3)), y = square(x);
  y.backward();
  CHECK_THROWS_AS(y.backward(), Error);
}

TEST_CASE("backward: needs one element, a history and a seed of the right shape") {
  const Var x = Var::leaf(Tensor({2}, Real(1)));
  CHECK_THROWS_AS(square(x).backward(), Error);
  CHECK_THROWS_AS(square(x).backward(Tensor({3})), Error);
  CHECK_THROWS_AS(Var(Real(1)).backward(), Error);
}

TEST_CASE("record: a backward that returns too few gradients or a wrong shape is named") {
  const Var x = Var::leaf(Tensor({2}, Real(1)));
  const Var few = record("few", x.value(), {x}, [](const Tensor&) { return Gradients{}; });
  CHECK_THROWS_WITH_AS(sum(few).backward(), "few: backward gave 0 gradients, expected 1", Error);
  const Var wrong = record("wrong", x.value(), {x}, [](const Tensor&) { return Gradients{Tensor({3})}; });
  CHECK_THROWS_AS(sum(wrong).backward(), Error);
}

TEST_CASE("values that backward has saved are safe from writes to the tensor they came from") {
  Tensor t({2}, {1, 2});
  const Var x = Var::leaf(t), y = sum(square(x));
  t.mutable_data()[0] = 100;
  y.backward();
  CHECK(x.grad()[0] == 2);
}

TEST_CASE("nodes do not hold values: an intermediate that backward does not need is freed at once") {
  const Var x = Var::leaf(Tensor({1 << 16}, Real(1)));
  Var y = x + Var(Real(1));
  const auto used = pool_stats().bytes_used;
  for (int i = 0; i < 10; ++i) y = y + Var(Real(1));
  CHECK(pool_stats().bytes_used <= used + 4096);
}

TEST_CASE("parameters: ops see R(value) where it is set, the gradient goes to the parameter") {
  Parameter p(Tensor({2}, {Real(0.3), Real(-0.7)}));
  p.effective = Tensor({2}, {1, -1});
  sum(square(p.var())).backward();
  CHECK(p.grad()[0] == 2);
  CHECK(p.grad()[1] == -2);
  CHECK(p.value[0] == Real(0.3));
  p.zero_grad();
  CHECK_FALSE(p.grad().defined());
  CHECK_THROWS_AS(p.set_grad(Tensor({3})), Error);
}

TEST_CASE("backward: a pass that ends with an exception leaves nothing behind in what it had not reached") {
  const Var x = Var::leaf(Tensor::scalar(3)), shared = square(x);
  const Var bad =
      record("bad", shared.value(), {shared}, [](const Tensor&) -> Gradients { throw Error("no gradient"); });
  const Var good = shared * Var(Real(100));  // younger than `bad`: its gradient is there when `bad` throws
  CHECK_THROWS_AS((good + bad).backward(), Error);
  CHECK_FALSE(x.grad().defined());
  (shared + shared).backward();
  CHECK(x.grad().item() == 12);
}
