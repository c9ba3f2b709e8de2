#include <doctest/doctest.h>

#include <limits>
#include <memory>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "optim/adam.h"
#include "optim/bop.h"
#include "optim/joint.h"
#include "optim/sgd.h"
#include "tests/optim/golden.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::optim;
using nlohmann::json;

namespace {

// PyTorch's vector code fuses some products and sums, ours rounds each: one unit in the last place was seen.
constexpr double kBound = std::is_same_v<Real, double> ? 1e-15 : 2 * 0x1p-24;

/// The two parameters of the golden file and their groups.
struct Problem {
  Parameter w{tensor_of(golden()["start"]["w"])}, alpha{tensor_of(golden()["start"]["alpha"])};

  Problem() {
    alpha.rate_factor = golden()["rate_factor"];
    alpha.decay = false;
  }
  std::vector<Parameter*> parameters() { return {&w, &alpha}; }

  void set_gradients(std::size_t step) {
    const auto missing = golden()["no_alpha_gradient"].get<std::vector<std::size_t>>();
    w.set_grad(tensor_of(golden()["gradients"][step]["w"]));
    alpha.set_grad(tensor_of(golden()["gradients"][step]["alpha"]));
    if (std::find(missing.begin(), missing.end(), step) != missing.end()) alpha.zero_grad();
  }
};

/// The optimizer of a golden case: the keys are PyTorch's.
std::unique_ptr<Optimizer> make(const std::string& name, const json& options, std::vector<Parameter*> parameters) {
  if (name.starts_with("sgd"))
    return std::make_unique<Sgd>(parameters, SgdOptions{.lr = options["lr"],
                                                        .momentum = options.value("momentum", 0.),
                                                        .nesterov = options.value("nesterov", false),
                                                        .weight_decay = options.value("weight_decay", 0.)});
  const auto betas = options.value("betas", std::vector<double>{0.9, 0.999});
  return std::make_unique<Adam>(parameters, AdamOptions{.lr = options["lr"],
                                                        .beta1 = betas[0],
                                                        .beta2 = betas[1],
                                                        .epsilon = options.value("eps", 1e-8),
                                                        .weight_decay = options.value("weight_decay", 0.)});
}

void one_step(Optimizer& optimizer, Problem& problem, std::size_t step) {
  if (step == golden()["gradients"].size() / 2) optimizer.lr *= 0.5;
  problem.set_gradients(step);
  optimizer.step();
}

/// The largest error over all steps.
double error_of(const std::string& name, const json& options) {
  Problem problem;
  const auto optimizer = make(name, options, problem.parameters());
  double worst = 0;
  std::size_t step = 0;
  for (const json& row : golden()["optimizers"][name][kRealName]) {
    one_step(*optimizer, problem, step++);
    worst = std::max({worst, error(problem.w.value, row["w"]), error(problem.alpha.value, row["alpha"])});
  }
  return worst;
}

std::vector<Real> values_of(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

}  // namespace

TEST_CASE("optimizers: every step of every rule, with two groups and missing gradients, is PyTorch's") {
  CHECK(golden()["optimizers"].size() == 8);
  for (const auto& entry : golden()["optimizers"].items()) {
    const std::string& name = entry.key();
    CAPTURE(name);
    CHECK(error_of(name, entry.value()["options"]) <= kBound);
  }
}

TEST_CASE("optimizers: the comparison with PyTorch notices an option that is slightly off") {
  for (const auto& entry : golden()["optimizers"].items()) {
    const std::string& name = entry.key();
    CAPTURE(name);
    for (const char* key : {"lr", "momentum", "weight_decay", "eps"}) {
      json options = entry.value()["options"];
      if (!options.contains(key)) continue;
      options[key] = options[key].get<double>() * 1.01;
      CAPTURE(key);
      CHECK(error_of(name, options) > 10 * kBound);
    }
  }
}

TEST_CASE("optimizers: a restored state goes on bit for bit, and without it the results differ") {
  const std::size_t steps = golden()["gradients"].size();
  for (const std::string name : {"sgd nesterov", "adam"}) {
    CAPTURE(name);
    const json& options = golden()["optimizers"][name]["options"];
    for (std::size_t stop = 1; stop < steps; ++stop) {
      Problem whole, resumed, forgetful;
      const auto optimizer = make(name, options, whole.parameters());
      State state;
      for (std::size_t s = 0; s < steps; ++s) {
        if (s == stop) {
          state = optimizer->state();
          for (Problem* p : {&resumed, &forgetful}) {
            p->w.value = whole.w.value;
            p->alpha.value = whole.alpha.value;
          }
        }
        one_step(*optimizer, whole, s);
      }
      const auto restored = make(name, options, resumed.parameters());
      const auto fresh = make(name, options, forgetful.parameters());
      restored->load_state(state);
      fresh->lr = state.number("lr");
      for (std::size_t s = stop; s < steps; ++s) {
        one_step(*restored, resumed, s);
        one_step(*fresh, forgetful, s);
      }
      CHECK(values_of(resumed.w.value) == values_of(whole.w.value));
      CHECK(values_of(resumed.alpha.value) == values_of(whole.alpha.value));
      CHECK(values_of(forgetful.w.value) != values_of(whole.w.value));
    }
  }
}

TEST_CASE("optimizers: each part of Adam's state matters") {
  const json& options = golden()["optimizers"]["adam"]["options"];
  const auto after_spoiling = [&](auto&& spoil) {
    Problem problem;
    const auto optimizer = make("adam", options, problem.parameters());
    for (std::size_t s = 0; s < 4; ++s) one_step(*optimizer, problem, s);
    State state = optimizer->state();
    spoil(state);
    optimizer->load_state(state);
    for (std::size_t s = 4; s < 8; ++s) one_step(*optimizer, problem, s);
    return values_of(problem.w.value);
  };
  const auto right = after_spoiling([](State&) {});
  CHECK(after_spoiling([](State&) {}) == right);
  CHECK(after_spoiling([](State& s) { s.tensors[0].second = Tensor({5}); }) != right);     // mean.0
  CHECK(after_spoiling([](State& s) { s.tensors[2].second = Tensor({5}, 1); }) != right);  // square.0
  CHECK(after_spoiling([](State& s) { s.counts["steps"][0] = 0; }) != right);
  CHECK(after_spoiling([](State& s) { s.numbers["lr"][0] *= 2; }) != right);
}

TEST_CASE("optimizers: a state is a copy that later steps do not change") {
  Problem problem;
  Sgd optimizer(problem.parameters(), {.lr = 0.1, .momentum = 0.9});
  one_step(optimizer, problem, 1);
  const State state = optimizer.state();
  const auto before = values_of(state.tensors[0].second);
  one_step(optimizer, problem, 2);
  CHECK(values_of(state.tensors[0].second) == before);
}

TEST_CASE("optimizers: a state of another rule or other parameters is refused by name and changes nothing") {
  Problem problem, other;
  Adam adam(problem.parameters(), {});
  one_step(adam, problem, 1);
  const auto refusal = [&](auto&& spoil) {
    State state = adam.state();
    spoil(state);
    return complaint_of([&] { adam.load_state(state); });
  };
  CHECK(refusal([](State&) {}) == "");
  CHECK_SAYS(refusal([](State& s) { s.tensors.pop_back(); }), "'square.1' is missing");
  CHECK_SAYS(refusal([](State& s) { s.tensors[1].first = "mean.7"; }), "'mean.1' is missing");
  CHECK_SAYS(refusal([](State& s) { s.tensors[1].second = Tensor({3}); }), "'mean.1' of shape (3)");
  CHECK_SAYS(refusal([](State& s) { s.counts["steps"].pop_back(); }), "given 1 step counts, expected 2");
  CHECK_SAYS(refusal([](State& s) { s.counts.clear(); }), "'steps' is missing");
  CHECK_SAYS(refusal([](State& s) { s.texts["more"] = ""; }), "given 'more', which is unknown");
  CHECK_SAYS(refusal([](State& s) { s.numbers["lr"].clear(); }), "given 0 numbers for 'lr', expected one");
  CHECK_SAYS(refusal([](State& s) { s.numbers["lr"] = {-1}; }), "learning rate of -1");
  Sgd sgd(other.parameters(), {.momentum = 0.9});
  CHECK_THROWS_AS(sgd.load_state(adam.state()), Error);
  CHECK(adam.state().counts_of("steps") == std::vector<std::uint64_t>{1, 1});
}

TEST_CASE("optimizers: the same bits with one thread and with two") {
  const std::int64_t n = 300007;
  const auto run = [&](int threads, bool adam) {
    set_num_threads(threads);
    Tensor start = Tensor::uninitialized({n});
    Rng rng(5);
    rng.normal(start.mutable_data(), static_cast<std::size_t>(n));
    Parameter w(start);
    std::unique_ptr<Optimizer> optimizer;
    if (adam)
      optimizer = std::make_unique<Adam>(std::vector{&w}, AdamOptions{.weight_decay = 0.01});
    else
      optimizer =
          std::make_unique<Sgd>(std::vector{&w}, SgdOptions{.momentum = 0.9, .nesterov = true, .weight_decay = 0.01});
    for (int s = 0; s < 3; ++s) {
      Tensor grad = Tensor::uninitialized({n});
      rng.normal(grad.mutable_data(), static_cast<std::size_t>(n));
      w.set_grad(grad);
      optimizer->step();
    }
    return values_of(w.value);
  };
  for (bool adam : {false, true}) CHECK(run(1, adam) == run(2, adam));
}

TEST_CASE("optimizers: bounds clamp the value after the step, and zero_grad makes a step do nothing") {
  Parameter p(Tensor({3}, {-1, 0, 1}));
  p.bounds = Parameter::Bounds{Real(-0.5), Real(0.75)};
  Sgd optimizer({&p}, {.lr = 1});
  p.set_grad(Tensor({3}, {1, Real(0.25), -1}));
  optimizer.step();
  CHECK(values_of(p.value) == std::vector<Real>{Real(-0.5), Real(-0.25), Real(0.75)});
  optimizer.zero_grad();
  optimizer.step();
  CHECK(values_of(p.value) == std::vector<Real>{Real(-0.5), Real(-0.25), Real(0.75)});
}

TEST_CASE("optimizers: a first step without any gradient is refused, since backward() was left out") {
  Parameter p(Tensor({1})), still(Tensor({1}));
  Sgd sgd({&p, &still}, {.lr = 1});
  const std::string missing = "given a first step without gradients, expected backward() before step()";
  CHECK_SAYS(complaint_of([&] { sgd.step(); }), missing);
  p.set_grad(Tensor({1}, Real(1)));
  sgd.step();
  CHECK(p.value.item() == -1);
  sgd.zero_grad();
  CHECK(complaint_of([&] { sgd.step(); }) == "");  // a phase in which all are frozen
  CHECK(complaint_of([&] { Sgd({}, {}).step(); }) == "");
}

TEST_CASE("optimizers: options and parameters that make no sense are refused") {
  Parameter p(Tensor({1}));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(Sgd({&p}, {.lr = -1}), Error);
  CHECK_THROWS_AS(Sgd({&p}, {.lr = nan}), Error);
  CHECK_THROWS_AS(Sgd({&p}, {.momentum = -0.1}), Error);
  CHECK_THROWS_AS(Sgd({&p}, {.nesterov = true}), Error);
  CHECK_THROWS_AS(Sgd({&p}, {.weight_decay = nan}), Error);
  CHECK_THROWS_AS(Adam({&p}, {.beta1 = 1}), Error);
  CHECK_THROWS_AS(Adam({&p}, {.beta2 = -0.1}), Error);
  CHECK_THROWS_AS(Adam({&p}, {.epsilon = -1}), Error);
  CHECK_THROWS_AS(Adam({&p}, {.weight_decay = -1}), Error);
  CHECK_THROWS_AS(Sgd({&p, &p}, {}), Error);
  CHECK_THROWS_AS(Sgd({nullptr}, {}), Error);
  CHECK_NOTHROW(Sgd({}, {}));
}

TEST_CASE("optimizers: a setting that is no finite Real is refused, wherever it is set, and nothing moves") {
  Parameter p(Tensor({2}, Real(1)));
  p.set_grad(Tensor({2}));
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const double large = 10. * static_cast<double>(std::numeric_limits<Real>::max());  // no finite Real
  for (const double bad : {nan, inf, -inf, large, -1.}) {
    INFO(bad);
    CHECK_THROWS_AS(Sgd({&p}, {.lr = bad}), Error);
    CHECK_THROWS_AS(Sgd({&p}, {.momentum = bad}), Error);
    CHECK_THROWS_AS(Sgd({&p}, {.weight_decay = bad}), Error);
    CHECK_THROWS_AS(Adam({&p}, {.lr = bad}), Error);
    CHECK_THROWS_AS(Adam({&p}, {.beta1 = bad}), Error);
    CHECK_THROWS_AS(Adam({&p}, {.beta2 = bad}), Error);
    CHECK_THROWS_AS(Adam({&p}, {.epsilon = bad}), Error);
    CHECK_THROWS_AS(Adam({&p}, {.weight_decay = bad}), Error);
    CHECK_THROWS_AS(Bop({&p}, {.lr = bad}), Error);
    CHECK_THROWS_AS(Bop({&p}, {.threshold = bad}), Error);
    std::vector<std::unique_ptr<Optimizer>> rules, parts;
    rules.push_back(std::make_unique<Sgd>(std::vector{&p}, SgdOptions{.momentum = 0.5}));
    rules.push_back(std::make_unique<Adam>(std::vector{&p}, AdamOptions{}));
    rules.push_back(std::make_unique<Bop>(std::vector{&p}, BopOptions{}));
    parts.push_back(std::make_unique<Sgd>(std::vector{&p}, SgdOptions{}));
    rules.push_back(std::make_unique<Joint>(std::move(parts)));
    for (const auto& rule : rules) {
      const double before = rule->lr;
      State state = rule->state();
      for (auto& [name, list] : state.numbers) list = {bad};
      CHECK_THROWS_AS(rule->load_state(state), Error);
      rule->lr = bad;
      CHECK_THROWS_AS(rule->step(), Error);
      rule->lr = before;
      p.rate_factor = 1e6 * bad;  // what counts is the product with the rate
      CHECK_THROWS_AS(rule->step(), Error);
      p.rate_factor = 1;
    }
    CHECK(p.value[0] == 1);
  }
  CHECK_THROWS_AS(Sgd({&p}, {.momentum = 2}), Error);
  p.bounds = Parameter::Bounds{1, 0};
  CHECK_THROWS_AS(Sgd({&p}, {}).step(), Error);
}
