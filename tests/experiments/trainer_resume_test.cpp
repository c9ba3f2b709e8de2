// A training that is broken off at any moment goes on from its checkpoint to the very same end; what a checkpoint holds
// of each part is needed, and checked.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

struct Broken {};  // thrown where a run is broken off

/// Everything that a training ends with.
struct Outcome {
  nn::StateDict network, best, judged;
  State optimizer;
  Rows rows, curve, notes;
  std::uint64_t drawn;

  explicit Outcome(SmallTraining& t)
      : network(t.net->state_dict()),
        best(t.trainer.best_network()),
        judged(t.trainer.judged_network()),
        optimizer(t.optimizer.state()),
        curve(t.trainer.loss_curve()),
        notes(t.trainer.notes()),
        drawn(t.net->named_generators().front().second->position()) {
    // NaN, which nothing equals, stands for what was not asked for.
    for (const EpochResult& r : t.trainer.results()) {
      rows.push_back(r.row());
      for (double& v : rows.back()) v = std::isnan(v) ? -1 : v;
    }
  }
  bool operator==(const Outcome& o) const {
    return same(network, o.network) && same(best, o.best) && same(judged, o.judged) &&
           same(optimizer.tensors, o.optimizer.tensors) && optimizer.counts == o.optimizer.counts &&
           optimizer.numbers == o.optimizer.numbers && rows == o.rows && curve == o.curve && notes == o.notes &&
           drawn == o.drawn;
  }
};

/// Notes something of every epoch.
TrainerEvents noting(SmallTraining& t) {
  return {.epoch = [&t](const EpochResult& r) { t.trainer.note({r.epoch, r.loss}); }};
}

/// Runs until `stop` steps are taken, with the last save at `saved`; both at most the number of all steps.
void broken_off(const std::filesystem::path& checkpoint, std::int64_t saved, std::int64_t stop) {
  TrainerOptions options = SmallTraining::options(checkpoint);
  options.save_steps = saved;
  SmallTraining t(options);
  const auto at = [stop](std::int64_t step, double, double) {
    if (step == stop) throw Broken();
  };
  TrainerEvents events = noting(t);
  events.step = at;
  CHECK_THROWS_AS(t.trainer.run(events), Broken);
}

std::uint64_t steps_in(const std::filesystem::path& path) {
  return read_checkpoint(path).parts.at("optimizer").count("schedule.step");
}

const Outcome& uninterrupted() {
  static const Outcome outcome = [] {
    SmallTraining t;
    t.trainer.run(noting(t));
    return Outcome(t);
  }();
  return outcome;
}

Outcome resumed(const std::filesystem::path& checkpoint) {
  SmallTraining t(SmallTraining::options(checkpoint));
  REQUIRE(t.trainer.restore());
  t.trainer.run(noting(t));
  return Outcome(t);
}

}  // namespace

TEST_CASE("trainer: broken off at any step, in the middle of an epoch or at its end, it goes on to the same bits") {
  const TempFolder folder;
  for (std::int64_t stop = 2; stop <= 15; ++stop) {
    CAPTURE(stop);
    const auto path = folder / std::to_string(stop);
    broken_off(path, 1, stop);
    CHECK(steps_in(path) == static_cast<std::uint64_t>(stop) - 1);
    CHECK(resumed(path) == uninterrupted());
  }
}

TEST_CASE("trainer: a training in bfloat16 goes on to the same bits, and learns what one in float does, nearly") {
  const TempFolder folder;
  TrainerOptions options = SmallTraining::options(folder / "run");
  options.compute = ComputeType::bfloat16;
  const auto run = [&](std::int64_t stop) {
    SmallTraining t(options);
    t.trainer.restore();
    TrainerEvents events = noting(t);
    events.step = [stop](std::int64_t step, double, double) {
      if (step == stop) throw Broken();
    };
    try {
      t.trainer.run(events);
    } catch (const Broken&) {
    }
    return Outcome(t);
  };
  const Outcome whole = run(0);
  std::filesystem::remove(options.checkpoint);
  options.save_steps = 1;
  run(7);
  CHECK(run(0) == whole);
  CHECK(!(whole == uninterrupted()));
  const auto loss = [](const Outcome& o) { return o.rows.back()[1]; };
  CHECK(std::abs(loss(whole) - loss(uninterrupted())) < 0.05 * loss(uninterrupted()));
}

TEST_CASE("trainer: broken off again and again, and steps after the last checkpoint are taken once more") {
  const TempFolder folder;
  const auto path = folder / "run";
  broken_off(path, 4, 7);
  for (const std::int64_t stop : {8, 12, 14}) {
    TrainerOptions options = SmallTraining::options(path);
    options.save_steps = 3;
    SmallTraining t(options);
    REQUIRE(t.trainer.restore());
    CHECK(t.trainer.steps_taken() < stop);
    const auto at = [stop](std::int64_t step, double, double) {
      if (step == stop) throw Broken();
    };
    TrainerEvents events = noting(t);
    events.step = at;
    CHECK_THROWS_AS(t.trainer.run(events), Broken);
  }
  CHECK(resumed(path) == uninterrupted());
}

TEST_CASE("trainer: each part of a checkpoint is needed, without it the end is another one") {
  const TempFolder folder;
  const auto path = folder / "run";
  broken_off(path, 7, 8);
  const Checkpoint whole = read_checkpoint(path);
  CHECK(resumed(path) == uninterrupted());
  const auto without = [&](auto&& change) {
    Checkpoint c = whole;
    change(c);
    write_checkpoint(path, c);
    return !(resumed(path) == uninterrupted());
  };
  const auto fill = [](nn::StateDict& state) {
    for (auto& [name, value] : state) std::ranges::fill(value.mut(), Real(0.5));
  };
  const auto changed = [&](const char* part, auto&& change) {
    return without([&](Checkpoint& c) { change(c.parts.at(part)); });
  };
  CHECK(changed("network", [](State& s) { s.tensors[0].second.mutable_data()[0] += Real(1e-3); }));
  CHECK(changed("network", [](State& s) { s.tensors.back().second.mutable_data()[0] += Real(1e-3); }));
  CHECK(changed("network", [](State& s) { s.counts.at("dropout.rng")[1] = 0; }));
  CHECK(changed("average", [&](State& s) { fill(s.tensors); }));
  CHECK(changed("optimizer", [](State& s) { s.tensors[0].second = Tensor(); }));
  CHECK(changed("optimizer", [](State& s) { s.counts.at("steps")[0] = 0; }));
  CHECK(without([](Checkpoint& c) {
    --c.parts.at("optimizer").counts.at("schedule.step")[0];
    --c.parts.at("loader").counts.at("batch")[0];
  }));
  for (const char* sum : {"loss_sum", "window_sum"})
    CHECK(changed("training", [&](State& s) { s.numbers.at(sum)[0] += 1e-9; }));
  CHECK(changed("training", [](State& s) { s.numbers.at("loss_curve").resize(2 * 2); }));
  CHECK(changed("training", [](State& s) {
    s.numbers.at("notes").clear();
    s.counts.at("note_lengths").clear();
  }));
  CHECK(changed("training", [](State& s) { s.numbers.at("results")[1] += 1e-9; }));
  CHECK(changed("training", [&](State& s) {  // a best epoch that nothing surpasses
    s.numbers.at("results")[3] = 2;
    fill(s.tensors);
  }));
  CHECK_FALSE(without([](Checkpoint&) {}));
}

TEST_CASE("trainer: a checkpoint that does not fit is refused by name and left as it is") {
  const TempFolder folder;
  const auto path = folder / "run";
  broken_off(path, 7, 8);
  const Checkpoint whole = read_checkpoint(path);
  const auto refused = [&](auto&& change) {
    Checkpoint c = whole;
    change(c);
    write_checkpoint(path, c);
    const std::string before = file_content(path);
    SmallTraining t(SmallTraining::options(path));
    const std::string said = complaint_of([&] { t.trainer.restore(); });
    CHECK(file_content(path) == before);
    return said;
  };
  CHECK_SAYS(refused([](Checkpoint& c) { c.config = R"({"lr":0.2})"; }), "was begun with lr = 0.2, given 0.1");
  CHECK_SAYS(refused([](Checkpoint& c) { c.config = R"({"lr":0.1,"bits":2})"; }), "bits = 2, given null");
  CHECK_SAYS(refused([](Checkpoint& c) { c.config = "[]"; }), "configuration is damaged");
  const auto says = [&](const char* part, auto&& change) {
    return refused([&](Checkpoint& c) { change(c.parts.at(part)); });
  };
  CHECK_SAYS(says("network", [](State& s) { s.tensors[0].first = "conv.wait"; }), "network: ");
  CHECK_SAYS(says("network", [](State& s) { s.tensors[0].first = "conv.wait"; }), "conv.weight");
  CHECK_SAYS(says("network", [](State& s) { s.tensors[0].second = Tensor({2}); }), "conv.weight");
  CHECK_SAYS(says("network", [](State& s) { s.counts.clear(); }), "given 0 random streams, expected 1");
  CHECK_SAYS(says("network", [](State& s) { ++s.counts.at("dropout.rng")[0]; }),
             "given another random stream for 'dropout.rng'");
  CHECK_SAYS(says("average", [](State& s) { s.tensors.pop_back(); }), "'norm.running_var' is missing");
  CHECK_SAYS(says("average", [](State& s) { s.tensors[1].second = Tensor({7}); }), "'conv.bias' of shape (7)");
  CHECK_SAYS(says("optimizer", [](State& s) { s.counts.at("steps").pop_back(); }), "step counts");
  CHECK_SAYS(says("optimizer", [](State& s) { s.numbers.at("lr")[0] = std::nan(""); }), "learning rate");
  const auto says_at_step = [&](std::uint64_t step) {
    return says("optimizer", [step](State& s) { s.counts.at("schedule.step")[0] = step; });
  };
  CHECK_SAYS(says_at_step(4), "1 finished epochs and 4 steps");
  CHECK_SAYS(says_at_step(11), "1 finished epochs and 11 steps");
  CHECK_SAYS(says_at_step(~std::uint64_t{0}), "steps, expected fewer");
  CHECK_SAYS(says("loader", [](State& s) { s.counts.at("batch")[0] = 0; }), "given a loader at batch 0 of epoch 1");
  CHECK_SAYS(says("loader", [](State& s) { s.counts.at("batch")[0] = 5; }), "expected epoch >= 0 and a batch below 5");
  CHECK_SAYS(says("training", [](State& s) { s.numbers.at("results").pop_back(); }), "given 7 numbers of results");
  CHECK_SAYS(says("training", [](State& s) { s.numbers.at("loss_curve").pop_back(); }), "of the loss curve");
  CHECK_SAYS(says("training", [](State& s) { s.counts.at("note_lengths")[0] = 3; }), "numbers of notes, expected more");
  CHECK_SAYS(says("training", [](State& s) { s.counts.at("note_lengths")[0] = 1; }),
             "numbers of notes, expected fewer");
  CHECK_SAYS(says("training", [](State& s) { s.counts.at("best")[0] = 2; }), "best: given epoch 2, expected one of 1");
  CHECK_SAYS(says("training", [](State& s) { s.numbers.erase("seconds"); }), "'seconds' is missing");
  CHECK_SAYS(says("training", [](State& s) { s.tensors.pop_back(); }), "training: ");
  CHECK_SAYS(says("log", [](State& s) { s.texts.clear(); }), "'position' is missing");
  CHECK_SAYS(refused([](Checkpoint& c) { c.parts.erase("average"); }), "the part 'average' is missing");
  CHECK_SAYS(refused([](Checkpoint& c) { c.parts["weights"]; }), "the part 'weights' is unknown to this training");
  SmallTraining t(SmallTraining::options(folder / "nowhere"));
  CHECK_FALSE(t.trainer.restore());
}

namespace {

/// Somebody's own statistic: the largest of losses that fall short of it half the time, by a coin of its own.
class Record {
 public:
  void see(double loss) {
    if (coin_.bits() % 2 == 0) largest_ = std::max(largest_, loss);
    seen_.mutable_data()[0] += Real(1);
  }
  State state() const {
    return {{{"seen", seen_}}, {{"coin", {coin_.key(), coin_.position()}}}, {{"largest", {largest_}}}, {{"by", "me"}}};
  }
  void load_state(const State& s) {
    s.expect_shapes_of(state());
    coin_ = Rng::at(s.counts_of("coin").at(0), s.counts_of("coin").at(1));
    seen_ = s.tensors[0].second;
    largest_ = s.number("largest");
  }
  bool operator==(const Record& o) const {
    return seen_[0] == o.seen_[0] && coin_.position() == o.coin_.position() && largest_ == o.largest_;
  }
  double seen() const { return static_cast<double>(seen_[0]); }

 private:
  Tensor seen_ = Tensor({1});
  Rng coin_{11};
  double largest_ = 0;
};

void train_with(Record& record, const std::filesystem::path& path, std::int64_t stop, bool restored) {
  TrainerOptions options = SmallTraining::options(path);
  options.save_steps = 2;
  options.parts = {stateful("record", record)};
  SmallTraining t(options);
  CHECK(t.trainer.restore() == restored);
  TrainerEvents events = noting(t);
  events.step = [&](std::int64_t step, double, double loss) {
    if (step == stop) throw Broken();
    record.see(loss);
  };
  if (stop > 0)
    CHECK_THROWS_AS(t.trainer.run(events), Broken);
  else
    t.trainer.run(events);
}

}  // namespace

TEST_CASE("trainer: a part of a user's own is saved and restored without an edit in the trainer") {
  const TempFolder folder;
  Record whole;
  train_with(whole, folder / "whole", 0, false);
  CHECK(whole.seen() == 15);
  for (const std::int64_t stop : {4, 8, 14}) {
    CAPTURE(stop);
    const auto path = folder / std::to_string(stop);
    Record begun, resumed;
    train_with(begun, path, stop, false);
    train_with(resumed, path, 0, true);
    CHECK(resumed == whole);
    CHECK(read_checkpoint(path).parts.at("record").text("by") == "me");
  }
  // The same checkpoint in a training that does not know the part, and one that lacks it.
  SmallTraining without(SmallTraining::options(folder / "whole"));
  CHECK_SAYS(complaint_of([&] { without.trainer.restore(); }), "the part 'record' is unknown to this training");
  TrainerOptions options = SmallTraining::options(folder / "plain");
  SmallTraining(options).trainer.run();
  options.parts = {stateful("record", whole)};
  SmallTraining with(options);
  CHECK_SAYS(complaint_of([&] { with.trainer.restore(); }), "the part 'record' is missing");
}

TEST_CASE("trainer: two parts of one name, and names that are no file names, are refused") {
  Record record;
  for (const char* name : {"network", "", "a/b"}) {
    TrainerOptions options = SmallTraining::options();
    options.parts = {stateful(name, record)};
    CHECK_SAYS(complaint_of([&] { SmallTraining t(options); }), "parts: given");
  }
}

TEST_CASE("trainer: a run that is over is restored with its results and does nothing more") {
  const TempFolder folder;
  const auto path = folder / "run";
  SmallTraining first(SmallTraining::options(path));
  first.trainer.run(noting(first));
  const std::string before = file_content(path);
  SmallTraining again(SmallTraining::options(path));
  REQUIRE(again.trainer.restore());
  int steps = 0;
  again.trainer.run({.step = [&](std::int64_t, double, double) { ++steps; }});
  CHECK(steps == 0);
  CHECK(Outcome(again) == uninterrupted());
  CHECK(file_content(path) == before);
}
