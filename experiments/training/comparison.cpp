#include "experiments/training/comparison.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/regular_file.h"
#include "experiments/support/file_place.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "experiments/training/statistics.h"
#include "quant/activations/clipped_relu.h"
#include "quant/assembly.h"

namespace coarsegrad::experiments {
namespace {

std::vector<Column> operator+(std::vector<Column> a, const std::vector<Column>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// The columns of epoch_rows().
std::vector<Column> epoch_columns(const std::string& of) {
  return {{"epoch", "1", cat("epoch of the ", of)},
          {"loss", "1", "mean cross entropy of the batches, training mode"},
          {"held_out_accuracy", "1", "share right of the held-out images"},
          {"test_accuracy", "1", "share right of the test images"},
          {"train_loss", "1", "cross entropy of all images trained on, evaluation mode"}};
}

// Rows may come from the file of a cell, which may hold anything.
void check_rows(const CellRows& rows, std::size_t columns) {
  check(!rows.empty(), "comparison: given a cell without rows");
  for (const auto& row : rows)
    check(row.size() >= columns, "comparison: given a row of ", row.size(), " numbers, expected ", columns);
}

// The three columns that a quantity has in the table `summary`.
std::vector<Column> summary_columns(const std::string& name, const std::string& description) {
  return {{name + "_mean", "1", description + ": mean"},
          {name + "_sd", "1", "its standard deviation over the seeds"},
          {name + "_half_width", "1", "half width of the 95 % interval of its mean, by Student's t"}};
}

std::vector<double> summary_values(const MeanDeviation& m) { return {m.mean, m.deviation, m.half_width}; }

std::string name_of_log(const Args& args) { return std::filesystem::path(args.out()).filename(); }

// Whether a file is one that Comparison::report() has written for this log. (Summaries that do not name their
// log are older than that entry.)
bool is_summary(const std::filesystem::path& path, const Args& args) {
  try {
    const auto file = parse_json(read_regular_file(path, ""), "it");
    return file.is_object() && file.value("experiment", nlohmann::json()) == args.experiment() &&
           file.value("log", nlohmann::json(name_of_log(args))) == name_of_log(args);
  } catch (const Error&) {
    return false;
  }
}

std::filesystem::path summary_file(const Args& args) {
  constexpr const char* kEnding = ".json";
  check_out(args.out(), {kEnding});
  std::filesystem::path path = beside(args.out(), kEnding);
  check_usage(!std::filesystem::exists(path) || is_summary(path, args), "--out ", args.out(),
              ": the summary would replace ", path.string(), ", which is something else; expected another name");
  check_place(path);
  return path;
}

nlohmann::json json_of(const MeanDeviation& m) {
  return {{"mean", m.mean}, {"standard_deviation", m.deviation}, {"half_width", m.half_width}};
}

constexpr const char* kInterval = "half width of the 95 % interval of the mean over the runs, by Student's t";

// What a file says of its activations must agree with --float-end.
void expect_end(const FloatSettings& s) {
  const auto about = settings_in(read_tensor_file(s.file), s.file);
  if (!about) return;
  const Part& said = about->method.activations;
  const double end = said.name == "clipped_relu" ? said.options.as<quant::ClippedReluOptions>().end : 0;
  check_usage(end == s.end, "float-end: given ", s.end, ", expected ", end, ", where the activations of ", s.file,
              " end (0: ReLUs)");
}

}  // namespace

CellRows epoch_rows(StagedTraining& training) {
  CellRows rows;
  for (const EpochResult& r : training.results())
    rows.push_back({r.epoch, r.loss, r.held_out["accuracy"], r.test["accuracy"], r.train["loss"]});
  if (!training.trainer().finished()) {
    std::vector<double> diverged(epoch_columns("").size(), std::nan(""));
    diverged[kEpoch] = static_cast<double>(rows.size() + 1);
    rows.push_back(diverged);
  }
  return rows;
}

const std::vector<double>& best_row(const CellRows& all, std::size_t on_the_way) {
  check_rows(all, kTest + 1);
  const auto rows = std::span(all).subspan(std::min(on_the_way, all.size() - 1));
  if (std::isnan(rows.front()[kHeldOut])) return rows.back();
  return *std::max_element(rows.begin(), rows.end(),
                           [](const auto& a, const auto& b) { return a[kHeldOut] < b[kHeldOut]; });
}

std::size_t epochs_on_the_way(const CellPlan& plan) {
  return (stages(plan.method).size() - 1) * static_cast<std::size_t>(plan.optim.epochs);
}

CellRows train_cell(const Sweep& sweep, const CellPlan& plan, const SplitData& data, const quant::MakeNetwork& make,
                    bool quiet, const RowsOf& rows_of) {
  return sweep.cell(plan.name, [&] {
    const auto best = sweep.network(plan.name), last = sweep.network(plan.name + ".last");
    for (const auto& path : {best, last, sweep.checkpoint(plan.name)}) check_place(path);
    TrainingPlan whole{plan.method, plan.optim, plan.augmentation, plan.seed, {}};
    whole.options.label = plan.name;
    whole.options.judge_train = plan.judge_train;
    whole.options.loss_window = plan.loss_window;
    whole.options.checkpoint = sweep.checkpoint(plan.name);
    whole.options.quiet = quiet;
    std::printf("%s: %s; %s\n", plan.name.c_str(), plan.net.net.c_str(), words(plan.method).c_str());
    StagedTraining training(std::move(whole), data, make);
    training.restore();
    try {
      TrainerEvents events;
      if (plan.after_epoch)
        events.epoch = [&](const EpochResult&) { plan.after_epoch(training.trainer(), training.net()); };
      training.run(events);
    } catch (const Diverged&) {
      if (!plan.may_diverge) throw;
      return rows_of(training);
    }
    Trainer& trainer = training.trainer();
    const auto keep = [&](const std::filesystem::path& path, const EpochResult& result, const nn::StateDict& state) {
      Metadata about =
          metadata_of({plan.net, plan.method, classes_of(*data.train), pixels_of(*data.train)}, data.split);
      about.merge(measured(result.test["accuracy"]));
      about["cell"] = plan.name;
      save_network(path, state, about);
    };
    keep(best, trainer.best(), trainer.best_network());
    keep(last, trainer.results().back(), trainer.judged_network());
    return rows_of(training);
  });
}

void declare(Args& args, FloatSettings& s) {
  args.add("float-net", s.file, "tensor file with the float net that the variants start from; empty: one is trained");
  args.add("float-epochs", s.epochs, "epochs of the float net's training, one cycle of the learning rate", {1, 100000});
  args.add("float-lr", s.lr, "largest learning rate of the float net's training", {0, 100});
  args.add("float-end", s.end,
           "output at which the float net's activations end, so that bounded ones can start there; 0: they are ReLUs",
           {0, quant::ClippedRelu::kMostEnd});
  args.add_need({"float-epochs", "float-lr"}, "float-net", "with --float-net", [&s] { return s.file.empty(); });
}

quant::Method float_method(const FloatSettings& s) {
  if (s.end == 0) return {};
  return {.activations = {"clipped_relu", quant::ClippedReluOptions{.end = s.end}}};
}

void declare_float_control(Args& args, ComparisonSettings& s) {
  args.add("float-control", s.float_control,
           "train the float net on as every variant is trained, to compare them with at an equal number of epochs");
}

CellPlan float_control(const ComparisonSettings& s) {
  CellPlan plan;
  plan.name = "float-control";
  plan.net = s.net;
  plan.method = float_method(s.float_net);
  plan.optim = s.optim;
  plan.augmentation = augmentation_of(s.data);
  plan.may_diverge = true;
  return plan;
}

void ComparisonSettings::start_from_mnist() {
  data.dataset = "mnist";
  net.net = "lenet5";
  float_net.epochs = 10;
  float_net.lr = 0.1;
}

void declare_start(Args& args, ComparisonSettings& s) {
  declare(args, s.data);
  declare(args, s.net);
  declare(args, s.float_net);
}

SplitData load_data(const ComparisonSettings& s, const Args& args) {
  constexpr double kLeast = quant::ClippedRelu::kLeastEnd;
  check_usage(s.float_net.end == 0 || s.float_net.end >= kLeast, "float-end: given ", s.float_net.end,
              ", expected 0 or at least ", kLeast);
  SplitData data = load_data(s.data, args.seed());
  if (std::filesystem::exists(s.float_net.file)) {
    go_on_with(s.float_net.file, data.split);
    expect_end(s.float_net);
  }
  return data;
}

CellRows float_rows(const Sweep& sweep, const FloatSettings& s, const NetSettings& net,
                    const DataSettings& data_settings, const SplitData& data, int batch, const Args& args) {
  if (!s.file.empty())
    return sweep.cell("float", [&] {
      const auto given = network_maker(net, *data.train, args.seed(), s.file)(make_activation(float_method(s)));
      const double test = evaluate(*given, *data.test).accuracy;
      Metadata about = metadata_of({net, float_method(s), classes_of(*data.train), pixels_of(*data.train)}, data.split);
      about.merge(measured(test));
      about["from"] = s.file;
      save_network(sweep.network("float"), given->state_dict(), about);
      return CellRows{
          {0, std::nan(""), evaluate(*given, *data.held_out).accuracy, test, evaluate(*given, *data.train).loss}};
    });
  CellPlan plan;
  plan.net = net;
  plan.name = "float";
  plan.method = float_method(s);
  plan.seed = args.seed();
  plan.augmentation = augmentation_of(data_settings);
  plan.optim.batch = batch;
  plan.optim.epochs = s.epochs;
  plan.optim.lr = s.lr;
  plan.optim.nesterov = true;
  plan.optim.label_smoothing = 0.1;
  return train_cell(sweep, plan, data, network_maker(net, *data.train, args.seed()), args.quiet());
}

std::string cell_settings(const Args& args, const std::vector<std::string>& choices) {
  auto settings = nlohmann::json::parse(result_config(args));
  for (const std::string& choice : choices) settings.erase(choice);
  return settings.dump();
}

Comparison::Comparison(const Args& args, RunLog& log, std::vector<Column> keys, std::vector<Column> more)
    : args_(args),
      summary_file_(summary_file(args)),
      keys_(std::move(keys)),
      more_(std::move(more)),
      epochs_(log.table("epochs", keys_ + std::vector<Column>{{"seed", "1", "seed of the fine-tuning"}} +
                                      epoch_columns("fine-tuning"))),
      float_epochs_(log.table("float_epochs", epoch_columns("float net"))),
      summary_(log.table("summary", keys_ + std::vector<Column>{{"seeds", "1", "number of runs"}} +
                                        summary_columns("train_loss", "final training loss, evaluation mode") +
                                        summary_columns("test_best", "test accuracy of the best held-out epoch") +
                                        summary_columns("test_last", "test accuracy of the last epoch") + more_)) {}

void Comparison::add_float(const CellRows& rows) {
  check_rows(rows, epoch_columns("").size());
  float_rows_ = rows;
  for (const auto& row : rows) float_epochs_.add(row);
}

void Comparison::add(const std::vector<double>& key, int seed, const CellRows& rows, std::size_t on_the_way) {
  const auto width = static_cast<std::ptrdiff_t>(epoch_columns("").size());
  check_rows(rows, epoch_columns("").size() + more_.size());
  for (const auto& row : rows) {
    std::vector<double> values = key;
    values.push_back(seed);
    values.insert(values.end(), row.begin(), row.begin() + width);
    epochs_.add(values);
  }
  runs_.push_back({key, rows, on_the_way});
}

std::string Comparison::shown(std::size_t column, double value) const {
  const auto& labels = keys_[column].labels;
  const auto whole = static_cast<std::size_t>(value);
  return labels.empty() ? std::to_string(whole) : labels.at(whole);
}

// Variants in the order of the last key column, then of the one before it.
std::vector<Comparison::Summary> Comparison::summaries() const {
  std::map<std::vector<double>, std::vector<const Run*>> variants;
  for (const Run& run : runs_) variants[{run.key.rbegin(), run.key.rend()}].push_back(&run);
  std::vector<Summary> all;
  for (const auto& [key, runs] : variants) {
    std::vector<double> loss, best, last;
    for (const Run* run : runs) {
      loss.push_back(run->rows.back()[kTrainLoss]);
      best.push_back(best_row(run->rows, run->on_the_way)[kTest]);
      last.push_back(run->rows.back()[kTest]);
    }
    std::vector<double> means;
    for (std::size_t k = 0; k < more_.size(); ++k) {
      std::vector<double> values;
      for (const Run* run : runs) values.push_back(run->rows.back().at(epoch_columns("").size() + k));
      means.push_back(mean_deviation(values).mean);
    }
    all.push_back({{key.rbegin(), key.rend()},
                   static_cast<int>(runs.size()),
                   mean_deviation(loss),
                   mean_deviation(best),
                   mean_deviation(last),
                   means});
  }
  return all;
}

std::string Comparison::text(const std::vector<Summary>& all) const {
  std::vector<std::string> header, first(keys_.size(), "-");
  for (const Column& key : keys_) header.push_back(key.name);
  header.insert(header.end(), {"runs", "training loss", "test % (best epoch)", "test % (last epoch)"});
  for (const Column& column : more_) header.push_back(column.name);
  TextTable table(header);
  first.front() = "float start";
  first.insert(first.end(), {"1", number(float_rows_.back()[kTrainLoss]), number(100 * best_row(float_rows_)[kTest]),
                             number(100 * float_rows_.back()[kTest])});
  first.resize(header.size(), "-");
  table.add_row(first);
  for (const Summary& s : all) {
    std::vector<std::string> line;
    for (std::size_t k = 0; k < keys_.size(); ++k) line.push_back(shown(k, s.key[k]));
    line.insert(line.end(),
                {std::to_string(s.runs), plus_minus(s.train_loss), plus_minus(s.best, 100), plus_minus(s.last, 100)});
    for (const double value : s.more)
      line.push_back(value == std::round(value) ? cat(static_cast<std::int64_t>(value)) : number(value));
    table.add_row(line);
  }
  return cat(table.str(), "mean +- ", kInterval, " (one run: none);\n",
             "loss of the images trained on, evaluation mode, last epoch\n");
}

nlohmann::json Comparison::json(const std::vector<Summary>& all) const {
  nlohmann::json cells = nlohmann::json::array();
  for (const Summary& s : all) {
    nlohmann::json cell{{"runs", s.runs},
                        {"train_loss", json_of(s.train_loss)},
                        {"test_best", json_of(s.best)},
                        {"test_last", json_of(s.last)}};
    for (std::size_t k = 0; k < more_.size(); ++k) cell[more_[k].name] = s.more[k];
    for (std::size_t k = 0; k < keys_.size(); ++k) {
      const auto whole = static_cast<std::int64_t>(s.key[k]);
      cell[keys_[k].name] = keys_[k].labels.empty() ? nlohmann::json(whole) : nlohmann::json(shown(k, s.key[k]));
    }
    cells.push_back(std::move(cell));
  }
  return {{"float",
           {{"train_loss", float_rows_.back()[kTrainLoss]},
            {"test_best", best_row(float_rows_)[kTest]},
            {"test_last", float_rows_.back()[kTest]}}},
          {"interval", kInterval},
          {"cells", std::move(cells)}};
}

std::string Comparison::report() const {
  const std::vector<Summary> all = summaries();
  for (const Summary& s : all) {
    std::vector<double> row = s.key;
    row.push_back(s.runs);
    for (const std::vector<double>& values :
         {summary_values(s.train_loss), summary_values(s.best), summary_values(s.last), s.more})
      row.insert(row.end(), values.begin(), values.end());
    summary_.add(row);
  }
  nlohmann::json file = json(all);
  file["experiment"] = args_.experiment();
  file["log"] = name_of_log(args_);
  file["config"] = nlohmann::json::parse(args_.config());
  write_file_atomically(summary_file_, file.dump(1) + "\n");
  return text(all);
}

}  // namespace coarsegrad::experiments
