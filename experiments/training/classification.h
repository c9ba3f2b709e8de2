#pragma once
// Classification: a network whose outputs, (N, classes), are the logits of one class of several.
#include "experiments/training/task.h"

namespace coarsegrad::experiments {

/// The loss of a classification, and the fields of a batch that it reads.
struct ClassificationOptions {
  double label_smoothing = 0;   ///< share of each target given to all classes alike, 0 <= s < 1; in training alone
  std::string input = "image";  ///< field that the network takes
  std::string label = "label";  ///< field of the class, int32 from 0
};

/// How good a network is at a classification.
struct Evaluation {
  double loss = 0;      ///< mean cross entropy
  double accuracy = 0;  ///< share of samples whose largest logit is that of their label, 0 to 1
};

/// The task of classification: the loss is the cross entropy; metrics are "loss", the cross entropy without smoothing,
/// and "accuracy", the share right, which decides what is better.
class Classification : public Task {
 public:
  /// A task with this loss on these fields.
  explicit Classification(ClassificationOptions options = {}) : options_(std::move(options)) {}

  Var loss(nn::Module& net, const datasets::Batch& batch) override { return outcome(net, batch).task; }
  quant::Outcome outcome(nn::Module& net, const datasets::Batch& batch) override;
  std::vector<Column> metrics() const override;
  bool better(const Metrics& a, const Metrics& b) const override { return a["accuracy"] > b["accuracy"]; }
  /// "93.25 %": the share right.
  std::string text(const Metrics& metrics) const override;

  /// The metrics as a struct; `see` is called with the logits (N, classes) of each batch, in the order of the data.
  /// Throws Diverged, naming the first layer whose output is not finite, when a logit or the loss is not: logits that
  /// are NaN have no largest one.
  Evaluation judge(nn::Module& net, const datasets::Dataset& data,
                   const std::function<void(const Tensor& logits)>& see = {}) const;

 protected:
  Metrics measure(nn::Module& net, const datasets::Dataset& data) override;

 private:
  ClassificationOptions options_;
};

/// Classification::judge() of images with labels.
Evaluation evaluate(nn::Module& net, const datasets::Dataset& data,
                    const std::function<void(const Tensor& logits)>& see = {});

}  // namespace coarsegrad::experiments
