#pragma once
// A training by any method, stage after stage: what quant/assembly.h puts together, with data, schedule and trainer.
#include <functional>
#include <memory>
#include <string>

#include "experiments/training/classification.h"
#include "experiments/training/method_settings.h"
#include "experiments/training/trainer.h"
#include "quant/summary.h"

namespace coarsegrad::experiments {

/// Everything that a training depends on besides its network and its data.
struct TrainingPlan {
  quant::Method method = {};                 ///< its stages are those of the training
  OptimSettings optim = {};                  ///< for each stage; the optimizer that the method demands
  datasets::Augmentation augmentation = {};  ///< of the training images
  std::uint64_t seed = 1;                    ///< of the order of the images, their augmentation, random gradients
  /// Label, checkpoint and what is judged; epochs and rate come from `optim`. What is said of the network holds in the
  /// last stage, and is left out of the checkpoints of the others.
  TrainerOptions options = {};
  std::shared_ptr<Task> task = {};  ///< null: Classification, with the label smoothing of `optim`
};

/// A training in the stages of its method. Each stage starts from the float copies of the one before and lasts as many
/// epochs; a training by most methods has one stage.
class StagedTraining {
 public:
  /// `make` gives the network as it is at the start of the first stage; `data` must outlive the training. Throws
  /// UsageError for settings that do not go together.
  StagedTraining(TrainingPlan plan, const SplitData& data, quant::MakeNetwork make);
  StagedTraining(TrainingPlan plan, const SplitData&& data, quant::MakeNetwork make) = delete;  // it would be gone
  ~StagedTraining();

  /// Goes back to the checkpoint, in the stage that it belongs to; false when there is none. Throws as
  /// Trainer::restore() does.
  bool restore();
  /// Trains to the end of the last stage; steps and epochs are counted through all stages. Throws as Trainer::run()
  /// does.
  void run(const TrainerEvents& events = {});

  std::size_t stage() const { return stage_; }  ///< from 0
  /// Bits of weights and activations in each stage, the last one those of the method.
  const std::vector<TrainingStage>& stages() const { return stages_; }
  /// The network of the present stage; the next stage has another one.
  nn::Module& net();
  /// The summary of the network as it is deployed now.
  quant::Summary deployed();
  nn::Module* partner();  ///< the float network of a guided training, else null
  /// What is learned, and how good a network is at it.
  const Task& task() const { return *task_; }
  /// The trainer of the present stage, at the end that of the last one, whose results are those of the whole.
  Trainer& trainer();
  /// Epochs of all stages, those before the present one first.
  std::vector<EpochResult> results() const;

 private:
  struct Stage;
  TrainerEvents shifted(const TrainerEvents& events) const;
  /// Assembles a stage. The network has the state of the one in `before`, if given, before weight and gradient rules
  /// are made for it.
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
