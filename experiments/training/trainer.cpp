#include "experiments/training/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "experiments/support/json_text.h"
#include "experiments/support/progress.h"
#include "experiments/support/provenance.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_state.h"
#include "experiments/training/norm_statistics.h"

namespace coarsegrad::experiments {

// ---- EpochResult

std::vector<Column> EpochResult::columns() {
  return {{"epoch", "1", "epoch of the training, from 1"},
          {"loss", "1", "mean of the batches' losses, training mode"},
          {"held_out_loss", "1", "cross entropy of the held-out images"},
          {"held_out_accuracy", "1", "share right of the held-out images"},
          {"test_loss", "1", "cross entropy of the test images"},
          {"test_accuracy", "1", "share right of the test images"},
          {"train_loss", "1", "cross entropy of the images trained on, evaluation mode"},
          {"train_accuracy", "1", "share right of the images trained on, evaluation mode"}};
}

std::vector<double> EpochResult::row() const {
  return {epoch,     loss,          held_out.loss, held_out.accuracy,
          test.loss, test.accuracy, train.loss,    train.accuracy};
}

EpochResult EpochResult::from(std::span<const double> row) {
  check(row.size() == columns().size(), "epoch result: given ", row.size(), " numbers, expected ",
        columns().size());
  return {row[0], row[1], {row[2], row[3]}, {row[4], row[5]}, {row[6], row[7]}};
}

// ---- Trainer

Trainer::Trainer(nn::Module& net, optim::Optimizer& optimizer, datasets::DataLoader& loader,
                 const SplitData& data, TrainerOptions options, const TrainerParts& parts)
    : net_(net),
      optimizer_(optimizer),
      loader_(loader),
      data_(data),
      options_(std::move(options)),
      rule_(parts.rule),
      gradients_(parts.gradients),
      guidance_(parts.guidance),
      average_(net, options_.average_decay, rule_),
      earlier_(options_.earlier) {
  check(options_.epochs >= 1 && options_.norm_batches >= 0 && options_.save_steps >= 0 &&
            options_.loss_window >= 0 && options_.save_minutes > 0 && options_.rate,
        "trainer: given ", options_.epochs, " epochs, ", options_.norm_batches,
        " batches for the statistics, a save every ", options_.save_steps, " steps and ",
        options_.save_minutes, " minutes, expected 1 or more epochs, none negative and a schedule");
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
    const auto epochs = static_cast<std::int64_t>(c.rows.size());
    const std::int64_t per_epoch = loader_.batches_per_epoch();
    check(epochs <= options_.epochs && c.step >= epochs * per_epoch &&
              c.step <= std::min((epochs + 1) * per_epoch, options_.epochs * per_epoch),
          "given ", epochs, " finished epochs and ", c.step, " steps of ", per_epoch, " an epoch");
    std::vector<EpochResult> results;
    for (const auto& row : c.rows) results.push_back(EpochResult::from(row));
    const auto own =
        guidance_ ? std::min(generators_of(net_).size(), c.generators.size()) : c.generators.size();
    const auto first_of_partner = c.generators.begin() + static_cast<std::ptrdiff_t>(own);
    load_generators(net_, {c.generators.begin(), first_of_partner});
    if (guidance_) load_generators(guidance_->partner(), {first_of_partner, c.generators.end()});
    load_state(net_, rule_, c.network);
    check(guidance_ || c.partner.empty(), "given a partner, expected none");
    if (guidance_) guidance_->partner().load_state_dict(c.partner);
    optimizer_.load_state(c.optimizer);
    average_.load(c.average);
    check(c.best_network.size() == (c.best < 0 ? 0 : c.network.size()), "given ", c.best_network.size(),
          " tensors of the best network, expected ", c.network.size());
    results_ = std::move(results);
  } catch (const std::exception& e) {
    throw Error(cat("checkpoint ", path, ": ", e.what()));
  }
  step_ = c.step;
  best_ = c.best;
  loss_sum_ = c.loss_sum;
  window_sum_ = c.window_sum;
  loss_curve_ = c.loss_curve;
  notes_ = c.notes;
  earlier_ = c.earlier;
  best_network_ = c.best_network;
  log_ = c.log;
  seconds_ = c.seconds;
  return true;
}

void Trainer::save(const TrainerEvents& events) {
  const Clock::time_point now = Clock::now();
  seconds_ += std::chrono::duration<double>(now - saved_).count();
  saved_ = now;
  if (options_.checkpoint.empty()) return;
  Checkpoint c;
  c.config = options_.config;
  c.commit = build_commit();
  c.step = step_;
  c.loss_sum = loss_sum_;
  c.window_sum = window_sum_;
  c.loss_curve = loss_curve_;
  c.notes = notes_;
  c.earlier = earlier_;
  c.seconds = seconds_;
  for (const EpochResult& r : results_) c.rows.push_back(r.row());
  c.best = best_;
  c.network = state_of(net_, rule_);
  c.average = average_.state();
  c.best_network = best_network_;
  c.optimizer = optimizer_.state();
  c.generators = generators_of(net_);
  if (guidance_) {
    c.partner = guidance_->partner().state_dict();
    std::ranges::copy(generators_of(guidance_->partner()), std::back_inserter(c.generators));
  }
  c.log = log_ = events.sync_log ? events.sync_log() : log_;
  write_checkpoint(options_.checkpoint, c);
}

bool Trainer::due() const {
  return (options_.save_steps > 0 && step_ % options_.save_steps == 0) ||
         Clock::now() - saved_ > std::chrono::duration<double>(60 * options_.save_minutes);
}

void Trainer::run(const TrainerEvents& events) {
  const FlushDenormals flush;
  const ModeScope mode(net_, true);
  if (guidance_) guidance_->partner().train();
  const std::int64_t per_epoch = loader_.batches_per_epoch();
  saved_ = Clock::now();
  Progress progress(options_.label, options_.epochs * images_per_epoch(), options_.quiet, images_done());
  if (epoch() < options_.epochs) loader_.seek(epoch(), step_ % per_epoch);
  try {
    while (finished_epochs() < options_.epochs) {
      while (step_ < (finished_epochs() + 1) * per_epoch) {
        check_stop();
        const double loss = train_step(events);
        progress.update(images_done(), cat("loss ", number(loss), latest_test()));
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
  optimizer_.lr = options_.rate(step_);
  advance_schedules();
  if (rule_) rule_->project();
  if (gradients_) gradients_->set_step(step_);
  const auto [loss, value] = loss_of(batch);
  optimizer_.zero_grad();
  loss.backward();
  check_gradients(net_);
  if (guidance_) check_gradients(guidance_->partner());
  if (rule_) rule_->before_step();
  optimizer_.step();
  if (rule_) rule_->after_step(optimizer_.lr);
  if (average_.on()) average_.update(step_);
  loss_sum_ += value;
  window_sum_ += value;
  if (++step_ % std::max<std::int64_t>(1, options_.loss_window) == 0) {
    if (options_.loss_window > 0)
      loss_curve_.push_back(
          {static_cast<double>(step_), window_sum_ / static_cast<double>(options_.loss_window)});
    window_sum_ = 0;
  }
  if (events.step) events.step(step_, optimizer_.lr, value);
  return value;
}

// With a partner the sum of both losses: each reaches the parameters of its own network alone.
Trainer::StepLoss Trainer::loss_of(const datasets::Batch& batch) {
  const auto outcome = [&](nn::Module& net) {
    const Var logits = net(batch["image"]);
    return quant::Outcome{logits,
                          cross_entropy(logits, batch["label"], static_cast<Real>(options_.label_smoothing))};
  };
  const quant::Outcome own = outcome(net_);
  Var total = own.task;
  if (guidance_) {
    const quant::GuidedLosses guided = guidance_->losses(own, outcome(guidance_->partner()));
    total = guided.student + guided.partner;
  }
  for (const double value : {double(own.task.item()), double(total.item())})
    if (!std::isfinite(value))
      throw Diverged(cat("training loss is ", value, " at step ", step_, "; what is not finite first is ",
                         first_not_finite(net_, batch["image"])));
  return {total, own.task.item()};
}

void Trainer::advance_schedules() {
  const quant::Progress at{static_cast<double>(step_) / static_cast<double>(loader_.batches_per_epoch()),
                           static_cast<double>(options_.epochs)};
  if (rule_) rule_->advance(at);
  quant::advance(net_, at);
}

std::string Trainer::latest_test() const {
  return results_.empty() ? "" : cat("  test ", number(100 * results_.back().test.accuracy), " %");
}

// Calls f while the network is as it is judged: averaged weights, quantized as deployed, norm statistics
// estimated anew. Returns its state, from which the same network is deployed again: projections that remember
// something are in it as they were before they did so here.
nn::StateDict Trainer::judge(const std::function<void()>& f) {
  nn::StateDict judged;
  {
    NetworkScope scope(net_, rule_);
    if (average_.on()) load_state(net_, rule_, average_.state());
    judged = state_of(net_, rule_);
    if (rule_) rule_->deploy();
    if (options_.norm_batches > 0) {
      estimate_norm_statistics(net_, loader_, epoch(), options_.norm_batches);
      std::ranges::copy(net_.state_dict(), judged.begin());
    }
    f();
    scope.give_back();
    if (rule_) rule_->project();  // what that changes in the projections is taken back, too
  }
  if (options_.norm_batches > 0) loader_.seek(epoch(), step_ % loader_.batches_per_epoch());
  return judged;
}

void Trainer::finish_epoch(const TrainerEvents& events) {
  EpochResult result{static_cast<double>(finished_epochs() + 1),
                     loss_sum_ / static_cast<double>(loader_.batches_per_epoch()),
                     {},
                     {},
                     {std::nan(""), std::nan("")}};
  using Judge = TrainerOptions::JudgeTrain;
  const bool last = finished_epochs() + 1 == options_.epochs;
  bool better = false;
  nn::StateDict judged = judge([&] {
    result.held_out = evaluate(net_, data_.held_out);
    result.test = evaluate(net_, data_.test);
    if (options_.judge_train == Judge::always || (last && options_.judge_train == Judge::at_the_end))
      result.train = evaluate(net_, data_.train);
    better = best_ < 0 || data_.held_out.size() == 0 ||
             result.held_out.accuracy > results_[static_cast<std::size_t>(best_)].held_out.accuracy;
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

std::int64_t Trainer::images_per_epoch() const {
  return std::min(data_.train.size(), loader_.batches_per_epoch() * loader_.batch_size());
}

std::int64_t Trainer::images_done() const {
  return epoch() * images_per_epoch() + step_ % loader_.batches_per_epoch() * loader_.batch_size();
}

}  // namespace coarsegrad::experiments
