#pragma once
// Task: what a network learns, and how good it is at it. The trainer (trainer.h) knows nothing of labels, targets or
// accuracies: it asks the task for the loss of a batch, for the metrics of a data set, and which of two results is the
// better one. A task of a user's own derives from Task:
//   class Masked : public Task {
//    public:
//     Var loss(nn::Module& net, const datasets::Batch& batch) override;
//     std::vector<Column> metrics() const override { return {{"error", "1", "mean squared error"}}; }
//     bool better(const Metrics& a, const Metrics& b) const override { return a["error"] < b["error"]; }
//    protected:
//     Metrics measure(nn::Module& net, const datasets::Dataset& data) override;  // with for_each_batch()
//   };
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "datasets/loader.h"
#include "experiments/support/run_log.h"
#include "nn/module.h"
#include "quant/guidance.h"

namespace coarsegrad::experiments {

/// Numbers by name, in the order in which a task lists its metrics.
class Metrics {
 public:
  /// Name and value of one metric.
  using Entry = std::pair<std::string, double>;

  /// No metrics.
  Metrics() = default;
  /// Metrics in this order; their names must differ.
  Metrics(std::initializer_list<Entry> entries) : entries_(entries) {}

  /// Appends a metric, whose name must be new.
  void add(std::string name, double value) { entries_.emplace_back(std::move(name), value); }
  /// The value of the metric of this name. Throws Error, listing the names that there are, when there is none.
  double operator[](std::string_view name) const;
  std::size_t size() const { return entries_.size(); }
  auto begin() const { return entries_.begin(); }
  auto end() const { return entries_.end(); }

 private:
  std::vector<Entry> entries_;
};

/// What a network learns, and how good it is at it.
class Task {
 public:
  virtual ~Task() = default;

  /// What a training makes smaller: a scalar, of a batch of the loader that the training goes by. The network's mode is
  /// that of the training, or, where running statistics are estimated anew, evaluation.
  virtual Var loss(nn::Module& net, const datasets::Batch& batch) = 0;
  /// The loss with the outputs, (N, C), that a guided training may compare (quant/guidance.h); a task that has none
  /// leaves them undefined, and is guided by feature maps alone.
  virtual quant::Outcome outcome(nn::Module& net, const datasets::Batch& batch) { return {{}, loss(net, batch)}; }

  /// Names, units and descriptions of the metrics that evaluate() measures, one or more, whose names differ; a log has
  /// a column of each for each part of the data.
  virtual std::vector<Column> metrics() const = 0;
  /// The metrics() of the network, in evaluation mode, on a whole data set; NaN for an empty one. The network computes
  /// with the weights that it has at the moment. Its mode and what the task remembers stay. Throws Diverged where the
  /// network's output is not finite. Polls stop requests.
  Metrics evaluate(nn::Module& net, const datasets::Dataset& data);
  /// metrics() without values: NaN.
  Metrics unknown() const;
  /// Whether the first of two results of one data set is the better one. Equals are no better.
  virtual bool better(const Metrics& a, const Metrics& b) const = 0;
  /// The metrics in a few words, "loss 0.12", for the progress bar of a training.
  virtual std::string text(const Metrics& metrics) const;

  /// What the task remembers from one step to the next (core/state.h), nothing unless a task overrides both functions.
  virtual State state() const { return {}; }
  virtual void load_state(const State& state) { state.expect_entries_of({}); }

 protected:
  /// The metrics() of the network on a data set that is not empty; evaluate() calls it in evaluation mode.
  virtual Metrics measure(nn::Module& net, const datasets::Dataset& data) = 0;
};

/// Calls `see` with each batch of a data set in its order, up to 500 samples each, without augmentation, while the
/// network is in evaluation mode and no gradient is recorded. The mode comes back. Polls stop requests.
void for_each_batch(nn::Module& net, const datasets::Dataset& data,
                    const std::function<void(const datasets::Batch& batch)>& see);

}  // namespace coarsegrad::experiments
