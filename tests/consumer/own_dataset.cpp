// A data set and a task of one's own, through the library's loader and trainer: three sensors are calibrated against
// two references, one of which may be missing at a time.
//   own_dataset --records calibration.bin --out results/calibration.h5
// The records are written first, and read sample by sample. The training is done three times: from the file, with its
// log; from memory; and broken off, going on from its checkpoint. All end with the same weights.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <numeric>
#include <vector>

#include "core/ops.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/training/task.h"
#include "experiments/training/trainer.h"
#include "nn/activation.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Record {
  float sensors[3], references[2];
  std::uint8_t measured[2];
};

void write_records(const std::string& path, std::int64_t count, Rng rng) {
  std::ofstream file(path, std::ios::binary);
  for (std::int64_t i = 0; i < count; ++i) {
    Record r{};
    for (float& v : r.sensors) v = static_cast<float>(2 * rng.uniform() - 1);
    r.references[0] = r.sensors[0] * r.sensors[1];
    r.references[1] = r.sensors[2] - r.sensors[0] / 2;
    const std::uint64_t missing = rng.bits() % 3;
    for (std::uint64_t k = 0; k < 2; ++k) r.measured[k] = k != missing;
    for (int k = 0; k < 2; ++k)
      if (!r.measured[k]) r.references[k] = -9999;
    file.write(reinterpret_cast<const char*>(&r), sizeof r);
  }
}

/// The records of a file, read when they are asked for.
class Records : public datasets::Dataset {
 public:
  explicit Records(std::string path) : path_(std::move(path)) {}
  datasets::Description description() const override {
    return {path_,
            {{.name = "sensors", .shape = {3}},
             {.name = "references", .shape = {2}},
             {.name = "measured", .shape = {2}, .type = ElementType::uint8}}};
  }
  std::int64_t size() const override {
    return static_cast<std::int64_t>(std::filesystem::file_size(path_) / sizeof(Record));
  }
  datasets::Sample sample(std::int64_t i) const override {
    std::ifstream file(path_, std::ios::binary);
    Record r{};
    file.seekg(i * static_cast<std::int64_t>(sizeof r)).read(reinterpret_cast<char*>(&r), sizeof r);
    if (!file) throw Error(path_ + ": cannot read a record");
    datasets::Sample s;
    s.add("sensors", Tensor::of<float>({3}, r.sensors));
    s.add("references", Tensor::of<float>({2}, r.references));
    s.add("measured", Tensor::of<std::uint8_t>({2}, r.measured));
    return s;
  }

 private:
  std::string path_;
};

/// All samples of another data set in memory.
class Kept : public datasets::Dataset {
 public:
  explicit Kept(const datasets::Dataset& data) : description_(data.description()) {
    for (std::int64_t i = 0; i < data.size(); ++i) samples_.push_back(data.sample(i));
  }
  datasets::Description description() const override { return description_; }
  std::int64_t size() const override { return static_cast<std::int64_t>(samples_.size()); }
  datasets::Sample sample(std::int64_t i) const override { return samples_.at(static_cast<std::size_t>(i)); }

 private:
  datasets::Description description_;
  std::vector<datasets::Sample> samples_;
};

/// The mean squared error of what was measured.
class Calibration : public Task {
 public:
  Var loss(nn::Module& net, const datasets::Batch& batch) override {
    const Tensor measured = mask(batch);
    return sum(squares(net, batch) * measured) / sum(Var(measured));
  }
  std::vector<Column> metrics() const override { return {{"error", "1", "mean squared error"}}; }
  bool better(const Metrics& a, const Metrics& b) const override { return a["error"] < b["error"]; }

 protected:
  Metrics measure(nn::Module& net, const datasets::Dataset& data) override {
    double total = 0, count = 0;
    for_each_batch(net, data, [&](const datasets::Batch& batch) {
      const Tensor measured = mask(batch);
      total += check_finite("error", sum(squares(net, batch) * measured).item());
      count += sum(Var(measured)).item();
    });
    return {{"error", total / count}};
  }

 private:
  static Var squares(nn::Module& net, const datasets::Batch& batch) {
    return square(net(batch["sensors"]) - batch["references"]);
  }
  static Tensor mask(const datasets::Batch& batch) {
    Tensor values(batch["measured"].shape());
    std::int64_t i = 0;
    for (const std::uint8_t m : batch["measured"].view_of<std::uint8_t>()) values.mutable_data()[i++] = m;
    return values;
  }
};

/// Records `first` to `end` - 1.
SplitData::Samples part(std::shared_ptr<const datasets::Dataset> records, std::int64_t first, std::int64_t end) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(end - first));
  std::iota(numbers.begin(), numbers.end(), first);
  return std::make_shared<datasets::Subset>(std::move(records), std::move(numbers));
}

/// Where a training is broken off.
struct Broken {};

constexpr std::int64_t kRecords = 460, kTest = 60, kHeldOut = 60, kEpochs = 8, kBatch = 20;

/// Trains a network from where the checkpoint stands; calls `epoch` after each epoch, and stops after `stop` steps.
nn::StateDict trained(const std::shared_ptr<const datasets::Dataset>& records, const std::filesystem::path& checkpoint,
                      const std::function<void(const EpochResult&)>& epoch = {}, std::int64_t stop = 0) {
  const std::int64_t known = kRecords - kTest;
  const SplitData data = split(part(records, 0, known), part(records, known, kRecords), kHeldOut, 1);
  nn::Sequential net;
  net.add<nn::Linear>("hidden", 3, 24, Rng(1).split("hidden"));
  net.add<nn::ReLU>("act");
  net.add<nn::Linear>("out", 24, 2, Rng(1).split("out"));
  Calibration task;
  datasets::DataLoader loader(*data.train, {.batch_size = kBatch, .drop_last = true, .seed = 2});
  optim::Sgd sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  Trainer trainer(net, task, sgd, loader, data,
                  {.epochs = kEpochs, .checkpoint = checkpoint, .save_steps = 5, .quiet = true});
  trainer.restore();
  trainer.run({.step =
                   [stop](std::int64_t step, double, double) {
                     if (step == stop) throw Broken();
                   },
               .epoch = epoch});
  return trainer.best_network();
}

bool same(const nn::StateDict& a, const nn::StateDict& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.first == y.first && std::ranges::equal(x.second.view(), y.second.view());
  });
}

}  // namespace

int main(int argc, char** argv) {
  std::string path = "calibration.bin";
  Args args("own_dataset", "Calibrates sensors against references that may be missing.");
  args.add("records", path, "file of records to write and read");
  return run(args, argc, argv, [&](RunLog& log) {
    const Table epochs = log.table("epochs", EpochResult::columns(Calibration()));
    log.start();
    write_records(path, kRecords, Rng(args.seed()).split("records"));
    const auto records = std::make_shared<Records>(path);
    const auto from_file =
        trained(records, beside(args.out(), ".file"), [&](const EpochResult& result) { epochs.add(result.row()); });
    const auto from_memory = trained(std::make_shared<Kept>(*records), beside(args.out(), ".memory"));
    if (!same(from_file, from_memory)) throw Error("training from memory: given other weights than from the file");
    try {
      trained(records, beside(args.out(), ".broken"), {}, 47);
      throw Error("training: given one that ran through, expected it to be broken off");
    } catch (const Broken&) {
    }
    if (!same(from_file, trained(records, beside(args.out(), ".broken"))))
      throw Error("training from a checkpoint: given other weights than without a break");
    std::puts("the same weights from the file, from memory and after a break");
  });
}
