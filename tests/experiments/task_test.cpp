// A task that is no classification, on a data set that has no images, through the trainer that knows neither.
#include "experiments/training/task.h"

#include <doctest/doctest.h>

#include <cmath>
#include <csignal>

#include "core/ops.h"
#include "datasets/cifar.h"
#include "experiments/support/run.h"
#include "experiments/training/state_scope.h"
#include "tests/experiments/small_training.h"
#include "tests/support/child.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

constexpr Real kUnmeasured = 1e6;  // what stands where a target was not measured

/// x: four numbers; y: two functions of them; mask: 1 where y was measured, which holds for one of the two at least.
class Measurements : public datasets::Dataset {
 public:
  Measurements(std::int64_t size, std::uint64_t part) : size_(size), rng_(Rng(3).split("measurements").split(part)) {}
  datasets::Description description() const override {
    return {"measurements",
            {{.name = "x", .shape = {4}},
             {.name = "y", .shape = {2}},
             {.name = "mask", .shape = {2}, .type = ElementType::uint8}}};
  }
  std::int64_t size() const override { return size_; }
  datasets::Sample sample(std::int64_t i) const override {
    Rng rng = rng_.split(static_cast<std::uint64_t>(i));
    Tensor x({4});
    for (Real& v : x.mut()) v = static_cast<Real>(2 * rng.uniform() - 1);
    const Real y[] = {x[0] * x[1] + x[2], std::abs(x[3]) - x[0]};
    const std::uint64_t measured = rng.bits() % 3;  // the first, the second, both
    const auto first = static_cast<std::uint8_t>(measured != 1), second = static_cast<std::uint8_t>(measured != 0);
    datasets::Sample s;
    s.add("x", x);
    s.add("y", Tensor({2}, {first ? y[0] : kUnmeasured, second ? y[1] : kUnmeasured}));
    s.add("mask", Tensor::of<std::uint8_t>({2}, {first, second}));
    return s;
  }

 private:
  std::int64_t size_;
  Rng rng_;
};

Tensor as_real(const Tensor& bytes) {
  Tensor values(bytes.shape());
  std::ranges::copy(bytes.view_of<std::uint8_t>(), values.mutable_data());
  return values;
}

/// Squares of the errors at the targets that were measured. The first target alone counts until the task has seen
/// kWarmUp samples, which it therefore has to remember.
class MaskedRegression : public Task {
 public:
  static constexpr std::uint64_t kWarmUp = 90;

  Var loss(nn::Module& net, const datasets::Batch& batch) override {
    const Tensor mask = as_real(batch["mask"]);
    const Tensor weights({2}, {1, seen_ < kWarmUp ? Real(0) : Real(1)});
    seen_ += static_cast<std::uint64_t>(mask.size(0));
    const Var counted = Var(mask) * weights;
    return sum(square(net(batch["x"]) - batch["y"]) * counted) / sum(counted);
  }
  std::vector<Column> metrics() const override {
    return {{"error", "1", "mean squared error of the measured targets"}, {"worst", "1", "largest of these errors"}};
  }
  bool better(const Metrics& a, const Metrics& b) const override { return a["error"] < b["error"]; }
  State state() const override { return {{}, {{"seen", {seen_}}}, {}, {}}; }
  void load_state(const State& state) override {
    state.expect_entries_of(this->state());
    seen_ = state.count("seen");
  }
  std::uint64_t seen() const { return seen_; }

 protected:
  Metrics measure(nn::Module& net, const datasets::Dataset& data) override {
    double total = 0, count = 0, worst = 0;
    for_each_batch(net, data, [&](const datasets::Batch& batch) {
      const Tensor mask = as_real(batch["mask"]), errors = (square(net(batch["x"]) - batch["y"]) * mask).value();
      for (const Real e : errors.view()) {
        total += check_finite("error", static_cast<double>(e));
        worst = std::max(worst, static_cast<double>(e));
      }
      count += static_cast<double>(sum(mask).item());
    });
    return {{"error", total / count}, {"worst", worst}};
  }

 private:
  std::uint64_t seen_ = 0;
};

constexpr std::int64_t kEpochs = 6, kSamples = 120, kBatch = 15, kSteps = kEpochs * kSamples / kBatch;

/// Normalisation, dropout and momentum have something to remember, too.
std::unique_ptr<nn::Sequential> two_outputs(const Rng& rng) {
  auto net = std::make_unique<nn::Sequential>();
  net->add<nn::Linear>("in", 4, 24, rng.split("in"));
  net->add<nn::BatchNorm>("norm", 24);
  net->add<nn::ReLU>("act");
  net->add<nn::Dropout>("dropout", Real(0.05), rng.split("dropout"));
  net->add<nn::Linear>("out", 24, 2, rng.split("out"));
  return net;
}

template <class OneTask = MaskedRegression>
struct RegressionTraining {
  const SplitData data =
      split(std::make_shared<Measurements>(kSamples + 40, 0), std::make_shared<Measurements>(30, 1), 40, 7);
  std::unique_ptr<nn::Sequential> net = two_outputs(Rng(5));
  OneTask task;
  datasets::DataLoader loader{*data.train, {.batch_size = kBatch, .drop_last = true, .seed = 3}};
  optim::Sgd optimizer{net->parameters(), {.lr = 0.1, .momentum = 0.9}};
  Trainer trainer;

  static TrainerOptions options(const std::filesystem::path& checkpoint = {}) {
    TrainerOptions o = SmallTraining::options(checkpoint);
    o.epochs = kEpochs;
    o.rate = optim::cosine(0.1, kSteps);
    o.save_steps = 2;
    return o;
  }
  explicit RegressionTraining(const std::filesystem::path& checkpoint = {})
      : trainer(*net, task, optimizer, loader, data, options(checkpoint)) {}
};

/// What a checkpoint holds besides the clock.
std::string outcome(const std::filesystem::path& path) {
  Checkpoint c = read_checkpoint(path);
  c.parts.at("training").numbers.at("seconds") = {0};
  const auto plain = path.string() + ".plain";
  write_checkpoint(plain, c);
  return file_content(plain);
}

/// In a process of its own, which is killed after `stop` steps.
void killed_after(std::int64_t stop, const std::filesystem::path& checkpoint) {
  const int code = testing::in_child([&] {
    RegressionTraining<> t(checkpoint);
    t.trainer.restore();
    t.trainer.run({.step = [stop](std::int64_t step, double, double) {
      if (step == stop) std::raise(SIGKILL);
    }});
    return 0;
  });
  CHECK(code == -1);
}

/// Whose better result is the one with the larger error.
class WorstRegression : public MaskedRegression {
 public:
  bool better(const Metrics& a, const Metrics& b) const override { return MaskedRegression::better(b, a); }
};

}  // namespace

TEST_CASE(
    "task: a regression of two outputs with a masked loss trains, resumes after a kill and is judged through the same "
    "Trainer") {
  const TempFolder folder;
  const auto whole = folder / "whole", path = folder / "run";
  RegressionTraining<> t(whole);
  std::vector<double> losses;
  t.trainer.run({.step = [&](std::int64_t, double, double loss) { losses.push_back(loss); }});
  REQUIRE(losses.size() == kSteps);
  // It learns, from measured targets alone, and judges the network as it was judged: 1e6 stood where none was measured.
  const auto& results = t.trainer.results();
  CHECK(results.back().loss < 0.5 * results.front().loss);
  CHECK(results.back().test["error"] < 0.1);
  CHECK(results.back().train["error"] < 0.1);
  CHECK(results.back().test["worst"] > results.back().test["error"]);
  CHECK(std::isnan(results.front().train["error"]));
  CHECK(t.task.seen() == kEpochs * kSamples);  // batches that the norm statistics were estimated from do not count
  t.net->load_state_dict(t.trainer.best_network());
  CHECK(t.task.evaluate(*t.net, *t.data.test)["error"] == t.trainer.best().test["error"]);

  // Killed before its first save, in the middle of an epoch, between two epochs, near the end.
  for (const std::int64_t stop : {std::int64_t{1}, std::int64_t{7}, std::int64_t{20}, kSteps - 1}) {
    CAPTURE(stop);
    killed_after(stop, path);
    CHECK(std::filesystem::exists(path) == (stop > 1));
  }
  CHECK(read_checkpoint(path).parts.at("optimizer").count("schedule.step") < kSteps - 1);
  RegressionTraining<> resumed(path);
  REQUIRE(resumed.trainer.restore());
  resumed.trainer.run();
  CHECK(outcome(path) == outcome(whole));
  CHECK(same(resumed.net->state_dict(), [&] {
    RegressionTraining<> again;
    again.trainer.run();
    return again.net->state_dict();
  }()));
}

TEST_CASE("task: what it remembers belongs to the checkpoint, without it the end is another one") {
  const TempFolder folder;
  const auto whole = folder / "whole", path = folder / "run";
  RegressionTraining<>(whole).trainer.run();
  killed_after(4, path);
  Checkpoint c = read_checkpoint(path);
  const auto end = [&](std::uint64_t seen) {
    c.parts.at("task").counts.at("seen") = {seen};
    write_checkpoint(path, c);
    RegressionTraining<> t(path);
    REQUIRE(t.trainer.restore());
    t.trainer.run();
    Checkpoint found = read_checkpoint(path);
    return found.parts.at("network").tensors;
  };
  const nn::StateDict wanted = read_checkpoint(whole).parts.at("network").tensors;
  CHECK(same(end(2 * kBatch), wanted));
  CHECK_FALSE(same(end(0), wanted));
  c.parts.at("task").counts.clear();
  write_checkpoint(path, c);
  RegressionTraining<> t(path);
  CHECK_SAYS(complaint_of([&] { t.trainer.restore(); }), "task: state: 'seen' is missing");
}

TEST_CASE("task: the best epoch is the one that the task calls better, and the log has the columns of its metrics") {
  const auto errors = [](const Trainer& trainer) {
    std::vector<double> all;
    for (const EpochResult& r : trainer.results()) all.push_back(r.held_out["error"]);
    return all;
  };
  RegressionTraining<> t;
  t.trainer.run();
  const std::vector<double> found = errors(t.trainer);
  CHECK(t.trainer.best().held_out["error"] == std::ranges::min(found));
  RegressionTraining<WorstRegression> worst;
  worst.trainer.run();
  CHECK(errors(worst.trainer) == found);
  CHECK(worst.trainer.best().held_out["error"] == std::ranges::max(found));
  CHECK(worst.trainer.best().epoch != t.trainer.best().epoch);

  std::vector<std::string> names;
  for (const Column& column : EpochResult::columns(t.task)) names.push_back(column.name);
  CHECK(names == std::vector<std::string>{"epoch", "loss", "held_out_error", "held_out_worst", "test_error",
                                          "test_worst", "train_error", "train_worst"});
  const EpochResult& last = t.trainer.results().back();
  const std::vector<double> row = last.row();
  CHECK(row == std::vector<double>{last.epoch, last.loss, last.held_out["error"], last.held_out["worst"],
                                   last.test["error"], last.test["worst"], last.train["error"], last.train["worst"]});
  CHECK(EpochResult::from(row, t.task).row() == row);
  CHECK_SAYS(complaint_of([&] { EpochResult::from(std::span(row).first(7), t.task); }), "given 7 numbers, expected 8");
  names.clear();
  for (const Column& column : EpochResult::columns(Classification())) names.push_back(column.name);
  CHECK(names == std::vector<std::string>{"epoch", "loss", "held_out_loss", "held_out_accuracy", "test_loss",
                                          "test_accuracy", "train_loss", "train_accuracy"});
}

TEST_CASE("task: evaluation changes nothing, is NaN of no samples, and its metrics are those that the task lists") {
  class Forgetful : public MaskedRegression {
    Metrics measure(nn::Module& net, const datasets::Dataset& data) override {
      for_each_batch(net, data, [&](const datasets::Batch& batch) { loss(net, batch); });
      return {{"error", 1}};
    }
  };
  const auto net = two_outputs(Rng(5));
  const Measurements data(20, 1);
  MaskedRegression task;
  const nn::StateDict before = net->state_dict();
  const double error = task.evaluate(*net, data)["error"];
  CHECK(task.evaluate(*net, data)["error"] == error);
  CHECK(same(net->state_dict(), before));
  CHECK(net->training());
  CHECK(std::isnan(task.evaluate(*net, Measurements(0, 1))["worst"]));
  CHECK_SAYS(complaint_of([&] { task.unknown()["accuracy"]; }), "given 'accuracy', expected one of: error worst");
  CHECK(task.text({{"error", 0.25}, {"worst", 2}}) == "error 0.2500, worst 2.000");
  CHECK(Classification().text({{"loss", 1}, {"accuracy", 0.5}}) == "50.00 %");

  Forgetful forgetful;
  CHECK_SAYS(complaint_of([&] { forgetful.evaluate(*net, data); }), "given 1 metrics, expected those that metrics()");
  CHECK(forgetful.seen() == 0);
  CHECK_SAYS(complaint_of([&] { Classification().load_state(task.state()); }), "seen");
}

TEST_CASE("task: one without outputs can be guided by feature maps, and is refused where logits are compared") {
  const Measurements data(20, 1);
  datasets::DataLoader loader(data, {.batch_size = 20});
  const datasets::Batch& batch = loader.next();
  const auto student = two_outputs(Rng(5)), partner = two_outputs(Rng(6));
  MaskedRegression task;
  const auto losses = [&](const std::string& guide) {
    quant::Guidance guidance(*student, *partner, {.guide = guide, .layers = {"act"}}, [](const Var& x) { return x; });
    const quant::Outcome own = task.outcome(*student, batch);
    return guidance.losses(own, task.outcome(*partner, batch)).student.item() - own.task.item();
  };
  CHECK(losses("features") > 0);
  for (const char* guide : {"logits_mse", "logits_kl"})
    CHECK_SAYS(complaint_of([&] { losses(guide); }), "given a task without outputs");
}

TEST_CASE("task: a field that is not finite is named, before any module") {
  class Spoilt : public Measurements {
   public:
    using Measurements::Measurements;
    datasets::Sample sample(std::int64_t i) const override {
      datasets::Sample s = Measurements::sample(i), spoilt;
      for (auto& [name, tensor] : s) {
        if (name == "y") tensor.mutable_data()[0] = std::numeric_limits<Real>::infinity();
        spoilt.add(name, tensor);
      }
      return spoilt;
    }
  };
  const auto spoilt = std::make_shared<Spoilt>(kSamples, 0);
  const auto net = two_outputs(Rng(5));
  MaskedRegression task;
  datasets::DataLoader loader(*spoilt, {.batch_size = kBatch});
  optim::Sgd optimizer(net->parameters(), {.lr = 0.1});
  Trainer trainer(*net, task, optimizer, loader, {spoilt, spoilt, spoilt}, {.quiet = true});
  CHECK_SAYS(complaint_of([&] { trainer.run(); }), "what is not finite first is the field y");
  CHECK_SAYS(complaint_of([&] {
               Trainer(*net, task, optimizer, loader, {spoilt, {}, spoilt}, {.quiet = true});
             }),
             "given a part of the data that is not there");
}

TEST_CASE("data set: of any kind, it is cut as images are, by the seed alone") {
  const auto all = std::make_shared<Measurements>(50, 0);
  const SplitData data = split(all, all, 12, 9, "measurements");
  CHECK(data.train->size() == 38);
  CHECK(data.held_out->size() == 12);
  const auto kept = datasets::kept_indices(50, 12, 9), held_out = datasets::held_out_indices(50, 12, 9);
  CHECK(same(data.train->sample(5)["x"], all->sample(kept[5])["x"]));
  CHECK(same(data.held_out->sample(3)["x"], all->sample(held_out[3])["x"]));
  CHECK(data.split.same_images(split(all, all, 12, 9, "measurements").split));
  CHECK_FALSE(data.split.same_images(split(all, all, 12, 8, "measurements").split));
  CHECK(split(all, all, 0, 9).held_out->size() == 0);
  CHECK(first_samples(all, 7)->size() == 7);
  CHECK(first_samples(all, 70)->size() == 50);
  CHECK_THROWS_AS(split(all, all, 50, 9), UsageError);
  CHECK_SAYS(complaint_of([&] { classes_of(*all); }), "given the field 'label', expected one of: x y mask");
}

TEST_CASE("data set: a training on images read from their files is that on images in memory, bit for bit") {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "cifar10");
  for (std::uint64_t i = 1; i <= 5; ++i)
    datasets::write_cifar10(folder / cat("cifar10/data_batch_", i, ".bin"), datasets::drawn_shapes(10, 1, i));
  datasets::write_cifar10(folder / "cifar10/test_batch.bin", datasets::drawn_shapes(12, 1));
  const auto trained = [](const SplitData& data) {
    nn::Sequential net;
    net.add<nn::Conv2d>("conv", nn::ConvOptions{.in = 3, .out = 4, .stride = 2}, Rng(1).split("conv"));
    net.add<nn::ReLU>("act");
    net.add<nn::GlobalAvgPool2d>("pool");
    net.add<nn::Linear>("fc", 4, 10, Rng(1).split("fc"));
    Classification task;
    datasets::DataLoader loader(
        *data.train, {.batch_size = 10, .drop_last = true, .seed = 3, .augmentation = datasets::kCropAndFlip});
    optim::Sgd optimizer(net.parameters(), {.lr = 0.1});
    Trainer trainer(net, task, optimizer, loader, data, {.epochs = 2, .quiet = true});
    trainer.run();
    nn::StateDict all = net.state_dict();
    all.emplace_back("row", Tensor::scalar(static_cast<Real>(trainer.results().back().test["loss"])));
    return all;
  };
  const auto files = [&](datasets::Cifar10Files::Part part) {
    return std::make_shared<datasets::Cifar10Files>(folder.path(), part);
  };
  using enum datasets::Cifar10Files::Part;
  const nn::StateDict from_memory =
      trained(split(datasets::load_cifar10(folder.path(), datasets::Verify::layout), 10, 2));
  CHECK(same(trained(split(files(train), files(test), 10, 2)), from_memory));
  CHECK_FALSE(same(trained(split(files(train), files(test), 10, 3)), from_memory));
}
