// Generic tests: each loops over the table of ops. Compiled in double (gradients) and in float (everything else).
#include <doctest/doctest.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/gradcheck.h"
#include "core/map.h"
#include "tests/core/op_table.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

#if defined(COARSEGRAD_DOUBLE)

namespace {

// False for an empty batch, and where the op is constant (log_softmax of one class).
bool has_gradient(const OpCase& c) {
  std::vector<Var> leaves;
  for (const Tensor& t : sample_inputs(c)) leaves.push_back(Var::leaf(t));
  const Var y = c.f(leaves);
  Tensor seed(y.shape());
  for (std::int64_t i = 0; i < seed.numel(); ++i) seed.mutable_data()[i] = 1 + static_cast<Real>(i % 3);
  y.backward(seed);
  return std::any_of(leaves.begin(), leaves.end(), [](const Var& leaf) {
    const auto g = leaf.grad().view();
    return std::any_of(g.begin(), g.end(), [](Real v) { return v != 0; });
  });
}

}  // namespace

TEST_CASE("every op: the Jacobian of backward equals central differences to 1e-6 of its largest entry") {
  for (const OpCase& c : op_table()) {
    const auto result = gradcheck(c.f, sample_inputs(c));
    INFO(c.name, ": ", result.where);
    CHECK(result.error <= 1e-6);
  }
}

TEST_CASE("every op: a gradient that is wrong by 1e-5 of its value is caught") {
  for (const OpCase& c : op_table()) {
    const auto wrong = [&c](const std::vector<Var>& inputs) {
      const Var y = c.f(inputs);
      return record("planted", y.value(), {y},
                    [](const Tensor& g) -> Gradients { return {map(g, [](Real v) { return v * (1 + 1e-5); })}; });
    };
    const auto inputs = sample_inputs(c);
    const auto right = gradcheck(c.f, inputs), planted = gradcheck(wrong, inputs);
    INFO(c.name, ": ", right.error, " ", planted.error);
    CHECK((planted.error > 5e-6) == has_gradient(c));
  }
}

TEST_CASE("gradcheck: a NaN in the gradient is an error, not a pass") {
  const auto f = [](const std::vector<Var>& v) {
    return record("nan", v[0].value(), {v[0]},
                  [](const Tensor& g) -> Gradients { return {map(g, [](Real) { return std::nan(""); })}; });
  };
  CHECK(gradcheck(f, {Tensor({2}, Real(1))}).error > 1);
}

#else

namespace {

std::vector<Tensor> run(const OpCase& c) {
  std::vector<Var> leaves;
  for (const Tensor& t : sample_inputs(c)) leaves.push_back(Var::leaf(t));
  const Var y = c.f(leaves);
  std::vector<Tensor> results{y.value()};
  if (y.requires_grad()) y.backward(Tensor(y.shape(), Real(0.7)));
  for (const Var& leaf : leaves)
    if (leaf.grad().defined()) results.push_back(leaf.grad());
  return results;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.view().begin(), a.view().end(), b.view().begin());
}

}  // namespace

TEST_CASE("every op: value and gradients are bitwise the same for 1 and 2 threads and in a second run") {
  for (const OpCase& c : op_table()) {
    set_num_threads(1);
    const auto one = run(c);
    set_num_threads(2);
    const auto two = run(c), again = run(c);
    INFO(c.name);
    REQUIRE(one.size() == two.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
      CHECK(same_bits(one[i], two[i]));
      CHECK(same_bits(two[i], again[i]));
    }
  }
}

TEST_CASE("every op: of constants, and inside NoGrad, the result is a constant") {
  for (const OpCase& c : op_table()) {
    const auto inputs = sample_inputs(c);
    INFO(c.name);
    CHECK_FALSE(c.f({inputs.begin(), inputs.end()}).requires_grad());
    const NoGrad constant;
    std::vector<Var> leaves;
    for (const Tensor& t : inputs) leaves.push_back(Var::leaf(t));
    CHECK_FALSE(c.f(leaves).requires_grad());
  }
}

TEST_CASE("every op: inputs keep their values") {
  for (const OpCase& c : op_table()) {
    const auto inputs = sample_inputs(c), fresh = sample_inputs(c);
    std::vector<Var> leaves;
    for (const Tensor& t : inputs) leaves.push_back(Var::leaf(t));
    const Var y = c.f(leaves);
    if (y.requires_grad()) y.backward(Tensor(y.shape(), Real(1)));
    INFO(c.name);
    for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(same_bits(inputs[i], fresh[i]));
  }
}

#endif

TEST_CASE("every op that core/ops.h declares has a row in the table") {
  const auto text = [](const char* path) {
    std::ifstream file(std::string(COARSEGRAD_SOURCE) + path);
    REQUIRE(file);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string header = text("/core/ops.h"), table = text("/tests/core/op_table.cpp"), start = "\nVar ";
  const auto called = [&table](const std::string& name) {
    for (std::size_t at = table.find(name + "("); at != std::string::npos; at = table.find(name + "(", at + 1))
      if (!std::isalnum(static_cast<unsigned char>(table[at - 1])) && table[at - 1] != '_') return true;
    return false;
  };
  int ops = 0;
  for (std::size_t at = header.find(start); at != std::string::npos; at = header.find(start, at + 1)) {
    const std::size_t begin = at + start.size();
    const std::string name = header.substr(begin, header.find('(', begin) - begin);
    if (name.starts_with("operator")) continue;
    ++ops;
    INFO(name);
    CHECK(called(name));
  }
  CHECK(ops >= 30);
  CHECK_FALSE(called("no_such_op"));
  CHECK_FALSE(called("pool2d"));  // max_pool2d is another one
}

TEST_CASE("shapes that do not fit are named in the error") {
  const Var a(Tensor({2, 3})), b(Tensor({4, 5}));
  CHECK_THROWS_WITH_AS(a + b, "add: (2,3) and (4,5) do not broadcast", Error);
  CHECK_THROWS_WITH_AS(matmul(a, b), "matmul: given (2,3) x (4,5), expected equal inner extents", Error);
  CHECK_THROWS_AS(conv2d(Tensor({1, 4, 4, 3}), Tensor({2, 3, 3, 2})), Error);
  CHECK_THROWS_AS(conv2d(Tensor({1, 2, 2, 3}), Tensor({2, 3, 3, 3})), Error);
  CHECK_THROWS_AS(conv2d(Tensor({1, 4, 4, 3}), Tensor({2, 3, 3, 3}), {}, {.stride = 0}), Error);
  CHECK_THROWS_AS(max_pool2d(Tensor({1, 4, 4, 3}), {.kernel = 5}), Error);
  CHECK_THROWS_AS(max_pool2d(Tensor({1, 4, 4, 3}), {.kernel = 2, .padding = 2}), Error);
  CHECK_THROWS_AS(batch_norm(Tensor({0, 3}), {}, {}, Real(1e-5)), Error);
  CHECK_THROWS_AS(reshape(a, {4, -1}), Error);
  CHECK_THROWS_AS(slice(a, 1, 2, 4), Error);
  CHECK_THROWS_AS(slice(a, 2, 0, 1), Error);
  CHECK_THROWS_AS(pad(a, 0, -1, 0), Error);
  CHECK_THROWS_AS(concatenate({a, b}, 0), Error);
  CHECK_THROWS_AS(mean(Tensor({0})), Error);
  CHECK_THROWS_AS(max(Tensor({0, 2}), 0), Error);
  CHECK_THROWS_AS(clamp(a, 1, 0), Error);
  Rng rng(1);
  CHECK_THROWS_AS(dropout(a, 1, rng), Error);
  const Tensor labels = Tensor::of<std::int32_t>({2}, {0, 3});
  CHECK_THROWS_WITH_AS(cross_entropy(a, labels), "cross_entropy: given label 3, expected 0 to 2", Error);
  CHECK_THROWS_AS(mse_loss(a, b), Error);
  const Tensor ones({3}, Real(1)), x({4, 3});
  for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity(), Real(-1)}) {
    CHECK_THROWS_AS(batch_norm(x, {}, {}, bad), Error);
    CHECK_THROWS_AS(batch_norm(x, {}, {}, Real(1e-5), bad), Error);
    CHECK_THROWS_AS(batch_norm_eval(x, {}, {}, ones, ones, bad), Error);
  }
  CHECK_THROWS_AS(batch_norm(x, {}, {}, Real(1e-5), 2), Error);
}

TEST_CASE("absurd extents are refused before anything is computed or allocated") {
  constexpr std::int64_t huge = std::numeric_limits<std::int64_t>::max(), large = std::int64_t{1} << 32;
  const Var x(Tensor({1, 4, 4, 3})), w(Tensor({2, 3, 3, 3}));
  const auto held = pool_stats().bytes_held;
  for (const std::int64_t n : {huge, -huge, std::int64_t{1} << 62, std::int64_t{-1}, std::int64_t{-2}}) {
    INFO(n);
    CHECK_THROWS_AS(conv2d(x, w, {}, {.stride = n}), Error);
    CHECK_THROWS_AS(conv2d(x, w, {}, {.padding = n}), Error);
    CHECK_THROWS_AS(conv2d(x, w, {}, {.dilation = n}), Error);
    CHECK_THROWS_AS(conv2d(x, w, {}, {.groups = n}), Error);
    CHECK_THROWS_AS(max_pool2d(x, {.kernel = n}), Error);
    CHECK_THROWS_AS(avg_pool2d(x, {.kernel = 2, .stride = HeightWidth(n)}), Error);
    CHECK_THROWS_AS(max_pool2d(x, {.kernel = 2, .padding = n}), Error);
    CHECK_THROWS_AS(pad(x, 0, n, 0), Error);
    CHECK_THROWS_AS(pad(x, 0, n, n), Error);
    CHECK_THROWS_AS(slice(x, 1, 0, n), Error);
    CHECK_THROWS_AS(reshape(x, {n, n}), Error);
    CHECK_THROWS_AS(reshape(x, {n, -1, n}), Error);
  }
  CHECK_THROWS_AS(max_pool2d(x, {.kernel = 2, .stride = HeightWidth(0)}), Error);
  CHECK_THROWS_AS(reshape(x, {large, large, -1}), Error);
  CHECK_THROWS_AS(reshape(x, {0, -1}), Error);
  CHECK_THROWS_AS(conv2d(x, w, {}, {.padding = std::int64_t{1} << 30}), Error);
  CHECK_THROWS_AS(pad(x, 0, std::int64_t{1} << 39, std::int64_t{1} << 39), Error);
  CHECK_THROWS_AS(Var(Tensor({1 << 20, 1})) * Var(Tensor({1, std::int64_t{1} << 21})), Error);
  CHECK(pool_stats().bytes_held < held + (std::size_t{64} << 20));
}

TEST_CASE("means: of n equal numbers it is that number, and its gradient is divided by n, for every n") {
  for (std::int64_t n = 1; n <= 1000; ++n) {
    INFO(n);
    const Var ones = Var::leaf(Tensor({n}, Real(1))), parts = Tensor({n, 2}, Real(0.75));
    const Var loss = mse_loss(ones, Tensor({n}));
    CHECK(mean(ones).item() == 1);
    CHECK(loss.item() == 1);
    for (Real v : mean(parts, 0).value().view()) CHECK(v == Real(0.75));
    mean(ones).backward();
    CHECK(ones.grad()[n - 1] == 1 / static_cast<Real>(n));
    const auto slope = [](std::int64_t images) {
      const Var logits = Var::leaf(Tensor({images, 3}, Real(0.3)));
      const std::vector<std::int32_t> all_ones(static_cast<std::size_t>(images), 1);
      const Tensor labels = Tensor::of<std::int32_t>({images}, all_ones);
      cross_entropy(logits, labels).backward();
      return logits.grad()[0];
    };
    CHECK(slope(n) == slope(1) / static_cast<Real>(n));
  }
  CHECK(mean(Tensor({2}, Real(3e38))).item() == Real(3e38));  // the sum itself fits a double only
}

TEST_CASE("batch_norm: statistics of another number of channels are refused and stay as they are") {
  Tensor three({3}), five({5});
  const Var x(Tensor({4, 3}));
  CHECK_THROWS_AS(batch_norm(x, {}, {}, Real(1e-5), Real(0.1), &five, &three), Error);
  CHECK_THROWS_AS(batch_norm(x, {}, {}, Real(1e-5), Real(0.1), &three, &five), Error);
  CHECK_THROWS_AS(batch_norm_eval(x, {}, {}, five, three, Real(1e-5)), Error);
  CHECK_THROWS_AS(batch_norm(x, five, {}, Real(1e-5)), Error);
  for (Real v : five.view()) CHECK(v == 0);
}

TEST_CASE("derivatives at kinks, and the first of equal maxima") {
  const auto slopes = [](const std::vector<Real>& at, const std::function<Var(const Var&)>& op) {
    const Var x = Var::leaf(Tensor({1, static_cast<std::int64_t>(at.size())}, at)), y = op(x);
    y.backward(Tensor(y.shape(), Real(1)));
    return std::vector<Real>(x.grad().view().begin(), x.grad().view().end());
  };
  const Real zero = -0.0;
  using Values = std::vector<Real>;
  CHECK(slopes({0, zero, 1}, [](auto& x) { return relu(x); }) == Values{0, 0, 1});
  CHECK(slopes({0, zero, -1}, [](auto& x) { return abs(x); }) == Values{0, 0, -1});
  CHECK(slopes({-1, 2, -2, 3}, [](auto& x) { return clamp(x, -1, 2); }) == Values{1, 1, 0, 0});
  CHECK(slopes({1, 5, 5, 0}, [](auto& x) { return max(x); }) == Values{0, 1, 0, 0});
  CHECK(slopes({7, 7, 7, 7}, [](auto& x) { return max_pool2d(reshape(x, {1, 2, 2, 1})); }) == Values{1, 0, 0, 0});
}

TEST_CASE("dropout: a share p becomes 0, the rest is divided by 1 - p, and every call draws anew") {
  const Var x(Tensor({100000}, Real(3)));
  Rng rng(5);
  for (const double p : {0.0, 0.2, 0.75}) {
    const Tensor y = dropout(x, static_cast<Real>(p), rng).value();
    std::int64_t zeros = 0;
    for (Real v : y.view()) {
      if (v == 0)
        ++zeros;
      else
        CHECK(v == doctest::Approx(3 / (1 - p)));
    }
    CHECK(std::abs(static_cast<double>(zeros) - 1e5 * p) <= 5 * std::sqrt(1e5 * p * (1 - p)));  // 5 deviations
  }
  CHECK_FALSE(std::ranges::equal(dropout(x, Real(0.5), rng).value().view(), dropout(x, Real(0.5), rng).value().view()));
}

TEST_CASE("values at hand-picked points") {
  const Tensor x({4}, {-2, -0.5, 0, 3});
  const auto values = [](const Var& v) { return std::vector<Real>(v.value().view().begin(), v.value().view().end()); };
  CHECK(values(relu(x)) == std::vector<Real>{0, 0, 0, 3});
  CHECK(values(clamp(x, -1, 1)) == std::vector<Real>{-1, -0.5, 0, 1});
  CHECK(values(abs(x)) == std::vector<Real>{2, 0.5, 0, 3});
  CHECK(values(max_pool2d(Tensor({1, 2, 2, 1}, {1, 4, 2, 3}))) == std::vector<Real>{4});
  CHECK(values(avg_pool2d(Tensor({1, 2, 2, 1}, {1, 4, 2, 3}))) == std::vector<Real>{2.5});
  CHECK(values(sum(Tensor({2, 2}, {1, 2, 3, 4}), 0)) == std::vector<Real>{4, 6});
  CHECK(values(pad(Tensor({2}, {1, 2}), 0, 1, 2)) == std::vector<Real>{0, 1, 2, 0, 0});
  CHECK(values(matmul(Tensor({1, 2}, {1, 2}), Tensor({1, 2}, {3, 4}), false, true)) == std::vector<Real>{11});
  CHECK(sigmoid(Tensor::scalar(-1000)).item() == 0);
  CHECK(sigmoid(Tensor::scalar(1000)).item() == 1);
  CHECK(std::isnan(relu(Tensor::scalar(std::nanf(""))).item()));
  const Tensor label = Tensor::of<std::int32_t>({1}, {1});
  CHECK(cross_entropy(Tensor({1, 3}), label).item() == doctest::Approx(std::log(3.0)));
  CHECK(cross_entropy(Tensor({1, 2}, {Real(1e4), Real(-1e4)}), label).item() == doctest::Approx(2e4));
}

TEST_CASE("accuracy: the share of rows whose largest logit is at the label, the first of equal ones") {
  const Tensor logits({4, 3}, {1, 3, 2, 5, 5, 0, -1, -2, -3, 0, 1, 2});
  const Tensor labels = Tensor::of<std::int32_t>({4}, {1, 1, 0, 2});
  CHECK(count_correct(logits, labels) == 3);
  CHECK(accuracy(logits, labels) == 0.75);
  CHECK(count_correct(Tensor({0, 3}), Tensor::of<std::int32_t>({0}, {})) == 0);
  CHECK_THROWS_AS(accuracy(Tensor({0, 3}), Tensor::of<std::int32_t>({0}, {})), Error);
  CHECK_THROWS_AS(accuracy(Tensor({3, 4}), labels), Error);
  CHECK_THROWS_AS(accuracy(Tensor({4, 3}, std::numeric_limits<Real>::quiet_NaN()), labels), Error);
}

TEST_CASE("cross_entropy: a class that is ruled out by a logit of -inf costs nothing unless it is the label") {
  constexpr Real infinity = std::numeric_limits<Real>::infinity();
  const Var logits = Var::leaf(Tensor({1, 3}, {0, -infinity, 0}));
  const Tensor possible = Tensor::of<std::int32_t>({1}, {2}), impossible = Tensor::of<std::int32_t>({1}, {1});
  const Var loss = cross_entropy(logits, possible);
  CHECK(loss.item() == doctest::Approx(std::log(2.0)));
  loss.backward();
  CHECK(logits.grad()[0] == doctest::Approx(0.5));
  CHECK(logits.grad()[1] == 0);
  CHECK(logits.grad()[2] == doctest::Approx(-0.5));
  CHECK(cross_entropy(logits, impossible).item() == infinity);
}
