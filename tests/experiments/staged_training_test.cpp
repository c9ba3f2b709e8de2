// Trainings by every method, in one stage and in several: broken off anywhere they go on to the same bits.
#include <doctest/doctest.h>

#include <set>

#include "core/ops.h"
#include "experiments/studies/step_time.h"
#include "experiments/training/network_state.h"
#include "experiments/training/staged.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/evaluation_scope.h"
#include "quant/method.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

struct Broken {};

std::unique_ptr<nn::Module> classifier(const NetSettings& s, const Rng& rng) {
  const nn::MakeActivation activation = make_activation(s);
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 1, .out = 8, .bias = false}, rng.split("conv1"));
  net->add<nn::BatchNorm>("norm1", 8);
  net->append("act1", activation("act1"));
  net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 8, .out = 8, .stride = 2, .bias = false},
                       rng.split("conv2"));
  net->add<nn::BatchNorm>("norm2", 8);
  net->append("act2", activation("act2"));
  net->add<nn::Flatten>("flatten");
  net->add<nn::Linear>("fc", 8 * 2 * 2, 4, rng.split("fc"));
  return net;
}

const SplitData& images() {
  static const SplitData data = small_data();
  return data;
}

/// Two epochs of five steps in each stage.
StagedTraining training_by(const MethodSettings& method, const OptimSettings& optim,
                           const std::filesystem::path& checkpoint, std::int64_t save_steps = 1) {
  TrainingPlan plan{method, optim, {}, 3, {}};
  plan.options.config = R"({"lr":0.02})";
  plan.options.checkpoint = checkpoint;
  plan.options.save_steps = save_steps;
  plan.options.average_decay = 0.5;
  plan.options.quiet = true;
  return {plan, images(), [method](const TrainingStage& stage) {
            NetSettings s = method.net;
            s.activation_bits = stage.activation_bits;
            return classifier(s, Rng(5));
          }};
}

OptimSettings optim_settings() {
  OptimSettings o;
  o.epochs = 2;
  o.batch = 20;
  o.lr = 0.02;
  o.schedule = "cosine";
  return o;
}

/// Everything that a checkpoint holds but clock, log and the writing program.
std::string outcome(const std::filesystem::path& path) {
  Checkpoint c = read_checkpoint(path);
  c.parts.at("training").numbers.at("seconds") = {0};
  c.parts.erase("log");
  c.commit = "";
  const auto plain = path.string() + ".plain";
  write_checkpoint(plain, c);
  return file_content(plain);
}

/// Breaks a training off after `stop` steps, all stages counted, the last save one step before.
void broken_off(StagedTraining training, std::int64_t stop) {
  const auto at = [stop](std::int64_t step, double, double) {
    if (step == stop) throw Broken();
  };
  CHECK_THROWS_AS(training.run({.step = at}), Broken);
}

void goes_on(const MethodSettings& method, const OptimSettings& optim, std::vector<std::int64_t> stops) {
  const TempFolder folder;
  const auto whole = folder / "whole", path = folder / "run";
  training_by(method, optim, whole).run();
  for (const std::int64_t stop : stops) {
    CAPTURE(stop);
    std::filesystem::remove(path);
    broken_off(training_by(method, optim, path), stop);
    StagedTraining training = training_by(method, optim, path);
    REQUIRE(training.restore());
    training.run();
    CHECK(outcome(path) == outcome(whole));
  }
}

}  // namespace

TEST_CASE("every method goes on from its checkpoint to the same bits") {
  for (const std::string& name : quant::method_names()) {
    CAPTURE(name);
    MethodSettings method;
    OptimSettings optim = optim_settings();
    choose(name, method, optim);
    method.rule.quantize_first = method.rule.quantize_last = true;
    goes_on(method, optim, {4, 8});
  }
}

TEST_CASE("step_time: a few steps of the last stage, also when the data set has fewer") {
  MethodSettings method;
  OptimSettings optim = optim_settings();
  choose("telcnn", method, optim);
  std::vector<TrainingStage> made;
  const auto make = [&](const TrainingStage& stage) {
    made.push_back(stage);
    NetSettings s = method.net;
    s.activation_bits = stage.activation_bits;
    return classifier(s, Rng(5));
  };
  const Timing t = step_time({method, optim, {}, 3, {}}, images(), make, 9);
  CHECK(0 < t.min);
  CHECK(t.min <= t.median);
  CHECK(t.median <= t.max);
  CHECK(made == std::vector<TrainingStage>{{2, 2}, {}});  // and the float partner
  CHECK_THROWS_AS(timing_of({}), Error);
}

TEST_CASE("deployed weights are packed, with codes and without") {
  const auto bytes_of = [](const std::string& name, int bits) {
    MethodSettings method;
    OptimSettings optim = optim_settings();
    choose(name, method, optim);
    method.rule.weight_bits = bits;
    method.rule.quantize_first = method.rule.quantize_last = true;
    return training_by(method, optim, {}).deployed().bytes;
  };
  const std::int64_t weights = 72 + 576 + 128, plain = bytes_of("bcgd", 0);
  for (const int bits : {1, 2, 8}) {
    CHECK(bytes_of("bcgd", bits) == plain - 4 * weights + weights * bits / 8 + 3 * 4);
    if (bits == 1) continue;                 // which these grids do not have
    const std::int64_t resolutions = 2 * 4;  // of the activations, trained in bcgd alone
    CHECK(bytes_of("statquant", bits) == plain - 4 * weights + weights * bits / 8 + 3 * 8 - resolutions);
  }
}

TEST_CASE("every method judges what it deploys: no more levels than its bits have, whatever its relaxation") {
  for (const std::string& name : quant::method_names()) {
    CAPTURE(name);
    MethodSettings method;
    OptimSettings optim = optim_settings();
    choose(name, method, optim);
    StagedTraining training = training_by(method, optim, {});
    training.run();
    const double judged = training.trainer().results().back().test["loss"];
    // The network as it is reported, deployed by hand.
    const nn::StateDict state = training.trainer().judged_network();
    const auto net = classifier(method.net, Rng(7));
    const auto rule = make_rule(method.rule, *net);
    quant::advance(*net, {2, 2});
    load_state(*net, rule.get(), state);
    if (rule) rule->deploy();
    CHECK(evaluate(*net, *images().test).loss == judged);
  }
}

TEST_SUITE("paper-telcnn") {
  MethodSettings two_bits() {
    MethodSettings method;
    method.net.activation_bits = 2;
    method.rule.weight_bits = 2;
    method.rule.relaxation = "none";
    return method;
  }

  // Of the test images, in evaluation mode.
  std::vector<Real> logits_of(nn::Module & net) {
    const ModeScope mode(net, false);
    const NoGrad constant;
    datasets::DataLoader loader(*images().test, {.batch_size = 40, .shuffle = false});
    loader.seek(0, 0);
    const Tensor logits = net(loader.next()["image"]).value();
    return {logits.view().begin(), logits.view().end()};
  }

  TEST_CASE("stages with a guide go on from a checkpoint in any of them to the same bits") {
    MethodSettings method = two_bits();
    method.stages.two_stage = true;
    method.stages.bits = {32, 4};
    method.guide.guide = "features";
    goes_on(method, optim_settings(), {4, 11, 14, 21, 29, 35, 41, 49});
  }

  TEST_CASE(
      "paper-telcnn 7.5: with float activations the second stage begins with the outputs of the first") {
    MethodSettings method = two_bits();
    method.net.activation_bits = 0;
    const TempFolder folder;
    StagedTraining first = training_by(method, optim_settings(), folder / "run");
    first.run();
    // A second stage with the very same bits: what it starts from, and its own quantizers.
    const auto next = classifier(method.net, Rng(9));
    next->load_state_dict(first.net().state_dict());
    auto rule = make_rule(method.rule, *next);
    const auto deployed_logits = [&](nn::Module& net, quant::WeightRule* of_net) {
      const quant::EvaluationScope scope(net, of_net);
      return logits_of(net);
    };
    const auto last = deployed_logits(first.net(), first.trainer().rule()), begun = deployed_logits(*next, rule.get());
    for (std::size_t i = 0; i < last.size(); ++i) CHECK(std::abs(last[i] - begun[i]) <= 1e-6);
    rule.reset();
    CHECK(logits_of(*next) != last);
  }

  TEST_CASE("paper-telcnn 7.6: from one stage to the next only the quantizers change") {
    MethodSettings method = two_bits();
    method.stages.bits = {8};
    OptimSettings still = optim_settings();
    still.lr = 0;  // nothing is learnt, but for the running statistics
    TrainingPlan plan{method, still, {}, 3, {}};
    plan.options.quiet = true;
    std::vector<TrainingStage> made;
    StagedTraining training(plan, images(), [&](const TrainingStage& stage) {
      made.push_back(stage);
      NetSettings s = method.net;
      s.activation_bits = stage.activation_bits;
      return classifier(s, Rng(5));
    });
    training.run();
    CHECK(made == std::vector<TrainingStage>{{8, 8}, {2, 2}});
    const auto start = classifier(method.net, Rng(5));
    const auto before = start->named_parameters(), after = training.net().named_parameters();
    for (std::size_t i = 0; i < before.size(); ++i)
      CHECK(std::ranges::equal(before[i].second->value.view(), after[i].second->value.view()));
    // Back at 8 bits the network computes what it did there.
    const auto logits_at = [&](int bits) {
      NetSettings s = method.net;
      s.activation_bits = bits;
      const auto net = classifier(s, Rng(5));
      net->load_state_dict(training.net().state_dict());
      RuleSettings r = method.rule;
      r.weight_bits = bits;
      const auto rule = make_rule(r, *net);
      rule->deploy();
      return logits_of(*net);
    };
    const auto eight = logits_at(8);
    CHECK(logits_at(2) != eight);
    CHECK(logits_at(8) == eight);
  }

  TEST_CASE(
      "paper-telcnn 7.7: after a training of k bits no weight and no activation has more than 2^k values") {
    for (const int bits : {2, 4}) {
      MethodSettings method;
      OptimSettings optim = optim_settings();
      choose("telcnn", method, optim);
      method.rule.weight_bits = method.net.activation_bits = bits;
      method.rule.quantize_first = true;
      method.stages.bits = {32, 8};
      StagedTraining training = training_by(method, optim, {});
      training.run();
      nn::Module& net = training.net();
      const quant::EvaluationScope scope(net, training.trainer().rule());
      const auto distinct = [](const Tensor& t) {
        return std::set<Real>(t.view().begin(), t.view().end()).size();
      };
      std::vector<std::size_t> seen;
      for (const auto& [name, module] : net.named_modules())
        if (name.starts_with("act"))
          module->register_forward_hook(
              [&](nn::Module&, const Var&, const Var& y) { seen.push_back(distinct(y.value())); });
      logits_of(net);
      REQUIRE(seen.size() == 2);
      for (const std::size_t values : seen) {
        CHECK(values <= std::size_t{1} << bits);
        CHECK(values > 1);
      }
      int quantized = 0;
      for (const auto& [name, p] : net.named_parameters()) {
        if (!p->used.defined()) continue;
        ++quantized;
        CHECK(distinct(p->used) <= std::size_t{1} << bits);
        CHECK(distinct(p->value) > 50);
      }
      CHECK(quantized == 2);
    }
  }

  TEST_CASE("stages: epochs and steps are counted through, and a checkpoint of other stages is refused") {
    MethodSettings method = two_bits();
    method.stages.two_stage = true;
    const TempFolder folder;
    const auto path = folder / "run";
    StagedTraining training = training_by(method, optim_settings(), path);
    std::vector<double> epochs;
    std::int64_t steps = 0;
    training.run({.step = [&](std::int64_t step, double, double) { CHECK(step == ++steps); },
                  .epoch = [&](const EpochResult& r) { epochs.push_back(r.epoch); }});
    CHECK(steps == 20);
    CHECK(epochs == std::vector<double>{1, 2, 3, 4});
    CHECK(training.results().size() == 4);
    CHECK(training.results()[3].epoch == 4);
    method.stages.two_stage = false;
    StagedTraining other = training_by(method, optim_settings(), path);
    CHECK_SAYS(complaint_of([&] { other.restore(); }), "stage");
  }

  TEST_CASE(
      "stages: what a rule takes from weights at its start is that of the weights its stage begins with") {
    MethodSettings method;
    OptimSettings still = optim_settings();
    choose("lsq", method, still);
    still.lr = 0;
    method.stages.bits = {32};
    TrainingPlan plan{method, still, {}, 3, {}};
    plan.options.quiet = true;
    const auto made = [&](const TrainingStage& stage, std::uint64_t seed) {
      NetSettings s = method.net;
      s.activation_bits = stage.activation_bits;
      return classifier(s, Rng(seed));
    };
    StagedTraining training(plan, images(),
                            [&](const TrainingStage& stage) { return made(stage, stage.weight_bits == 2 ? 6 : 5); });
    training.run();
    const auto step_of = [](const nn::StateDict& state) {
      for (const auto& [name, value] : state)
        if (name == "conv2.weight.step") return value.item();
      return Real(0);
    };
    const auto start_of = [&](std::uint64_t seed) {
      const auto net = made({2, 2}, seed);
      return make_rule(method.rule, *net)->parameters().at(0)->value.item();
    };
    CHECK(step_of(training.trainer().judged_network()) == start_of(5));
    CHECK(start_of(5) != start_of(6));
  }

  TEST_CASE("stages: 0, which stands for none, is refused beside other bits") {
    CHECK(stages_of({.bits = {0}}, {2, 2}).size() == 1);
    CHECK(stages_of({.bits = {8, 4}}, {2, 2}).size() == 3);
    CHECK_SAYS(complaint_of([] {
                 stages_of({.bits = {8, 0}}, {2, 2});
               }),
               "--stage-bits: given 0 beside other bits, expected either");
  }

  TEST_CASE("stages: a method that demands an update rule refuses another one") {
    MethodSettings method;
    OptimSettings optim = optim_settings();
    choose("bop", method, optim);
    CHECK(complaint_of([&] { training_by(method, optim, {}); }) == "");
    optim.optimizer = "sgd";
    CHECK_SAYS(complaint_of([&] { training_by(method, optim, {}); }),
               "--optimizer: given sgd with the method bop, expected bop");
  }
}
