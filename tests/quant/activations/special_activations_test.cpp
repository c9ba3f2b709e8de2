// Every activation that there is a name for, with all bits that it takes, on the batches that break
// quantizers: where values that are not finite go, and that nothing is learned from them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "core/ops.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/minmax.h"
#include "quant/activations/trained.h"

using namespace coarsegrad;

namespace {

constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN(), kInf = std::numeric_limits<Real>::infinity();

using Values = std::vector<Real>;
const Values kOrdinary{Real(0.5), -1, 2, Real(0.1)};

Values with(Real value) {
  Values x = kOrdinary;
  x[1] = value;
  return x;
}

Values through(nn::Module& activation, const Values& x) {
  const Tensor y = activation(Var(Tensor({static_cast<std::int64_t>(x.size())}, x))).value();
  return {y.view().begin(), y.view().end()};
}

bool finite(Real v) { return std::isfinite(v); }

// Levels over the range of the batch: there are none when its upper end is not finite.
bool follows_each_batch(const std::string& name) { return name == "minmax"; }

// What is wrong with an activation that `make` makes, in training mode, or nothing.
std::string fault(const nn::MakeActivation& make, bool follows_batch) {
  const auto first = [&](const Values& x) { return through(*make(""), x); };
  const Values usual = first(kOrdinary), nan = first(with(kNan)), high = first(with(kInf));
  if (!std::ranges::all_of(usual, finite)) return "ordinary values become infinite or NaN";
  if (first(with(-kInf)) != first(with(-1000))) return "-inf is not as a large negative value";
  for (std::size_t i = 0; i < nan.size(); ++i) {
    if (std::isnan(nan[i]) != (follows_batch || i == 1)) return "NaN does not stay where it is";
    if (std::isnan(high[i]) != follows_batch) return "inf becomes NaN";
  }
  if (!std::ranges::all_of(first({0, 0, 0, 0}), finite)) return "zeros become infinite or NaN";
  if (!first({}).empty()) return "nothing becomes something";
  for (const Values& special : {with(kNan), with(kInf), Values{0, 0, 0, 0}, Values{}}) {
    const auto activation = make("");
    const Var x = Var::leaf(Tensor({static_cast<std::int64_t>(special.size())}, special));
    const Var y = (*activation)(x);
    y.backward(Tensor(y.value().shape(), Real(1)));
    for (Parameter* p : activation->parameters())
      if (p->value.item() == 0 && p->grad().defined()) return "what has not started has a gradient";
    if (through(*activation, kOrdinary) != usual) return "something has started from values that say nothing";
  }
  return "";
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("every registered activation keeps NaN where it is and starts from batches that say something" *
            doctest::test_suite("quant long")) {
    std::set<std::string> seen;
    auto names = quant::activations().names();
    std::erase_if(names, [](const auto& name) { return !quant::activations().part(name).options.has("bits"); });
    for (const std::string& name : names)
      for (int bits = 1; bits <= 17; ++bits) {
        nn::MakeActivation make;
        try {
          make = quant::make_activation(quant::activations().part(name).with("bits", bits));
        } catch (const UsageError&) {
          continue;
        }
        seen.insert(name);
        INFO(name, " ", bits, " bits");
        CHECK(fault(make, follows_each_batch(name)) == "");
      }
    CHECK(seen.size() == names.size());
  }

  TEST_CASE("the checks of special activations find planted faults") {
    class Planted : public nn::Activation {
     public:
      explicit Planted(std::function<Real(Real, Real&)> f) : f_(std::move(f)) {}
      Var forward(const Var& x) override {
        Tensor y = x.value();
        for (Real& v : y.mut()) v = f_(v, memory_);
        return record("planted", y, {x}, [](const Tensor& g) -> Gradients { return {g}; });
      }

     private:
      std::function<Real(Real, Real&)> f_;
      Real memory_ = 0;
    };
    const auto found = [](std::function<Real(Real, Real&)> f) {
      return fault([f](const std::string&) { return std::make_unique<Planted>(f); }, false);
    };
    const auto limited = [](Real v) { return std::isnan(v) ? v : std::clamp(v, Real(-1), Real(1)); };
    CHECK(found([=](Real v, Real&) { return limited(v); }) == "");
    CHECK(found([](Real v, Real&) { return v * kInf; }) == "ordinary values become infinite or NaN");
    CHECK(found([](Real v, Real&) { return v; }) == "-inf is not as a large negative value");
    CHECK(found([](Real, Real&) { return Real(1); }) == "NaN does not stay where it is");
    CHECK(found([=](Real v, Real&) { return v == kInf ? kNan : limited(v); }) == "inf becomes NaN");
    CHECK(found([=](Real v, Real& m) { return limited(v) + (m += std::isnan(v) ? 1 : 0); }) ==
          "something has started from values that say nothing");
  }

  TEST_CASE("lsq activations: a step starts from the first batch that is finite and has a positive value") {
    quant::LearnedStepActivation act({.bits = 2});
    const Values first = through(act, {kNan, 1, 0, -1});
    CHECK(std::isnan(first[0]));
    CHECK(first[1] > 0);
    CHECK(first[2] == 0);
    CHECK(first[3] == 0);
    CHECK(act.step.value.item() == 0);
    through(act, {kInf, 1, 0, -1});
    through(act, {0, -1, -2, -kInf});
    CHECK(act.step.value.item() == 0);
    through(act, {1, 1, 0, -1});
    CHECK(static_cast<double>(act.step.value.item()) == doctest::Approx(2 * 0.5 / std::sqrt(3.0)));
    quant::LearnedStepActivation small({.bits = 2});
    CHECK(through(small, {Real(1e-30), Real(1e-30), 0, -1})[0] > Real(0.5e-30));
  }

  TEST_CASE("minmax activations: -inf is no part of the range that the ReLU leaves") {
    quant::MinMaxActivation act(2);
    const Values y = through(act, {-kInf, 1, Real(0.5), -1});
    CHECK(y[0] == 0);
    CHECK(y[1] == 1);
    CHECK(static_cast<double>(y[2]) == doctest::Approx(2.0 / 3));
    CHECK(y[3] == 0);
  }

  TEST_CASE("trained activations: a recorded range is that of the last batch that is finite and not all 0") {
    quant::TrainedActivation act({.bits = 2});
    act.record_range(true);
    through(act, {1, -2, 3, 0});
    CHECK(act.alpha.value.item() == 1);
    for (const Values& special : {with(kNan), with(kInf), with(-kInf), Values{0, 0}, Values{}}) {
      through(act, special);
      CHECK(act.alpha.value.item() == 1);
    }
  }
}
