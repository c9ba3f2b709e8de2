#include "experiments/training/trainer.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "experiments/support/progress.h"
#include "experiments/support/provenance.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_state.h"
#include "experiments/training/norm_statistics.h"
#include "experiments/training/state_scope.h"
#include "quant/evaluation_scope.h"

namespace coarsegrad::experiments {

// ---- EpochResult

std::vector<Column> EpochResult::columns(const Task& task) {
  std::vector<Column> all{{"epoch", "1", "epoch of the training, from 1"},
                          {"loss", "1", "mean of the batches' losses, training mode"}};
  const auto add = [&](const char* part, const char* of) {
    for (const Column& metric : task.metrics())
      all.push_back({cat(part, "_", metric.name), metric.unit, cat(metric.description, " of the ", of)});
  };
  add("held_out", "held-out samples");
  add("test", "test samples");
  add("train", "samples trained on, evaluation mode");
  return all;
}

std::vector<double> EpochResult::row() const {
  std::vector<double> all{epoch, loss};
  for (const Metrics* part : {&held_out, &test, &train})
    for (const auto& [name, value] : *part) all.push_back(value);
  return all;
}

EpochResult EpochResult::from(std::span<const double> row, const Task& task) {
  const std::size_t expected = columns(task).size();
  check(row.size() == expected, "epoch result: given ", row.size(), " numbers, expected ", expected);
  EpochResult result{row[0], row[1], {}, {}, {}};
  auto next = row.begin() + 2;
  for (Metrics* part : {&result.held_out, &result.test, &result.train})
    for (const Column& metric : task.metrics()) part->add(metric.name, *next++);
  return result;
}

// ---- Trainer

Trainer::Trainer(nn::Module& net, Task& task, optim::Optimizer& optimizer, datasets::DataLoader& loader, SplitData data,
                 TrainerOptions options, const TrainerParts& parts)
    : net_(net),
      task_(task),
      loader_(loader),
      data_(std::move(data)),
      options_(std::move(options)),
      optimizer_(optimizer, net, {parts.rule, parts.gradients}, {loader.batches_per_epoch(), options_.epochs}),
      gradients_(parts.gradients),
      guidance_(parts.guidance),
      average_(net, options_.average_decay, parts.rule),
      parts_(all_parts()),
      earlier_(options_.earlier) {
  check(options_.norm_batches >= 0 && options_.save_steps >= 0 && options_.loss_window >= 0 &&
            options_.save_minutes > 0 && options_.rate,
        "trainer: given ", options_.norm_batches, " batches for the statistics, a save every ", options_.save_steps,
        " steps and ", options_.save_minutes, " minutes, expected none negative and a schedule");
  check(data_.train && data_.held_out && data_.test,
        "trainer: given a part of the data that is not there, expected data sets, which may be empty");
  check_names(parts_);
  loader_.seek(0, 0);
}

// ---- what is saved, part by part

std::vector<StatefulPart> Trainer::all_parts() {
  std::vector<StatefulPart> all{stateful("network", net_), stateful("optimizer", optimizer_), stateful("task", task_),
                                stateful("loader", loader_)};
  if (rule()) all.push_back(stateful("weights", *rule()));
  if (gradients_) all.push_back(stateful("gradients", *gradients_));
  if (guidance_) all.push_back(stateful("partner", guidance_->partner()));
  if (average_.on()) all.push_back(stateful("average", average_));
  all.push_back({"training", [this] { return own_state(); }, [this](const State& s) { load_own_state(s); }});
  all.push_back({"log",
                 [this] {
                   return State{{}, {}, {}, {{"position", log_}}};
                 },
                 [this](const State& s) {
                   s.expect_entries_of({{}, {}, {}, {{"position", log_}}});
                   log_ = s.text("position");
                 }});
  all.insert(all.end(), options_.parts.begin(), options_.parts.end());
  return all;
}

namespace {

// Rows of numbers as one list, and back.
std::vector<double> joined(const Rows& rows) {
  std::vector<double> all;
  for (const auto& row : rows) all.insert(all.end(), row.begin(), row.end());
  return all;
}

Rows cut(const std::vector<double>& all, const std::vector<std::uint64_t>& lengths, const char* what) {
  Rows rows;
  auto next = all.begin();
  for (const std::uint64_t length : lengths) {
    check(length <= static_cast<std::uint64_t>(all.end() - next), "given ", all.size(), " numbers of ", what,
          ", expected more");
    const auto end = next + static_cast<std::ptrdiff_t>(length);
    rows.emplace_back(next, end);
    next = end;
  }
  check(next == all.end(), "given ", all.size(), " numbers of ", what, ", expected fewer");
  return rows;
}

Rows cut(const std::vector<double>& all, std::size_t width, const char* what) {
  check(all.size() % width == 0, "given ", all.size(), " numbers of ", what, ", expected a multiple of ", width);
  return cut(all, std::vector<std::uint64_t>(all.size() / width, width), what);
}

}  // namespace

State Trainer::own_state() const {
  State s;
  s.add("best", {best_network_, {}, {}, {}});
  s.counts = {{"best", {static_cast<std::uint64_t>(best_ + 1)}},  // 0: none
              {"note_lengths", {}}};
  std::vector<double> results;
  for (const EpochResult& r : results_) std::ranges::copy(r.row(), std::back_inserter(results));
  for (const auto& row : notes_) s.counts["note_lengths"].push_back(row.size());
  s.numbers = {{"loss_sum", {loss_sum_}},    {"window_sum", {window_sum_}},       {"seconds", {seconds_}},
               {"notes", joined(notes_)},    {"loss_curve", joined(loss_curve_)}, {"results", results},
               {"earlier", joined(earlier_)}};
  return s;
}

void Trainer::load_own_state(const State& s) {
  const std::size_t width = EpochResult::columns(task_).size();
  State own = own_state();
  own.tensors = s.tensors;  // which there are depends on whether there is a best network yet
  s.expect_entries_of(own);
  std::vector<EpochResult> results;
  for (const auto& row : cut(s.numbers_of("results"), width, "results"))
    results.push_back(EpochResult::from(row, task_));
  const std::uint64_t best = s.count("best");
  check(best <= results.size(), "best: given epoch ", best, ", expected one of ", results.size());
  const State best_network = s.part("best");
  best_network.expect_shapes_of({best == 0 ? nn::StateDict() : state_of(net_, rule()), {}, {}, {}});
  loss_sum_ = s.number("loss_sum");
  window_sum_ = s.number("window_sum");
  seconds_ = s.number("seconds");
  loss_curve_ = cut(s.numbers_of("loss_curve"), 2, "the loss curve");
  notes_ = cut(s.numbers_of("notes"), s.counts_of("note_lengths"), "notes");
  earlier_ = cut(s.numbers_of("earlier"), width, "results of earlier stages");
  results_ = std::move(results);
  best_ = static_cast<std::int64_t>(best) - 1;
  best_network_ = best_network.tensors;
}

// Checks that the restored parts stand at the same step.
void Trainer::check_place() const {
  const std::int64_t epochs = finished_epochs(), per_epoch = loader_.batches_per_epoch();
  check(epochs <= options_.epochs && steps_taken() >= epochs * per_epoch &&
            steps_taken() <= std::min((epochs + 1) * per_epoch, options_.epochs * per_epoch),
        "given ", epochs, " finished epochs and ", steps_taken(), " steps of ", per_epoch, " an epoch");
  const State loader = loader_.state();
  check(loader.count("epoch") == static_cast<std::uint64_t>(epoch()) &&
            loader.count("batch") == static_cast<std::uint64_t>(batch()),
        "given a loader at batch ", loader.count("batch"), " of epoch ", loader.count("epoch"), " after ",
        steps_taken(), " steps");
}

bool Trainer::restore() {
  if (options_.checkpoint.empty() || !std::filesystem::exists(options_.checkpoint)) return false;
  const std::string path = options_.checkpoint.string();
  const Checkpoint c = read_checkpoint(options_.checkpoint);
  const auto before = parse_json(c.config, cat("checkpoint ", path, ": the configuration"));
  check(before.is_object(), "checkpoint ", path, ": the configuration is damaged");
  check_same_settings(cat("the training in ", path), before, nlohmann::json::parse(options_.config),
                      "choose another --out or remove the file");
  try {
    load_states(parts_, c.parts);
    check_place();
  } catch (const std::exception& e) {
    throw Error(cat("checkpoint ", path, ": ", e.what()));
  }
  return true;
}

void Trainer::save(const TrainerEvents& events) {
  const Clock::time_point now = Clock::now();
  seconds_ += std::chrono::duration<double>(now - saved_).count();
  saved_ = now;
  if (options_.checkpoint.empty()) return;
  if (events.sync_log) log_ = events.sync_log();
  write_checkpoint(options_.checkpoint, {options_.config, build_commit(), states_of(parts_), options_.about});
}

bool Trainer::due() const {
  return (options_.save_steps > 0 && steps_taken() % options_.save_steps == 0) ||
         Clock::now() - saved_ > std::chrono::duration<double>(60 * options_.save_minutes);
}

void Trainer::run(const TrainerEvents& events) {
  const FlushDenormals flush;
  const ModeScope mode(net_, true);
  if (guidance_) guidance_->partner().train();
  const std::int64_t per_epoch = loader_.batches_per_epoch();
  saved_ = Clock::now();
  ProgressBar progress(options_.label, options_.epochs * samples_per_epoch(), options_.quiet, samples_done());
  try {
    while (finished_epochs() < options_.epochs) {
      while (steps_taken() < (finished_epochs() + 1) * per_epoch) {
        check_stop();
        const double loss = train_step(events);
        progress.update(samples_done(), cat("loss ", number(loss), latest_test()));
        if (due()) save(events);
      }
      finish_epoch(events);
      save(events);
    }
  } catch (const Interrupted&) {
    save(events);
    throw;
  }
}

double Trainer::train_step(const TrainerEvents& events) {
  const datasets::Batch& batch = loader_.next();
  const std::int64_t step = steps_taken();
  optimizer_.lr = options_.rate(step);
  optimizer_.zero_grad();
  const auto [loss, value] = loss_of(batch);
  loss.backward();
  check_gradients();
  optimizer_.step();
  if (average_.on()) average_.update(step);
  loss_sum_ += value;
  window_sum_ += value;
  if (steps_taken() % std::max<std::int64_t>(1, options_.loss_window) == 0) {
    if (options_.loss_window > 0)
      loss_curve_.push_back(
          {static_cast<double>(steps_taken()), window_sum_ / static_cast<double>(options_.loss_window)});
    window_sum_ = 0;
  }
  if (events.step) events.step(steps_taken(), optimizer_.lr, value);
  return value;
}

// Checks the gradients that move parameters: of float copies, not of the weights of the forward pass.
void Trainer::check_gradients() {
  optimizer_.collect_gradients();
  expect_finite_gradients(net_.named_parameters());
  if (rule()) expect_finite_gradients(rule()->named_parameters());
  if (guidance_) expect_finite_gradients(guidance_->partner().named_parameters());
}

// The loss to descend on; with a partner the sum of both, each of which reaches the parameters of its network alone.
Trainer::StepLoss Trainer::loss_of(const datasets::Batch& batch) {
  const Autocast compute(options_.compute);
  const quant::Outcome own = task_.outcome(net_, batch);
  Var total = own.task;
  if (guidance_) {
    const quant::GuidedLosses guided = guidance_->losses(own, task_.outcome(guidance_->partner(), batch));
    total = guided.student + guided.partner;
  }
  for (const double value : {double(own.task.item()), double(total.item())})
    if (!std::isfinite(value))
      throw Diverged(cat("training loss is ", value, " at step ", steps_taken(), "; what is not finite first is ",
                         first_not_finite(net_, batch.tensors, [&] { task_.loss(net_, batch); })));
  return {total, own.task.item()};
}

std::string Trainer::latest_test() const {
  return results_.empty() ? "" : cat("  test ", task_.text(results_.back().test));
}

// Calls f while the network is as it is judged: averaged weights, quantized as deployed, norm statistics estimated
// anew. Returns its state, from which the same network is deployed again: with what projections remembered before they
// were deployed here.
nn::StateDict Trainer::judge(const std::function<void()>& f) {
  const NetworkScope scope(net_, rule());
  if (average_.on()) load_state(net_, rule(), average_.values());
  nn::StateDict judged = state_of(net_, rule());
  const quant::EvaluationScope deployed(net_, rule());
  if (options_.norm_batches > 0) {
    const StateScope remembered(task_);
    estimate_norm_statistics(
        net_, [this](const datasets::Batch& batch) { task_.loss(net_, batch); }, loader_, epoch(),
        options_.norm_batches);
    std::ranges::copy(net_.state_dict(), judged.begin());
  }
  f();
  return judged;
}

void Trainer::finish_epoch(const TrainerEvents& events) {
  EpochResult result{static_cast<double>(finished_epochs() + 1),
                     loss_sum_ / static_cast<double>(loader_.batches_per_epoch()),
                     {},
                     {},
                     task_.unknown()};
  using Judge = TrainerOptions::JudgeTrain;
  const bool last = finished_epochs() + 1 == options_.epochs;
  bool better = false;
  nn::StateDict judged = judge([&] {
    result.held_out = task_.evaluate(net_, *data_.held_out);
    result.test = task_.evaluate(net_, *data_.test);
    if (options_.judge_train == Judge::always || (last && options_.judge_train == Judge::at_the_end))
      result.train = task_.evaluate(net_, *data_.train);
    better = best_ < 0 || data_.held_out->size() == 0 || task_.better(result.held_out, best().held_out);
  });
  if (better) {
    best_ = finished_epochs();
    best_network_ = std::move(judged);
  }
  results_.push_back(result);
  loss_sum_ = 0;
  if (events.epoch) events.epoch(result);
}

const EpochResult& Trainer::best() const {
  check(best_ >= 0, "trainer: no epoch is finished");
  return results_[static_cast<std::size_t>(best_)];
}

nn::StateDict Trainer::judged_network() {
  return judge([] {});
}

std::int64_t Trainer::samples_per_epoch() const {
  return std::min(data_.train->size(), loader_.batches_per_epoch() * loader_.batch_size());
}

std::int64_t Trainer::samples_done() const { return epoch() * samples_per_epoch() + batch() * loader_.batch_size(); }

}  // namespace coarsegrad::experiments
