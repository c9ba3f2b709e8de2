#include "core/tensor.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/base/check.h"
#include "core/ops.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

TEST_CASE("tensors are values: a copy shares the buffer until one of the two is written to") {
  Tensor a({2, 2}, {1, 2, 3, 4}), b = a;
  CHECK(a.data() == b.data());
  b.mutable_data()[0] = 9;
  CHECK(a[0] == 1);
  CHECK(b[0] == 9);
}

TEST_CASE("tensors of whole numbers have a type, and who reads them as another one is told so") {
  Tensor labels = Tensor::of<std::int32_t>({3}, {5, -1, 70000}), copy = labels;
  CHECK(labels.type() == ElementType::int32);
  CHECK(labels.view_of<std::int32_t>()[2] == 70000);
  copy.mutable_data_of<std::int32_t>()[0] = 6;
  CHECK(labels.view_of<std::int32_t>()[0] == 5);
  CHECK(copy.reshaped({3, 1}).view_of<std::int32_t>()[0] == 6);
  CHECK_SAYS(complaint_of([&] { labels.data(); }), "tensor: given elements of int32, expected float");
  CHECK_SAYS(complaint_of([&] { labels.mutable_data(); }), "given elements of int32, expected float");
  CHECK_SAYS(complaint_of([&] { labels.data_of<std::uint8_t>(); }), "given elements of int32, expected uint8");
  CHECK_SAYS(complaint_of([&] { Tensor({2}).view_of<std::int8_t>(); }), "expected int8");
  CHECK_THROWS_AS(relu(labels), Error);
  CHECK_THROWS_AS(Tensor::of<std::int8_t>({2}, {1}), Error);
  CHECK(Tensor({2}).type() == kRealType);
  Tensor bytes = Tensor::uninitialized({100}, ElementType::uint8);
  const void* const buffer = bytes.raw_data();
  CHECK(Tensor::uninitialized({5}, std::move(bytes), ElementType::int32).raw_data() == buffer);
}

TEST_CASE("codes travel with their tensor, as a tensor of whole numbers that shares their memory") {
  const auto coded = std::make_shared<Coded>(4, 2, Coded::Sign::two_s_complement, std::vector<Real>{Real(0.5)});
  const std::int8_t values[] = {-1, 0, 1, -1};
  std::copy(std::begin(values), std::end(values), coded->signed_codes());
  Tensor w = Tensor::deferred({2, 2}, coded);
  Tensor codes = w.codes();
  CHECK(codes.type() == ElementType::int8);
  CHECK(codes.shape() == Shape{2, 2});
  CHECK(codes.raw_data() == coded->signed_codes());
  CHECK(std::ranges::equal(codes.view_of<std::int8_t>(), values));
  codes.mutable_data_of<std::int8_t>()[0] = 1;  // a copy of its own from here on
  CHECK(coded->signed_codes()[0] == -1);
  CHECK(w[0] == Real(-0.5));
  const Tensor kept = w.reshaped({4}).codes();
  CHECK(kept.shape() == Shape{4});
  w = Tensor();
  CHECK(std::ranges::equal(kept.view_of<std::int8_t>(), values));
  CHECK_FALSE(Tensor({3}).codes().defined());
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
