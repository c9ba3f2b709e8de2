// A training with a weight rule that remembers something and a float partner that learns beside it:
// isolation, and going on from a checkpoint.
#include <doctest/doctest.h>

#include "experiments/training/network_state.h"
#include "quant/activations/uniform.h"
#include "quant/weights/lloyd.h"
#include "quant/weights/relaxation.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

struct Broken {};

std::vector<Parameter*> joined(nn::Module& a, nn::Module& b) {
  std::vector<Parameter*> all = a.parameters();
  for (Parameter* p : b.parameters()) all.push_back(p);
  return all;
}

struct Outcome {
  nn::StateDict state;
  bool operator==(const Outcome& o) const { return same(state, o.state); }
};

/// Five steps of 20 images an epoch, dropout in both networks.
struct GuidedTraining {
  const SplitData data = small_data();
  std::unique_ptr<nn::Sequential> net = small_net(Rng(5)), partner = small_net(Rng(6));
  datasets::DataLoader loader{*data.train, {.batch_size = 20, .drop_last = true, .seed = 3}};
  quant::WeightRule rule{*net, Part{"warm_lloyd", quant::LloydOptions{.bits = 3}},
                         Part{"blend", quant::BlendOptions{.rho = 1e-3}}};
  optim::Sgd optimizer{joined(*net, *partner), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3}};
  quant::Guidance guidance;
  Classification task{{.label_smoothing = 0.1}};
  Trainer trainer;

  static TrainerOptions options(const std::filesystem::path& checkpoint = {}) {
    TrainerOptions o = SmallTraining::options(checkpoint);
    o.save_steps = 1;
    return o;
  }
  explicit GuidedTraining(double weight, TrainerOptions o = options())
      : guidance(*net, *partner, {.weight = weight, .partner_weight = weight},
                 [](const Var& x) { return quant::quantize_activation(x, Real(1) / 3, 2, surrogate("clipped_relu")); }),
        trainer(*net, task, optimizer, loader, data, std::move(o), {&rule, nullptr, &guidance}) {}

  /// Everything that it ends with, in one list.
  Outcome outcome() {
    Outcome all{state_of(*net, &rule)};
    for (const nn::StateDict& part :
         {partner->state_dict(), trainer.best_network(), trainer.judged_network(), optimizer.state().tensors})
      std::ranges::copy(part, std::back_inserter(all.state));
    return all;
  }
};

Outcome resumed(const std::filesystem::path& path) {
  GuidedTraining t(0.5, GuidedTraining::options(path));
  REQUIRE(t.trainer.restore());
  t.trainer.run();
  return t.outcome();
}

Tensor& entry(nn::StateDict& state, const std::string& name) {
  return std::ranges::find(state, name, [](const auto& e) { return e.first; })->second;
}

/// One of the two networks alone.
nn::StateDict alone(int seed, bool with_rule) {
  const SplitData data = small_data();
  const auto net = small_net(Rng(seed));
  datasets::DataLoader loader(*data.train, {.batch_size = 20, .drop_last = true, .seed = 3});
  std::unique_ptr<quant::WeightRule> rule;
  if (with_rule)
    rule = std::make_unique<quant::WeightRule>(*net, Part{"warm_lloyd", quant::LloydOptions{.bits = 3}},
                                               Part{"blend", quant::BlendOptions{.rho = 1e-3}});
  optim::Sgd optimizer(net->parameters(), {.lr = 0.1, .momentum = 0.9, .weight_decay = 1e-3});
  Classification task({.label_smoothing = 0.1});
  Trainer trainer(*net, task, optimizer, loader, data, GuidedTraining::options(), {rule.get()});
  trainer.run();
  return state_of(*net, rule.get());
}

}  // namespace

TEST_SUITE("paper-telcnn") {
  TEST_CASE("paper-telcnn 7.4: in the trainer, too, weight 0 is two independent trainings, bit for bit") {
    GuidedTraining guided(0);
    guided.trainer.run();
    CHECK(same(state_of(*guided.net, &guided.rule), alone(5, true)));
    // The partner is neither averaged nor judged: only what the steps have made of it is compared.
    CHECK(same(guided.partner->state_dict(), alone(6, false)));
    GuidedTraining drawn(1);
    drawn.trainer.run();
    CHECK_FALSE(same(drawn.partner->state_dict(), guided.partner->state_dict()));
    CHECK_FALSE(same(drawn.net->state_dict(), guided.net->state_dict()));
  }

  TEST_CASE("a guided training goes on from its checkpoint to the same bits, scales and partner included") {
    const TempFolder folder;
    GuidedTraining whole(0.5);
    whole.trainer.run();
    for (std::int64_t stop = 2; stop <= 15; stop += 3) {
      CAPTURE(stop);
      const auto path = folder / std::to_string(stop);
      {
        GuidedTraining t(0.5, GuidedTraining::options(path));
        const auto at = [stop](std::int64_t step, double, double) {
          if (step == stop) throw Broken();
        };
        CHECK_THROWS_AS(t.trainer.run({.step = at}), Broken);
      }
      const Checkpoint kept = read_checkpoint(path);
      CHECK(resumed(path) == whole.outcome());
      // With another scale, or another partner, the end is another one.
      Checkpoint changed = kept;
      entry(changed.parts.at("weights").tensors, "conv.weight.delta").mutable_data()[0] *= Real(1.5);
      write_checkpoint(path, changed);
      CHECK_FALSE(resumed(path) == whole.outcome());
      changed = kept;
      entry(changed.parts.at("partner").tensors, "fc.weight").mutable_data()[0] += Real(1e-3);
      write_checkpoint(path, changed);
      CHECK_FALSE(resumed(path) == whole.outcome());
    }
  }

  TEST_CASE("a checkpoint with a partner does not fit a training without one, nor the other way round") {
    const TempFolder folder;
    const auto path = folder / "run";
    GuidedTraining(0.5, GuidedTraining::options(path)).trainer.run();
    const Checkpoint kept = read_checkpoint(path);
    const auto refused = [&](auto&& change) {
      Checkpoint c = kept;
      change(c.parts);
      write_checkpoint(path, c);
      GuidedTraining t(0.5, GuidedTraining::options(path));
      return complaint_of([&] { t.trainer.restore(); });
    };
    CHECK_SAYS(refused([](States& s) { s.erase("partner"); }), "the part 'partner' is missing");
    CHECK_SAYS(refused([](States& s) { s.at("partner").counts.clear(); }), "random streams");
    CHECK_SAYS(refused([](States& s) { s.at("weights").tensors.pop_back(); }), "delta");
    SmallTraining alone(SmallTraining::options(path));
    write_checkpoint(path, kept);
    CHECK_SAYS(complaint_of([&] { alone.trainer.restore(); }), "the part 'partner' is unknown to this training");
  }
}
