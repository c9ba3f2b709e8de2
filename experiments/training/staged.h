#pragma once
// A training by any method: what quant/assembly.h puts together, with data, schedule and trainer, stage after stage. Each stage starts from the float copies of the one before and lasts as many epochs.
#include <functional>
#include <memory>
#include <string>

#include "experiments/training/classification.h"
#include "experiments/training/method_settings.h"
#include "experiments/training/trainer.h"
#include "quant/summary.h"

namespace coarsegrad::experiments {

struct TrainingPlan {
  quant::Method method = {};
  OptimSettings optim = {};  ///< of each stage
  datasets::Augmentation augmentation = {};
  std::uint64_t seed = 1;  ///< of the order of the images and their augmentation, and of what is drawn
  /// Label, checkpoint and what is judged; epochs and rate come from `optim`.
  TrainerOptions options = {};
  std::shared_ptr<Task> task = {};  ///< null: Classification, with the label smoothing of `optim`
};

class StagedTraining {
 public:
  /// `make` gives the network as it is at the start of the first stage; `data` must outlive the training. Throws
  /// UsageError for settings that do not go together.
  StagedTraining(TrainingPlan plan, const SplitData& data, quant::MakeNetwork make);
  StagedTraining(TrainingPlan plan, const SplitData&& data, quant::MakeNetwork make) = delete;  // it would be gone
  ~StagedTraining();

  /// As Trainer::restore(), into the stage that the checkpoint belongs to.
  bool restore();
  /// As Trainer::run(), to the end of the last stage. Steps and epochs are counted through all stages.
  void run(const TrainerEvents& events = {});

  std::size_t stage() const { return stage_; }  ///< from 0
  const std::vector<TrainingStage>& stages() const { return stages_; }
  nn::Module& net();
  /// What the network as it is deployed now is made of.
  quant::Summary deployed();
  nn::Module* partner();  ///< null unless guided
  const Task& task() const { return *task_; }
  /// Of the present stage; at the end that of the last one, whose results are those of the whole.
  Trainer& trainer();
  /// Epochs of all stages, those before the present one first.
  std::vector<EpochResult> results() const;

 private:
  struct Stage;
  TrainerEvents shifted(const TrainerEvents& events) const;
  /// The network has the state of that of `before`, if given, when its rules look at it.
  std::unique_ptr<Stage> assembled(std::size_t stage, const Stage* before = nullptr) const;

  const TrainingPlan plan_;
  const std::shared_ptr<Task> task_;
  const SplitData& data_;
  const quant::MakeNetwork make_;
  const std::vector<TrainingStage> stages_;
  std::size_t stage_ = 0;
  std::unique_ptr<Stage> now_;
};

}  // namespace coarsegrad::experiments
