#include "experiments/training/trainer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <csignal>
#include <iterator>
#include <limits>

#include "core/ops.h"
#include "datasets/synthetic.h"
#include "experiments/support/run.h"
#include "experiments/training/norm_statistics.h"
#include "experiments/training/settings.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/evaluation_scope.h"
#include "quant/weights/projection.h"
#include "quant/weights/relaxation.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

/// A module that puts a number that is not finite into its output, or its gradient, from its n-th call on.
class Poison : public nn::Module {
 public:
  Poison(int call, bool backward) : left_(call), backward_(backward) {}
  Var forward(const Var& x) override {
    if (--left_ > 0) return x;
    const Tensor value = x.value();
    Tensor out = value;
    const Real bad = std::numeric_limits<Real>::quiet_NaN();
    if (!backward_) out.mutable_data()[0] = bad;
    return record("poison", out, {x}, [this, bad](const Tensor& g) -> Gradients {
      Tensor in = g;
      if (backward_) in.mutable_data()[0] = bad;
      return {in};
    });
  }

 private:
  int left_;
  bool backward_;
};

}  // namespace

TEST_CASE(
    "settings: an exponential schedule multiplies the rate by its factor every so many steps, after the warm-up") {
  OptimSettings s{.schedule = "exponential", .epochs = 4, .lr = 0.01, .factor = 0.9, .decay_steps = 7};
  const optim::Schedule rate = make_schedule(s, 10);
  s.warmup_epochs = 1;
  const optim::Schedule warmed = make_schedule(s, 10);
  for (int step = 0; step < 40; ++step) {
    CAPTURE(step);
    const double expected = 0.01 * std::pow(0.9, step / 7);
    CHECK(std::abs(rate(step) - expected) <= 1e-15);
    if (step < 30) CHECK(warmed(10 + step) == rate(step));
  }
  CHECK(warmed(0) < 0.01);
}

TEST_CASE("trainer: the log is brought to the disk before each checkpoint, which remembers where it stood") {
  const TempFolder folder;
  const auto path = folder / "run";
  const auto log_in = [](const auto& file) { return read_checkpoint(file).parts.at("log").text("position"); };
  TrainerOptions options = SmallTraining::options(path);
  options.save_steps = 2;
  SmallTraining t(options);
  std::vector<std::int64_t> stood;
  std::int64_t steps = 0;
  t.trainer.run({.step = [&](std::int64_t step, double, double) { steps = step; },
                 .sync_log =
                     [&] {
                       if (!stood.empty()) CHECK(log_in(path) == std::to_string(stood.back()));
                       stood.push_back(steps);
                       return std::to_string(steps);
                     }});
  CHECK(stood == std::vector<std::int64_t>{2, 4, 5, 6, 8, 10, 10, 12, 14, 15});
  CHECK(log_in(path) == "15");
}

TEST_CASE("settings: weight decay leaves norms alone, unless it is to act on them") {
  for (const bool all : {false, true}) {
    NetSettings net_settings;
    net_settings.net = "resnet20";
    net_settings.width = 8;
    const auto net = make_net(net_settings, quant::make_activation(Part{"trained"}), datasets::drawn_shapes(10, 1), 1);
    OptimSettings s;
    s.decay_norms = all;
    s.lr = 0.5;
    s.weight_decay = 0.5;
    s.momentum = 0;
    apply_decay(s, *net);
    const auto optimizer = optimizer_maker(s)(net->parameters());
    std::vector<Real> before;
    for (Parameter* p : net->parameters()) {
      p->set_grad(Tensor(p->value.shape()));
      before.push_back(p->value.data()[0]);
    }
    optimizer->step();
    std::size_t i = 0;
    for (const auto& parameter : net->named_parameters()) {
      const std::string& name = parameter.first;
      const Parameter* p = parameter.second;
      const bool norm = name.ends_with("scale") || name.ends_with("shift");
      INFO(name);
      if (name.ends_with("alpha"))
        CHECK(p->value.item() == doctest::Approx((1 - 0.25 * p->rate_factor) * before[i]));
      else
        CHECK(p->value.data()[0] == (norm && !all ? before[i] : Real(0.75) * before[i]));
      ++i;
    }
  }
}

TEST_CASE("trainer: it is the loop of blended coarse gradient descent, written out") {
  const SplitData data = small_data();
  const auto projections = Part{"exact", quant::ExactOptions{.bits = 1}};
  const Part blend{"blend", quant::BlendOptions{.rho = 0.25, .growth = 2}};
  const auto rate = optim::cosine(0.1, 10);

  const auto mine = small_net(Rng(5));
  datasets::DataLoader batches(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  optim::Sgd sgd(mine->parameters(), {.lr = 0.1, .momentum = 0.9});
  auto rule = std::make_unique<quant::WeightRule>(*mine, projections, blend);
  quant::QuantizedOptimizer mine_optimizer(sgd, *mine, {.weights = rule.get()}, {5, 2});
  for (std::int64_t step = 0; step < 10; ++step) {
    const datasets::Batch& batch = batches.next();
    mine_optimizer.lr = rate(step);
    mine_optimizer.zero_grad();
    cross_entropy((*mine)(batch["image"]), batch["label"], Real(0.1)).backward();
    mine_optimizer.step();
  }

  const auto net = small_net(Rng(5));
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  optim::Sgd optimizer(net->parameters(), {.lr = 0.1, .momentum = 0.9});
  quant::WeightRule its_rule(*net, projections, blend);
  TrainerOptions options;
  options.epochs = 2;
  options.rate = rate;
  options.quiet = true;
  Classification task({.label_smoothing = 0.1});
  Trainer trainer(*net, task, optimizer, loader, data, options, {&its_rule});
  trainer.run();
  CHECK(same(net->state_dict(), mine->state_dict()));
  // What is judged is the projection of the float copies as they are now.
  {
    const quant::EvaluationScope scope(*mine, rule.get());
    CHECK(evaluate(*mine, *data.test).loss == trainer.results().back().test["loss"]);
  }
  rule.reset();
  CHECK(evaluate(*mine, *data.test).loss != trainer.results().back().test["loss"]);
}

TEST_CASE("trainer: best is the first epoch of the best held-out accuracy, without held-out images the last one") {
  SmallTraining t;
  t.trainer.run();
  double best = -1;
  for (const EpochResult& r : t.trainer.results()) best = std::max(best, r.held_out["accuracy"]);
  CHECK(t.trainer.best().held_out["accuracy"] == best);
  const auto first =
      std::ranges::find(t.trainer.results(), best, [](const EpochResult& r) { return r.held_out["accuracy"]; });
  CHECK(first->epoch == t.trainer.best().epoch);
  t.net->load_state_dict(t.trainer.best_network());
  CHECK(evaluate(*t.net, *t.data.test).accuracy == t.trainer.best().test["accuracy"]);

  TrainerOptions options = SmallTraining::options();
  options.epochs = 2;
  SmallTraining all(options, 0);
  all.trainer.run();
  CHECK(std::isnan(all.trainer.best().held_out["accuracy"]));
  CHECK(all.trainer.best().epoch == 2);
}

TEST_CASE(
    "trainer: what is not finite stops before any weight moves, with the layer's name, and the checkpoint "
    "stays") {
  for (const bool backward : {false, true}) {
    CAPTURE(backward);
    const TempFolder folder;
    SmallTraining t;
    auto net = small_net(Rng(5));
    nn::Sequential poisoned;
    poisoned.append("body", std::move(net));
    poisoned.add<Poison>("poison", 10, backward);
    optim::Sgd optimizer(poisoned.parameters(), {.lr = 0.1, .momentum = 0.9});
    TrainerOptions options = SmallTraining::options(folder / "run");
    options.norm_batches = 0;
    options.save_steps = 2;
    Trainer trainer(poisoned, t.task, optimizer, t.loader, t.data, options);
    std::vector<Tensor> before;
    std::string saved;
    const auto note = [&](std::int64_t, double, double) {
      before.clear();
      for (const Parameter* p : poisoned.parameters()) before.push_back(p->value);
      if (std::filesystem::exists(options.checkpoint)) saved = file_content(options.checkpoint);
    };
    std::string reason;
    try {
      trainer.run({.step = note});
    } catch (const Diverged& e) {
      reason = e.what();
    }
    CHECK_SAYS(reason, backward ? "the gradient of body.conv.weight is not finite" : "the output of poison");
    const auto parameters = poisoned.parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) CHECK(same(parameters[i]->value, before.at(i)));
    CHECK(saved.size() > 1000);
    CHECK(all_finite(read_checkpoint(options.checkpoint).parts.at("network").tensors[0].second.view()));
  }
}

TEST_CASE("trainer: a gradient of a projection's own parameter that is not finite is refused like any other") {
  // Straight through, but for a gradient of its own that becomes infinite with the third step.
  class Shift : public quant::WeightProjection {
   public:
    std::string name() const override { return "shift"; }
    int bits() const override { return 8; }
    Tensor project(const Tensor& w) override { return w; }
    quant::ProjectionGradient gradient(const Tensor&, const Tensor& g) override {
      const double own = ++calls_ < 3 ? 1 : std::numeric_limits<double>::infinity();
      return {g, {Tensor::scalar(static_cast<Real>(own))}};
    }

   private:
    Parameter& shift_ = register_parameter("shift", Tensor::scalar(0));
    int calls_ = 0;
  };
  const SplitData data = small_data();
  const auto net = small_net(Rng(5));
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  quant::WeightRule rule(
      *net, [](const quant::LayerPlace& layer) { return layer.last ? nullptr : std::make_unique<Shift>(); },
      quant::relaxation({"none"}));
  std::vector<Parameter*> parameters = net->parameters();
  std::ranges::copy(rule.parameters(), std::back_inserter(parameters));
  optim::Sgd sgd(parameters, {.lr = 0.1});
  TrainerOptions options;
  options.quiet = true;
  Classification task;
  Trainer trainer(*net, task, sgd, loader, data, options, {&rule});
  std::vector<Tensor> before;
  const auto note = [&](std::int64_t, double, double) {
    before.clear();
    for (const Parameter* p : parameters) before.push_back(p->value);
  };
  std::string reason;
  try {
    trainer.run({.step = note});
  } catch (const Diverged& e) {
    reason = e.what();
  }
  CHECK_SAYS(reason, "the gradient of conv.weight.shift is not finite");
  CHECK(trainer.steps_taken() == 2);
  for (std::size_t i = 0; i < parameters.size(); ++i) CHECK(same(parameters[i]->value, before.at(i)));
  CHECK(parameters.back()->value.item() == Real(-0.2));
}

TEST_CASE("training: finite is everything but NaN and the infinities") {
  const float inf = std::numeric_limits<float>::infinity();
  std::vector<Real> values(37, std::numeric_limits<float>::max());
  values[3] = -0.f;
  values[4] = std::numeric_limits<float>::denorm_min();
  values[5] = std::numeric_limits<float>::lowest();
  CHECK(all_finite(values));
  CHECK(all_finite({}));
  for (const float bad : {inf, -inf, std::nanf(""), -std::nanf("")})
    for (const std::size_t at : {0u, 17u, 36u}) {
      std::vector<Real> spoilt = values;
      spoilt[at] = bad;
      CHECK_FALSE(all_finite(spoilt));
    }
}

TEST_CASE("norm statistics: the mean over batches of what each batch has, whatever was there before") {
  const SplitData data = small_data();
  const auto net = small_net(Rng(5));
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  auto& running_var = *net->named_buffers()[1].second;
  const auto variance_of = [&](std::int64_t index) {  // momentum 0.1 from 0: a tenth of the batch's own
    std::ranges::fill(running_var.mut(), Real(0));
    loader.seek(4, index);
    (*net)(loader.next()["image"]);
    return static_cast<double>(running_var.view()[2]) * 10;
  };
  const double wanted = (variance_of(0) + variance_of(1)) / 2;
  std::ranges::fill(running_var.mut(), Real(77));
  estimate_norm_statistics(
      *net, [&](const datasets::Batch& batch) { (*net)(batch["image"]); }, loader, 4, 2);
  CHECK(running_var.view()[2] == doctest::Approx(wanted).epsilon(1e-5));
  CHECK(wanted != doctest::Approx(variance_of(0)).epsilon(1e-5));
}

TEST_CASE("norm statistics: those that a module of a user's own offers are estimated with the others") {
  class Centre : public nn::Module {
   public:
    Centre() : mean(register_buffer("mean", Tensor(Shape{}))) {}
    Var forward(const Var& x) override {
      if (training())
        mean = Tensor::scalar(Real(0.75) * mean.item() + Real(0.25) * coarsegrad::mean(x.detach()).item());
      return x - mean;
    }
    std::vector<nn::RunningStatistic> running_statistics() override { return {{mean, 0.25}}; }
    Tensor& mean;
  } net;
  const SplitData data = small_data();
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  double wanted = 0;
  for (int batch = 0; batch < 3; ++batch) {
    loader.seek(4, batch);
    wanted += static_cast<double>(mean(Var(loader.next()["image"])).item()) / 3;
  }
  net.mean = Tensor::scalar(77);
  estimate_norm_statistics(
      net, [&](const datasets::Batch& batch) { net(batch["image"]); }, loader, 4, 3);
  CHECK(net.mean.item() == doctest::Approx(wanted).epsilon(1e-5));
}

TEST_CASE("weight average: follows its definition and refuses decays outside of 0 <= d < 1") {
  const auto net = small_net(Rng(5));
  Parameter& p = *net->parameters().front();
  p.value = Tensor(p.value.shape(), Real(1));
  WeightAverage average(*net, 0.5);
  double expected = 1;
  for (std::int64_t step = 0; step < 20; ++step) {
    p.value = Tensor(p.value.shape(), static_cast<Real>(step));
    average.update(step);
    const double d = std::min(0.5, (1.0 + static_cast<double>(step)) / (10.0 + static_cast<double>(step)));
    expected = d * expected + (1 - d) * static_cast<double>(step);
    CHECK(average.values().front().second.view()[0] == doctest::Approx(expected).epsilon(1e-5));
  }
  CHECK_FALSE(WeightAverage(*net, 0).on());
  CHECK_THROWS_AS(WeightAverage(*net, 1), Error);
}
