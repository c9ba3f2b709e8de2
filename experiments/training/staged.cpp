#include "experiments/training/staged.h"

#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "quant/activations/trained.h"
#include "quant/assembly.h"
#include "quant/evaluation_scope.h"

namespace coarsegrad::experiments {

// The parts of one stage. A part that refers to another one comes behind it, so that it is destroyed first.
struct StagedTraining::Stage {
  quant::Assembly parts;
  std::unique_ptr<datasets::DataLoader> loader;
  std::unique_ptr<Trainer> trainer;
};

StagedTraining::StagedTraining(TrainingPlan plan, const SplitData& data, quant::MakeNetwork make)
    : plan_(std::move(plan)),
      task_(plan_.task ? plan_.task
                       : std::make_shared<Classification>(
                             ClassificationOptions{.label_smoothing = plan_.optim.label_smoothing})),
      data_(data),
      make_(std::move(make)),
      stages_(quant::stages(plan_.method)) {
  expect_optimizer_of(plan_.method, plan_.optim);
  now_ = assembled(0);
}

StagedTraining::~StagedTraining() = default;

std::unique_ptr<StagedTraining::Stage> StagedTraining::assembled(std::size_t number, const Stage* before) const {
  const OptimSettings& optim = plan_.optim;
  const auto prepare = [&](nn::Module& net, nn::Module* partner) {
    if (before) quant::load_state_with_any_alphas(net, before->parts.net->state_dict());
    if (before && partner) partner->load_state_dict(before->parts.partner->state_dict());
    apply_decay(optim, net);
    if (partner) apply_decay(optim, *partner);
  };
  auto a = std::make_unique<Stage>();
  a->parts = quant::assemble({.method = plan_.method,
                              .stage = stages_[number],
                              .network = make_,
                              .input = image_of(*data_.train),
                              .optimizer = optimizer_maker(optim),
                              .rng = Rng(plan_.seed).split("gradients").split(number),
                              .prepare = prepare});
  check_usage(optim.batch <= data_.train->size(), "batch: given ", optim.batch, ", expected at most ",
              data_.train->size(), ", the training images without those held out");
  a->loader = std::make_unique<datasets::DataLoader>(
      *data_.train,
      datasets::LoaderOptions{
          .batch_size = optim.batch, .drop_last = true, .seed = plan_.seed, .augmentation = plan_.augmentation});
  TrainerOptions options = plan_.options;
  options.epochs = optim.epochs;
  options.compute = compute_type_of(optim.compute);
  options.rate = make_schedule(optim, a->loader->batches_per_epoch());
  if (number + 1 < stages_.size()) options.about.clear();
  if (stages_.size() > 1) {
    options.label = cat(options.label, ", stage ", number + 1, " of ", stages_.size());
    auto config = nlohmann::json::parse(options.config);
    config["stage"] = number;
    options.config = config.dump();
    if (now_)
      for (const EpochResult& r : results()) options.earlier.push_back(r.row());
  }
  const quant::Assembly& parts = a->parts;
  a->trainer =
      std::make_unique<Trainer>(*parts.net, *task_, *parts.optimizer, *a->loader, data_, options,
                                TrainerParts{parts.weights.get(), parts.gradients.get(), parts.guidance.get()});
  return a;
}

bool StagedTraining::restore() {
  const auto& path = plan_.options.checkpoint;
  if (stages_.size() > 1 && !path.empty() && std::filesystem::exists(path)) {
    const auto config =
        parse_json(read_checkpoint(path).config, cat("checkpoint ", path.string(), ": the configuration"));
    const bool staged = config.is_object() && config.contains("stage");
    const auto stage = staged ? integer_from_json<std::size_t>(config["stage"], "stage") : 0;
    if (stage > 0 && stage < stages_.size()) {
      now_ = assembled(stage);
      stage_ = stage;
    }
  }
  return trainer().restore();
}

void StagedTraining::run(const TrainerEvents& events) {
  for (;;) {
    if (!trainer().finished()) trainer().run(shifted(events));
    if (stage_ + 1 == stages_.size()) return;
    now_ = assembled(stage_ + 1, now_.get());
    ++stage_;
  }
}

TrainerEvents StagedTraining::shifted(const TrainerEvents& events) const {
  if (stage_ == 0) return events;
  const auto epochs = static_cast<std::int64_t>(stage_) * plan_.optim.epochs;
  const std::int64_t steps = epochs * now_->trainer->steps_per_epoch();
  TrainerEvents moved = events;
  if (events.step)
    moved.step = [&events, steps](std::int64_t step, double rate, double loss) {
      events.step(step + steps, rate, loss);
    };
  if (events.epoch)
    moved.epoch = [&events, epochs](const EpochResult& result) {
      EpochResult counted = result;
      counted.epoch += static_cast<double>(epochs);
      events.epoch(counted);
    };
  return moved;
}

quant::Summary StagedTraining::deployed() {
  const quant::EvaluationScope scope(*now_->parts.net, now_->parts.weights.get());
  return quant::summarize(*now_->parts.net, image_of(*data_.train), now_->parts.weights.get());
}

nn::Module& StagedTraining::net() { return *now_->parts.net; }
nn::Module* StagedTraining::partner() { return now_->parts.partner.get(); }
Trainer& StagedTraining::trainer() { return *now_->trainer; }

std::vector<EpochResult> StagedTraining::results() const {
  std::vector<EpochResult> all;
  for (const auto& row : now_->trainer->earlier()) all.push_back(EpochResult::from(row, *task_));
  for (EpochResult r : now_->trainer->results()) {
    r.epoch = static_cast<double>(all.size() + 1);
    all.push_back(r);
  }
  return all;
}

}  // namespace coarsegrad::experiments
