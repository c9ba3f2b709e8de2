#include "core/tensor.h"

#include <doctest/doctest.h>

#include "core/base/check.h"

using namespace coarsegrad;

TEST_CASE("tensors are values: a copy shares the buffer until one of the two is written to") {
  Tensor a({2, 2}, {1, 2, 3, 4}), b = a;
  CHECK(a.data() == b.data());
  b.mutable_data()[0] = 9;
  CHECK(a[0] == 1);
  CHECK(b[0] == 9);
}

TEST_CASE("an undefined tensor has no elements and says so") {
  const Tensor none;
  CHECK_FALSE(none.defined());
  CHECK(none.numel() == 0);
  CHECK_THROWS_AS(none.item(), Error);
  CHECK_THROWS_AS(none.reshaped({}), Error);
}

TEST_CASE("absurd sizes throw before anything is allocated") {
  CHECK_THROWS_AS(Tensor({-1}), Error);
  CHECK_THROWS_AS(Tensor({std::int64_t{1} << 40, std::int64_t{1} << 40}), Error);
  CHECK_THROWS_AS(Tensor({1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_AS(Tensor({3}, {1, 2}), Error);
  CHECK(Tensor({0, std::int64_t{1} << 50}).numel() == 0);
}

TEST_CASE("shapes: axes count from the end when negative, and print") {
  const Shape s{2, 3, 4};
  CHECK(s[-1] == 4);
  CHECK(s.str() == "(2,3,4)");
  CHECK(s.with(-1, 7) == Shape{2, 3, 7});
  CHECK_THROWS_AS(s[3], Error);
  CHECK(Shape{}.numel() == 1);
  CHECK(broadcast_shape("op", {3, 1}, {4}) == Shape{3, 4});
}
