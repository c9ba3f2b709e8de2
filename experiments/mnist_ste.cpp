// Which straight-through estimator trains LeNet-5 with quantized activations best?
//   mnist_ste --data data --ste identity,relu,clipped_relu --bits 2,4 --seeds 3 --epochs 10 --out
//   results/mnist_ste.h5
// Pre-trains the float net once, then fine-tunes one net per (STE, bits, seed) from it. Every finished cell
// is kept in the folder FILE.cells beside the log; a sweep that was broken off goes on at the first
// unfinished one. After Yin, Lyu, Zhang, Osher, Qi, Xin, ICLR 2019 (arXiv 1903.05662), section 4.
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "datasets/mnist.h"
#include "datasets/synthetic.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"
#include "experiments/training/statistics.h"
#include "experiments/training/sweep.h"
#include "experiments/training/trainer.h"
#include "nn/networks.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "quant/activation.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string digits = "mnist", data = "data";
  std::vector<std::string> ste{"identity", "relu", "clipped_relu"};
  std::vector<int> bits{2, 4};
  int images = 60000, held_out = 5000;
  int seeds = 3, epochs = 10, float_epochs = 10, batch = 64;
  double lr = 0.1, float_lr = 0.05, momentum = 0.9, weight_decay = 0;
};

void declare(Args& args, Settings& s) {
  args.add("digits", s.digits, "mnist, or digits drawn by the program: for a first try without a download",
           {"mnist", "drawn"});
  args.add("data", s.data, "folder that holds mnist/ (datasets/download mnist makes it)");
  args.add("ste", s.ste, "straight-through estimators", surrogate_names());
  args.add("bits", s.bits, "bits of the activations", {1, 8});
  args.add("seeds", s.seeds, "fine-tuning runs per (STE, bits): seeds 1 to this", {1, 1000});
  args.add("epochs", s.epochs, "epochs of fine-tuning", {1, 10000});
  args.add("float-epochs", s.float_epochs, "epochs of the float net", {1, 10000});
  args.add("batch", s.batch, "images per step", {2, 10000});
  args.add("images", s.images, "training images to use, the first ones; a tenth as many test images if drawn",
           {100, 60000});
  args.add("held-out", s.held_out, "of them set aside to choose the best epoch", {1, 59000});
  args.add("lr", s.lr, "learning rate of the fine-tuning; falls to 0 along half a cosine", {0, 10});
  args.add("float-lr", s.float_lr, "learning rate of the float net; falls likewise", {0, 10});
  args.add("momentum", s.momentum, "momentum", {0, 0.999});
  args.add("weight-decay", s.weight_decay, "weight decay", {0, 1});
}

// What the result of a cell depends on besides its STE, bits and seed.
std::string cell_settings(const Settings& s, std::uint64_t seed) {
  return nlohmann::json{{"digits", s.digits},
                        {"images", s.images},
                        {"held-out", s.held_out},
                        {"epochs", s.epochs},
                        {"batch", s.batch},
                        {"float-epochs", s.float_epochs},
                        {"lr", s.lr},
                        {"float-lr", s.float_lr},
                        {"momentum", s.momentum},
                        {"weight-decay", s.weight_decay},
                        {"seed", seed}}
      .dump();
}

datasets::TrainTest load_digits(const Settings& s, std::uint64_t seed) {
  if (s.digits == "drawn")
    return {datasets::drawn_digits(s.images, seed), datasets::drawn_digits(s.images / 10, seed, 1)};
  datasets::TrainTest mnist = datasets::load_mnist(s.data);
  return {first_images(mnist.train, s.images), std::move(mnist.test)};
}

SplitData load(const Settings& s, std::uint64_t seed) {
  check_usage(s.held_out + s.batch <= s.images, "mnist_ste: given ", s.images, " images, ", s.held_out,
              " of them held out, expected at least a batch of ", s.batch, " to be left");
  return split(load_digits(s, seed), s.held_out, seed);
}

// One row per epoch, the columns of the log's table `epochs` from `epoch` on.
enum EpochColumn { kEpoch, kLoss, kHeldOut, kTest, kTrainLoss };

struct Fit {
  int epochs;
  double lr;
  std::uint64_t seed;
  std::string label;
};

struct Fitted {
  CellRows rows;
  nn::StateDict best;
};

// Trains the network in place and leaves it at the last epoch. A training that was broken off goes on.
Fitted fit(nn::Module& net, const SplitData& data, const Settings& s, const Sweep& sweep, const Fit& f,
           bool quiet) {
  datasets::DataLoader loader(data.train, {.batch_size = s.batch, .drop_last = true, .seed = f.seed});
  optim::Sgd optimizer(net.parameters(),
                       {.lr = f.lr, .momentum = s.momentum, .weight_decay = s.weight_decay});
  TrainerOptions options;
  options.label = f.label;
  options.epochs = f.epochs;
  options.rate = optim::cosine(f.lr, loader.batches_per_epoch() * f.epochs);
  options.checkpoint = sweep.checkpoint(f.label);
  options.quiet = quiet;
  Trainer trainer(net, optimizer, loader, data, options);
  trainer.restore();
  trainer.run();
  CellRows rows;
  for (const EpochResult& r : trainer.results())
    rows.push_back({r.epoch, r.loss, r.held_out.accuracy, r.test.accuracy, std::nan("")});
  rows.back()[kTrainLoss] = evaluate(net, data.train).loss;
  return {rows, trainer.best_network()};
}

// Test accuracy of the epoch with the best held-out accuracy (the first one of equals).
double best_test(const CellRows& rows) {
  return (*std::max_element(rows.begin(), rows.end(),
                            [](const auto& a, const auto& b) { return a[kHeldOut] < b[kHeldOut]; }))[kTest];
}

CellRows train_float(const SplitData& data, const Settings& s, const Sweep& sweep, const Args& args) {
  return sweep.cell("float", [&] {
    const auto net = nn::lenet5(nn::relu_activation(), Rng(args.seed()).split("lenet5"));
    const auto [rows, best] =
        fit(*net, data, s, sweep, {s.float_epochs, s.float_lr, args.seed(), "float"}, args.quiet());
    save_network(sweep.folder() / "float.safetensors", best, {{"network", "lenet5"}, {"data", "mnist"}});
    return rows;
  });
}

struct Cell {
  std::string ste;
  int bits, seed;
  CellRows rows;
};

std::string name(const std::string& ste, int bits) { return ste + "-" + std::to_string(bits) + "bit"; }

CellRows fine_tune(const SplitData& data, const Settings& s, const Sweep& sweep, const Args& args,
                   const Cell& c) {
  const std::string label = name(c.ste, c.bits) + "-seed" + std::to_string(c.seed);
  return sweep.cell(label, [&] {
    const auto net = nn::lenet5(quant::uniform_activation(c.bits, surrogate(c.ste)), Rng(args.seed()));
    load_network(sweep.folder() / "float.safetensors", *net);
    return fit(*net, data, s, sweep, {s.epochs, s.lr, static_cast<std::uint64_t>(c.seed), label},
               args.quiet())
        .rows;
  });
}

struct Summary {
  std::string ste;
  int bits;
  MeanDeviation train_loss, best, last;
};

Summary summarise(const std::string& ste, int bits, const std::vector<Cell>& cells) {
  std::vector<double> loss, best, last;
  for (const Cell& c : cells) {
    if (c.ste != ste || c.bits != bits) continue;
    loss.push_back(c.rows.back()[kTrainLoss]);
    best.push_back(best_test(c.rows));
    last.push_back(c.rows.back()[kTest]);
  }
  return {ste, bits, mean_deviation(loss), mean_deviation(best), mean_deviation(last)};
}

std::string plus_minus(const MeanDeviation& m, double unit) {
  return number(m.mean * unit) + " +- " + number(m.deviation * unit, 2);
}

void print(const std::vector<Summary>& summaries, const CellRows& float_rows, int seeds) {
  TextTable table({"activations", "STE", "training loss", "test % (best epoch)", "test % (last epoch)"});
  table.row("float", "-", number(float_rows.back()[kTrainLoss]), number(100 * best_test(float_rows)),
            number(100 * float_rows.back()[kTest]));
  for (const Summary& s : summaries)
    table.row(std::to_string(s.bits) + " bit", s.ste, plus_minus(s.train_loss, 1), plus_minus(s.best, 100),
              plus_minus(s.last, 100));
  std::printf(
      "%smean +- standard deviation over %d seeds; loss of the images trained on, evaluation mode, last "
      "epoch\n",
      table.str().c_str(), seeds);
}

nlohmann::json to_json(const MeanDeviation& m) {
  return {{"mean", m.mean}, {"standard_deviation", m.deviation}};
}

void write_json(const std::filesystem::path& path, const Args& args, const std::vector<Summary>& summaries,
                const CellRows& float_rows) {
  nlohmann::json out{{"experiment", args.experiment()},
                     {"config", nlohmann::json::parse(args.config())},
                     {"float",
                      {{"train_loss", float_rows.back()[kTrainLoss]},
                       {"test_best", best_test(float_rows)},
                       {"test_last", float_rows.back()[kTest]}}},
                     {"cells", nlohmann::json::array()}};
  for (const Summary& s : summaries)
    out["cells"].push_back({{"ste", s.ste},
                            {"bits", s.bits},
                            {"train_loss", to_json(s.train_loss)},
                            {"test_best", to_json(s.best)},
                            {"test_last", to_json(s.last)}});
  write_file_atomically(path, out.dump(1) + "\n");
}

// The tables of the log.
struct Tables {
  Table epochs, float_epochs, summary;

  Tables(RunLog& log, const Settings& s)
      : epochs(log.table("epochs",
                         {{"ste", "1", "straight-through estimator", s.ste},
                          {"bits", "bit", "bits of the activations"},
                          {"seed", "1", "seed of the fine-tuning"},
                          {"epoch", "1", "epoch of the fine-tuning"},
                          {"loss", "1", "mean cross entropy of the batches, training mode"},
                          {"held_out_accuracy", "1", "share right of the held-out images"},
                          {"test_accuracy", "1", "share right of the test images"},
                          {"train_loss", "1", "cross entropy of all images trained on, evaluation mode"}})),
        float_epochs(
            log.table("float_epochs", {{"epoch", "1", "epoch of the float net"},
                                       {"loss", "1", "mean cross entropy of the batches, training mode"},
                                       {"held_out_accuracy", "1", "share right of the held-out images"},
                                       {"test_accuracy", "1", "share right of the test images"},
                                       {"train_loss", "1", "cross entropy of all images trained on"}})),
        summary(
            log.table("summary", {{"ste", "1", "straight-through estimator", s.ste},
                                  {"bits", "bit", "bits of the activations"},
                                  {"seeds", "1", "number of runs"},
                                  {"train_loss_mean", "1", "final training loss, evaluation mode: mean"},
                                  {"train_loss_sd", "1", "its standard deviation over the seeds"},
                                  {"test_best_mean", "1", "test accuracy of the best held-out epoch: mean"},
                                  {"test_best_sd", "1", "its standard deviation over the seeds"},
                                  {"test_last_mean", "1", "test accuracy of the last epoch: mean"},
                                  {"test_last_sd", "1", "its standard deviation over the seeds"}})) {}
};

void run_sweep(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load(s, args.seed());
  const Sweep sweep(args.out() + ".cells", cell_settings(s, args.seed()));
  const Tables tables(log, s);
  log.start();
  const CellRows float_rows = train_float(data, s, sweep, args);
  for (const auto& row : float_rows) tables.float_epochs.add(row);
  std::vector<Cell> cells;
  for (int seed = 1; seed <= s.seeds; ++seed)
    for (const int bits : s.bits)
      for (std::size_t i = 0; i < s.ste.size(); ++i) {
        Cell c{s.ste[i], bits, seed, {}};
        c.rows = fine_tune(data, s, sweep, args, c);
        for (const auto& row : c.rows) {
          std::vector<double> values{static_cast<double>(i), static_cast<double>(bits),
                                     static_cast<double>(seed)};
          values.insert(values.end(), row.begin(), row.end());
          tables.epochs.add(values);
        }
        cells.push_back(std::move(c));
      }
  std::vector<Summary> summaries;
  for (const int bits : s.bits)
    for (std::size_t i = 0; i < s.ste.size(); ++i) {
      const Summary m = summaries.emplace_back(summarise(s.ste[i], bits, cells));
      tables.summary.add({static_cast<double>(i), static_cast<double>(bits), static_cast<double>(s.seeds),
                          m.train_loss.mean, m.train_loss.deviation, m.best.mean, m.best.deviation,
                          m.last.mean, m.last.deviation});
    }
  write_json(std::filesystem::path(args.out()).replace_extension(".json"), args, summaries, float_rows);
  print(summaries, float_rows, s.seeds);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("mnist_ste", "Which straight-through estimator trains LeNet-5 with quantized activations best?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { run_sweep(s, args, log); });
}
