// Bop against its algorithm, and several rules as one optimizer.
#include "optim/bop.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "optim/adam.h"
#include "optim/joint.h"
#include "optim/sgd.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::optim;

namespace {

std::vector<Real> values_of(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

Tensor normals(std::int64_t n, const Rng& stream) {
  Tensor t = Tensor::uninitialized({n});
  Rng rng = stream;
  rng.normal(t.mutable_data(), static_cast<std::size_t>(n));
  return t;
}

Tensor signs(std::int64_t n, const Rng& stream) {
  Tensor t = normals(n, stream);
  for (Real& x : t.mut()) x = x < 0 ? Real(-1) : Real(1);
  return t;
}

// Binary weights under Bop and a float one under Adam, with gradients drawn for each step.
struct Mixed {
  Parameter binary{signs(50, Rng(1))}, other{normals(3, Rng(2))};
  Joint optimizer{rules()};

  std::vector<std::unique_ptr<Optimizer>> rules() {
    binary.rate_factor = 0.5;
    std::vector<std::unique_ptr<Optimizer>> all;
    all.push_back(std::make_unique<Bop>(std::vector{&binary}, BopOptions{.lr = 0.2, .threshold = 0.01}));
    all.push_back(std::make_unique<Adam>(std::vector{&other}, AdamOptions{.lr = 0.2}));
    return all;
  }
  void step(std::uint64_t number) {
    optimizer.lr = 0.2 / static_cast<double>(1 + number);
    binary.set_grad(normals(50, Rng(3).split(number)));
    other.set_grad(normals(3, Rng(4).split(number)));
    optimizer.step();
  }
  std::vector<Real> all() const {
    std::vector<Real> v = values_of(binary.value);
    for (const Real x : other.value.view()) v.push_back(x);
    return v;
  }
};

}  // namespace

TEST_CASE("bop: three steps by hand, a mean on the threshold does not flip, nor does a weight of 0") {
  Parameter w(Tensor({4}, {1, -1, 2, 0}));
  Bop bop({&w}, {.lr = 0.5, .threshold = 0.25});
  const auto after = [&](std::vector<Real> gradient) {
    w.set_grad(Tensor({4}, gradient));
    bop.step();
    return values_of(w.value);
  };
  CHECK(after({Real(0.5), Real(0.5), -1, 4}) == std::vector<Real>{1, -1, 2, 0});   // m = .25 .25 -.5 2
  CHECK(after({Real(0.5), Real(0.5), 4, 4}) == std::vector<Real>{-1, -1, -2, 0});  // m = .375 .375 1.75 3
  CHECK(after({0, -2, 0, 4}) == std::vector<Real>{-1, 1, -2, 0});                  // m = .1875 -.8125 .875 3.5
  CHECK(bop.state().tensors[0].first == "mean.0");
  CHECK(values_of(bop.state().tensors[0].second) ==
        std::vector<Real>{Real(0.1875), Real(-0.8125), Real(0.875), Real(3.5)});
}

TEST_CASE("bop: flips where w m exceeds the threshold, and nowhere else, over 60 steps of 2000 weights") {
  constexpr std::int64_t kCount = 2000;
  Parameter w(signs(kCount, Rng(5)));
  std::vector<Real> expected = values_of(w.value), mean(kCount);
  Bop bop({&w}, {.lr = 0.03, .threshold = 0.02});
  std::int64_t flips = 0;
  for (std::uint64_t step = 0; step < 60; ++step) {
    if (step == 30) bop.lr = 0.003;
    const Tensor g = normals(kCount, Rng(6).split(step));
    w.set_grad(g);
    bop.step();
    for (std::size_t i = 0; i < kCount; ++i) {
      mean[i] = static_cast<Real>(1 - bop.lr) * mean[i] + static_cast<Real>(bop.lr) * g[static_cast<std::int64_t>(i)];
      if (expected[i] * mean[i] <= Real(0.02)) continue;
      expected[i] = -expected[i];
      ++flips;
    }
    REQUIRE(values_of(w.value) == expected);
  }
  CHECK(flips > kCount);
}

TEST_CASE("bop: descends a quadratic to the signs of its minimum; with the opposite gradient it leaves them") {
  const Tensor target = normals(500, Rng(7));
  const auto share_right = [&](Real direction) {
    Parameter w(signs(500, Rng(8)));
    Bop bop({&w}, {.lr = 0.1, .threshold = 1e-3});
    for (int step = 0; step < 100; ++step) {
      Tensor g = Tensor::uninitialized({500});
      for (std::int64_t i = 0; i < 500; ++i) g.mutable_data()[i] = -direction * 2 * target[i];
      w.set_grad(g);
      bop.step();
    }
    double right = 0;
    for (std::int64_t i = 0; i < 500; ++i) right += w.value[i] * target[i] > 0;
    return right / 500;
  };
  CHECK(share_right(1) > 0.99);
  CHECK(share_right(-1) < 0.01);
}

TEST_CASE("bop: the same bits with one thread and with two") {
  const auto run = [](int threads) {
    set_num_threads(threads);
    Parameter w(signs(300007, Rng(9)));
    Bop bop({&w}, {.lr = 0.3, .threshold = 0.1});
    for (std::uint64_t step = 0; step < 3; ++step) {
      w.set_grad(normals(300007, Rng(10).split(step)));
      bop.step();
    }
    return values_of(w.value);
  };
  CHECK(run(1) == run(2));
}

TEST_CASE("bop: options out of range are refused, rates as well") {
  Parameter w(Tensor({1}, Real(1)));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(Bop({&w}, {.lr = 1.5}), Error);
  CHECK_THROWS_AS(Bop({&w}, {.lr = nan}), Error);
  CHECK_THROWS_AS(Bop({&w}, {.threshold = -1}), Error);
  CHECK_THROWS_AS(Bop({&w}, {.threshold = nan}), Error);
  Bop bop({&w}, {.lr = 1});
  w.rate_factor = 2;
  w.set_grad(Tensor({1}, Real(1)));
  CHECK_SAYS(complaint_of([&] { bop.step(); }), "given gamma 2");
}

TEST_CASE("joint optimizer: each rule does what it does alone, at the common rate") {
  Mixed mixed;
  Parameter binary(mixed.binary.value), other(mixed.other.value);
  binary.rate_factor = 0.5;
  Bop bop({&binary}, {.lr = 0.2, .threshold = 0.01});
  Adam adam({&other}, {.lr = 0.2});
  for (std::uint64_t s = 0; s < 8; ++s) {
    mixed.step(s);
    bop.lr = adam.lr = mixed.optimizer.lr;
    binary.set_grad(mixed.binary.grad());
    other.set_grad(mixed.other.grad());
    bop.step();
    adam.step();
  }
  CHECK(values_of(mixed.binary.value) == values_of(binary.value));
  CHECK(values_of(mixed.other.value) == values_of(other.value));
  CHECK(values_of(binary.value) != values_of(signs(50, Rng(1))));
  mixed.optimizer.zero_grad();
  const std::vector<Real> before = mixed.all();
  mixed.optimizer.step();
  CHECK(mixed.all() == before);
}

TEST_CASE("joint optimizer: a restored state goes on bit for bit, without it the results differ") {
  Mixed whole;
  for (std::uint64_t s = 0; s < 4; ++s) whole.step(s);
  const State state = whole.optimizer.state();
  CHECK(state.tensors.size() == 3);
  CHECK(state.tensors[0].first == "0.mean.0");
  CHECK(state.tensors[2].first == "1.square.0");
  CHECK(state.counts_of("0.steps") == std::vector<std::uint64_t>{4});
  CHECK(state.counts_of("1.steps") == std::vector<std::uint64_t>{4});
  Mixed resumed, forgetful;
  for (Mixed* m : {&resumed, &forgetful}) {
    m->binary.value = whole.binary.value;
    m->other.value = whole.other.value;
  }
  resumed.optimizer.load_state(state);
  CHECK(resumed.optimizer.lr == state.number("0.lr"));
  for (std::uint64_t s = 4; s < 8; ++s)
    for (Mixed* m : {&whole, &resumed, &forgetful}) m->step(s);
  CHECK(resumed.all() == whole.all());
  CHECK(forgetful.all() != whole.all());
}

TEST_CASE("joint optimizer: a state that does not fit is refused and changes nothing, rates must agree") {
  Mixed mixed;
  mixed.step(0);
  const auto refusal = [&](auto&& spoil) {
    State state = mixed.optimizer.state();
    for (auto& [name, value] : state.tensors) value = Tensor(value.shape(), Real(7));
    spoil(state);
    const std::string complaint = complaint_of([&] { mixed.optimizer.load_state(state); });
    CHECK(values_of(mixed.optimizer.state().tensors[0].second)[0] != 7);
    return complaint;
  };
  CHECK_SAYS(refusal([](State& s) { s.tensors.pop_back(); }), "'1.square.0' is missing");
  CHECK_SAYS(refusal([](State& s) { s.counts["1.steps"].push_back(1); }), "given 2 step counts, expected 1");
  CHECK_SAYS(refusal([](State& s) { s.numbers["1.lr"] = {0.3}; }), "learning rates of");
  CHECK_SAYS(refusal([](State& s) { s.tensors[1].first = "mean"; }), "'1.mean.0' is missing");
  CHECK_SAYS(refusal([](State& s) { s.tensors[2].second = Tensor({9}); }), "'square.0' of shape (9)");
  CHECK_THROWS_AS(Joint({}), Error);
  std::vector<std::unique_ptr<Optimizer>> rules;
  rules.push_back(std::make_unique<Bop>(std::vector{&mixed.binary}, BopOptions{.lr = 0.2}));
  rules.push_back(std::make_unique<Sgd>(std::vector{&mixed.other}, SgdOptions{.lr = 0.1}));
  CHECK_SAYS(complaint_of([&] { Joint joint(std::move(rules)); }), "learning rates of 0.2 and 0.1");
}
