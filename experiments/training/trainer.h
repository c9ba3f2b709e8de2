#pragma once
// Trainer: one training from its first step to its last, which may be broken off at any moment (a signal, a
// kill) and goes on from its checkpoint to the very same end, bit for bit, in the same program on the same
// machine with any number of threads. What is learned, and how good a network is at it, the task says (task.h).
#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/autocast.h"
#include "experiments/support/run_log.h"
#include "experiments/training/checkpoint.h"
#include "experiments/training/json_values.h"
#include "experiments/training/task.h"
#include "experiments/training/training.h"
#include "experiments/training/weight_average.h"
#include "optim/optimizer.h"
#include "optim/schedule.h"
#include "quant/guidance.h"
#include "quant/quantized_optimizer.h"

namespace coarsegrad::experiments {

/// How long a Trainer trains, how fast, how it judges, and what it keeps.
struct TrainerOptions {
  std::string label = "training";  ///< of the progress bar
  /// A JSON object: everything that the results depend on. A checkpoint of another configuration is refused.
  std::string config = "{}";
  std::int64_t epochs = 1;                      ///< >= 1
  optim::Schedule rate = optim::constant(0.1);  ///< learning rate of each step
  ComputeType compute = ComputeType::real;      ///< of its steps; networks are judged in Real
  double average_decay = 0;  ///< of a moving average of the weights, which is judged in their place; 0: none
  /// Batches that norm statistics are estimated from before judging; 0: those of the training are kept.
  std::int64_t norm_batches = 0;
  /// After which epochs the samples trained on are judged: none, the last one, or each.
  enum class JudgeTrain { never, at_the_end, always } judge_train = JudgeTrain::never;  ///< none by default
  std::int64_t loss_window = 0;           ///< steps that an entry of loss_curve() is the mean of; 0: no curve
  Rows earlier = {};                      ///< EpochResult::row() of stages before this training
  std::filesystem::path checkpoint = {};  ///< empty: none is kept
  /// Checkpoint::about: what a network's file says beside its values.
  std::map<std::string, std::string> about = {};
  std::int64_t save_steps = 0;           ///< steps between two checkpoints; 0: by time, and at the end of each epoch
  double save_minutes = 5;               ///< most minutes between two checkpoints, > 0
  std::vector<StatefulPart> parts = {};  ///< a user's own, whose state is saved and restored with the others
  bool quiet = false;                    ///< no progress bar
};

/// What a training has come to after an epoch.
struct EpochResult {
  double epoch = 0;  ///< from 1
  double loss = 0;   ///< mean of the batches' losses, as Task::loss() gives them in training mode
  Metrics held_out,  ///< Task::evaluate() of the held-out samples; NaN where there are none
      test,          ///< Task::evaluate() of the test samples; NaN where there are none
      train;         ///< Task::evaluate() of the samples trained on, not augmented; NaN where it was not asked for

  /// What a log's table of results needs, in the order of row(): "epoch", "loss", then "held_out_NAME", "test_NAME" and
  /// "train_NAME" of each metric of the task.
  static std::vector<Column> columns(const Task& task);
  /// The numbers of columns(), in their order.
  std::vector<double> row() const;
  /// The result whose row() this is. Throws Error for a row of another length.
  static EpochResult from(std::span<const double> row, const Task& task);
};

/// Functions that a Trainer calls. What they log must be in the log before they return.
struct TrainerEvents {
  /// Called after each step with its number from 1, its learning rate and the loss of its batch.
  std::function<void(std::int64_t step, double rate, double loss)> step = {};
  /// Called after each epoch, once it is judged.
  std::function<void(const EpochResult& result)> epoch = {};
  /// Called before a checkpoint is written; returns where the log stands (RunLog::position()), after everything up to
  /// there has reached the disk.
  std::function<std::string()> sync_log = {};
};

/// The quantizing parts of a training beside its network; null for none.
struct TrainerParts {
  quant::WeightRule* rule = nullptr;         ///< quantizes the weights
  quant::GradientRule* gradients = nullptr;  ///< quantizes gradients on their way back
  quant::Guidance* guidance = nullptr;       ///< has a partner that learns from the same batches
};

/// One training of a network at a task. Not copied: it refers to the parts of the training, and moves them.
class Trainer {
 public:
  /// All references and parts must outlive the trainer; the loader serves data.train, from its first batch on,
  /// `optimizer` moves the parameters of the network and of its parts. Throws Error for options out of range, data sets
  /// that are not there, and for an optimizer that lacks what the weight rule trains.
  Trainer(nn::Module& net, Task& task, optim::Optimizer& optimizer, datasets::DataLoader& loader, SplitData data,
          TrainerOptions options, const TrainerParts& parts = {});
  Trainer(const Trainer&) = delete;
  Trainer& operator=(const Trainer&) = delete;

  /// Goes back to where the checkpoint stands; false when there is none. Throws UsageError when it belongs to
  /// another configuration, Error when it is damaged or does not fit; it is left as it is then.
  bool restore();
  /// What sync_log() had returned when the restored checkpoint was written.
  const std::string& log_position() const { return log_; }

  /// Trains to the end, from where the training stands. Throws Diverged before any weight moves when a loss or a
  /// gradient is not finite; Interrupted, the checkpoint written, when a stop was requested.
  void run(const TrainerEvents& events = {});

  /// Keeps a row of numbers with the training, in its checkpoint, too: what a main measures in events.epoch.
  void note(std::vector<double> row) { notes_.push_back(std::move(row)); }
  /// The rows that note() was given, the first one first.
  const Rows& notes() const { return notes_; }

  /// Whether all epochs are done.
  bool finished() const { return finished_epochs() == options_.epochs; }
  /// Steps since the training began, those before a break included.
  std::int64_t steps_taken() const { return optimizer_.steps_taken(); }
  /// Batches of one epoch.
  std::int64_t steps_per_epoch() const { return loader_.batches_per_epoch(); }
  /// Seconds spent on the training until it was saved last, breaks left out.
  double seconds() const { return seconds_; }
  /// (step, mean loss of the batches of the last loss_window steps), one row for each window that is full.
  const Rows& loss_curve() const { return loss_curve_; }
  /// Results of the epochs so far.
  const std::vector<EpochResult>& results() const { return results_; }
  /// TrainerOptions::earlier, from the checkpoint if it was restored.
  const Rows& earlier() const { return earlier_; }
  /// The epoch whose held-out metrics are the best by Task::better(), the first one of equals; without held-out samples
  /// the last one.
  const EpochResult& best() const;
  /// The network as it was judged after best().
  const nn::StateDict& best_network() const { return best_network_; }
  /// The network as it is judged now.
  nn::StateDict judged_network();
  /// What is learned, and how good a network is at it.
  const Task& task() const { return task_; }
  /// The weight rule that quantizes the network's weights; null for float weights.
  quant::WeightRule* rule() const { return optimizer_.weights(); }

 private:
  struct StepLoss {
    Var total;
    double own;  ///< the network's part
  };
  StepLoss loss_of(const datasets::Batch& batch);
  double train_step(const TrainerEvents& events);
  void check_gradients();
  void finish_epoch(const TrainerEvents& events);
  nn::StateDict judge(const std::function<void()>& f);
  std::vector<StatefulPart> all_parts();
  State own_state() const;
  void load_own_state(const State& state);
  void check_place() const;
  void save(const TrainerEvents& events);
  bool due() const;
  std::int64_t epoch() const { return steps_taken() / loader_.batches_per_epoch(); }
  std::int64_t batch() const { return steps_taken() % loader_.batches_per_epoch(); }
  std::int64_t finished_epochs() const { return static_cast<std::int64_t>(results_.size()); }
  std::int64_t samples_per_epoch() const;
  std::int64_t samples_done() const;
  std::string latest_test() const;

  nn::Module& net_;
  Task& task_;
  datasets::DataLoader& loader_;
  const SplitData data_;
  const TrainerOptions options_;
  quant::QuantizedOptimizer optimizer_;
  quant::GradientRule* gradients_;
  quant::Guidance* guidance_;
  WeightAverage average_;
  const std::vector<StatefulPart> parts_;  // all of the above that remember something, and what follows

  std::int64_t best_ = -1;
  double loss_sum_ = 0, window_sum_ = 0;
  Rows loss_curve_, notes_, earlier_;
  std::vector<EpochResult> results_;
  nn::StateDict best_network_;
  std::string log_;

  using Clock = std::chrono::steady_clock;
  double seconds_ = 0;
  Clock::time_point saved_ = Clock::now();
};

}  // namespace coarsegrad::experiments
