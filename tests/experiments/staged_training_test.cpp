// Trainings by every method, in one stage and in several: broken off anywhere they go on to the same bits.
#include <doctest/doctest.h>

#include <set>

#include "core/ops.h"
#include "experiments/studies/step_time.h"
#include "experiments/training/network_state.h"
#include "experiments/training/staged.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/uniform.h"
#include "quant/assembly.h"
#include "quant/evaluation_scope.h"
#include "quant/method.h"
#include "quant/weights/projection.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

struct Broken {};

std::unique_ptr<nn::Module> classifier(const nn::MakeActivation& activation, const Rng& rng) {
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 1, .out = 8, .bias = false}, rng.split("conv1"));
  net->add<nn::BatchNorm>("norm1", 8);
  net->append("act1", activation("act1"));
  net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 8, .out = 8, .stride = 2, .bias = false}, rng.split("conv2"));
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

// The network with the activations of a method, or of another number of bits.
std::unique_ptr<nn::Module> classifier_of(const quant::Method& method, std::uint64_t seed) {
  return quant::make_network(
      method, [seed](const nn::MakeActivation& activation) { return classifier(activation, Rng(seed)); }, {8, 8, 1});
}

/// A row of the table with every layer quantized, and the optimizer that it wants.
quant::Method in_all_layers(const std::string& name) {
  quant::Method m = quant::method(name);
  m.layers.clear();
  return m;
}

quant::Method at_bits(quant::Method m, int weights, int activations) {
  quant::Method changed = with_bits(m, {weights, activations});
  changed.two_stage = m.two_stage;
  changed.progressive = m.progressive;
  return changed;
}

/// Two epochs of five steps in each stage.
StagedTraining training_by(const quant::Method& method, const OptimSettings& optim,
                           const std::filesystem::path& checkpoint, std::int64_t save_steps = 1) {
  TrainingPlan plan{method, optim, {}, 3, {}};
  plan.options.config = R"({"lr":0.02})";
  plan.options.checkpoint = checkpoint;
  plan.options.save_steps = save_steps;
  plan.options.average_decay = 0.5;
  plan.options.quiet = true;
  return {plan, images(), [](const nn::MakeActivation& activation) { return classifier(activation, Rng(5)); }};
}

OptimSettings optim_settings(const quant::Method& method = {}) {
  OptimSettings o;
  if (!method.optimizer.empty()) o.optimizer = method.optimizer;
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

void goes_on(const quant::Method& method, const OptimSettings& optim, std::vector<std::int64_t> stops) {
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

TEST_CASE("every method goes on from its checkpoint to the same bits" * doctest::test_suite("long")) {
  for (const std::string& name : quant::method_names()) {
    CAPTURE(name);
    const quant::Method method = in_all_layers(name);
    goes_on(method, optim_settings(method), {4, 8});
  }
}

TEST_CASE("step_time: a few steps of the last stage, also when the data set has fewer") {
  std::vector<int> made;  // bits of the activations
  const auto make = [&](const nn::MakeActivation& activation) {
    const auto a = activation("act1");
    const auto* quantizer = dynamic_cast<quant::ActivationQuantizer*>(a.get());
    made.push_back(quantizer ? quantizer->bits() : 0);
    return classifier(activation, Rng(5));
  };
  const Timing t = step_time({quant::method("telcnn"), optim_settings(), {}, 3, {}}, images(), make, 9);
  CHECK(0 < t.min);
  CHECK(t.min <= t.median);
  CHECK(t.median <= t.max);
  CHECK(made == std::vector<int>{2, 0});  // and the float partner
  CHECK_THROWS_AS(timing_of({}), Error);
}

TEST_CASE("deployed weights are packed, with codes and without") {
  const auto bytes_of = [](const std::string& name, int bits) {
    const quant::Method row = in_all_layers(name);
    return training_by(at_bits(row, bits, target(row).activation_bits), optim_settings(), {}).deployed().bytes;
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
    const quant::Method& method = quant::method(name);
    StagedTraining training = training_by(method, optim_settings(method), {});
    training.run();
    const double judged = training.trainer().results().back().test["loss"];
    // The network as it is reported, deployed by hand.
    const nn::StateDict state = training.trainer().judged_network();
    const auto net = classifier_of(method, 7);
    const auto rule = quant::make_rule(method, *net);
    quant::advance(*net, {2, 2});
    load_state(*net, rule.get(), state);
    if (rule) rule->deploy();
    CHECK(evaluate(*net, *images().test).loss == judged);
  }
}

TEST_SUITE("paper-telcnn") {
  quant::Method two_bits() {
    return {.weights = {"exact", quant::ExactOptions{.bits = 2}},
            .activations = {"uniform", quant::UniformOptions{.bits = 2}}};
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

  TEST_CASE("stages with a guide go on from a checkpoint in any of them to the same bits" *
            doctest::test_suite("paper-telcnn long")) {
    quant::Method method = two_bits();
    method.two_stage = true;
    method.progressive = {32, 4};
    method.guidance.guide = "features";
    goes_on(method, optim_settings(), {4, 11, 14, 21, 29, 35, 41, 49});
  }

  TEST_CASE("paper-telcnn 7.5: with float activations the second stage begins with the outputs of the first") {
    const quant::Method method = at_bits(two_bits(), 2, 0);
    const TempFolder folder;
    StagedTraining first = training_by(method, optim_settings(), folder / "run");
    first.run();
    // A second stage with the very same bits: what it starts from, and its own quantizers.
    const auto next = classifier_of(method, 9);
    next->load_state_dict(first.net().state_dict());
    auto rule = quant::make_rule(method, *next);
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
    quant::Method method = two_bits();
    method.progressive = {8};
    OptimSettings still = optim_settings();
    still.lr = 0;  // nothing is learnt, but for the running statistics
    TrainingPlan plan{method, still, {}, 3, {}};
    plan.options.quiet = true;
    int made = 0;
    StagedTraining training(plan, images(), [&](const nn::MakeActivation& activation) {
      ++made;
      return classifier(activation, Rng(5));
    });
    CHECK(training.stages() == std::vector<TrainingStage>{{8, 8}, {2, 2}});
    training.run();
    CHECK(made == 2);
    const auto start = classifier_of(method, 5);
    const auto before = start->named_parameters(), after = training.net().named_parameters();
    for (std::size_t i = 0; i < before.size(); ++i)
      CHECK(std::ranges::equal(before[i].second->value.view(), after[i].second->value.view()));
    // Back at 8 bits the network computes what it did there.
    const auto logits_at = [&](int bits) {
      const quant::Method at = at_bits(method, bits, bits);
      const auto net = classifier_of(at, 5);
      net->load_state_dict(training.net().state_dict());
      const auto rule = quant::make_rule(at, *net);
      rule->deploy();
      return logits_of(*net);
    };
    const auto eight = logits_at(8);
    CHECK(logits_at(2) != eight);
    CHECK(logits_at(8) == eight);
  }

  TEST_CASE("paper-telcnn 7.7: after a training of k bits no weight and no activation has more than 2^k values") {
    for (const int bits : {2, 4}) {
      quant::Method method = at_bits(quant::method("telcnn"), bits, bits);
      method.layers = {"last: weights=float"};
      method.progressive = {32, 8};
      StagedTraining training = training_by(method, optim_settings(), {});
      training.run();
      nn::Module& net = training.net();
      const quant::EvaluationScope scope(net, training.trainer().rule());
      const auto distinct = [](const Tensor& t) { return std::set<Real>(t.view().begin(), t.view().end()).size(); };
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
        if (!p->effective.defined()) continue;
        ++quantized;
        CHECK(distinct(p->effective) <= std::size_t{1} << bits);
        CHECK(distinct(p->value) > 50);
      }
      CHECK(quantized == 2);
    }
  }

  TEST_CASE("stages: epochs and steps are counted through, and a checkpoint of other stages is refused") {
    quant::Method method = two_bits();
    method.two_stage = true;
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
    method.two_stage = false;
    StagedTraining other = training_by(method, optim_settings(), path);
    CHECK_SAYS(complaint_of([&] { other.restore(); }), "stage");
  }

  TEST_CASE("stages: what a rule takes from weights at its start is that of the weights its stage begins with") {
    quant::Method method = quant::method("lsq");
    method.layers = {"first: weights=float", "last: weights=float"};
    OptimSettings still = optim_settings();
    still.lr = 0;
    method.progressive = {32};
    TrainingPlan plan{method, still, {}, 3, {}};
    plan.options.quiet = true;
    std::uint64_t next_seed = 5;  // 6 in the second stage
    StagedTraining training(
        plan, images(), [&](const nn::MakeActivation& activation) { return classifier(activation, Rng(next_seed++)); });
    training.run();
    const auto step_of = [](const nn::StateDict& state) {
      for (const auto& [name, value] : state)
        if (name == "conv2.weight.step") return value.item();
      return Real(0);
    };
    const auto start_of = [&](std::uint64_t seed) {
      const auto net = classifier_of(method, seed);
      return quant::make_rule(method, *net)->parameters().at(0)->value.item();
    };
    CHECK(step_of(training.trainer().judged_network()) == start_of(5));
    CHECK(start_of(5) != start_of(6));
  }

  TEST_CASE("stages: a method that demands an optimizer refuses another one") {
    const quant::Method& method = quant::method("bop");
    OptimSettings optim = optim_settings(method);
    CHECK(complaint_of([&] { training_by(method, optim, {}); }) == "");
    optim.optimizer = "sgd";
    CHECK_SAYS(complaint_of([&] { training_by(method, optim, {}); }),
               "--optimizer: given sgd with the method bop, expected adam");
  }
}
