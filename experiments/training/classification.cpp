#include "experiments/training/classification.h"

#include <cmath>

#include "core/base/check.h"
#include "core/ops.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/training.h"

namespace coarsegrad::experiments {

quant::Outcome Classification::outcome(nn::Module& net, const datasets::Batch& batch) {
  const Var logits = net(batch[options_.input]);
  return {logits, cross_entropy(logits, batch[options_.label], static_cast<Real>(options_.label_smoothing))};
}

std::vector<Column> Classification::metrics() const {
  return {{"loss", "1", "cross entropy"}, {"accuracy", "1", "share right"}};
}

std::string Classification::text(const Metrics& metrics) const { return cat(number(100 * metrics["accuracy"]), " %"); }

Metrics Classification::measure(nn::Module& net, const datasets::Dataset& data) {
  const Evaluation found = judge(net, data);
  return {{"loss", found.loss}, {"accuracy", found.accuracy}};
}

Evaluation Classification::judge(nn::Module& net, const datasets::Dataset& data,
                                 const std::function<void(const Tensor& logits)>& see) const {
  if (data.size() == 0) return {std::nan(""), std::nan("")};
  Evaluation sum;
  for_each_batch(net, data, [&](const datasets::Batch& batch) {
    const auto run = [&] { return net(batch[options_.input]); };
    const Tensor& labels = batch[options_.label];
    const Var logits = run();
    const double loss = cross_entropy(logits, labels).item();
    if (!all_finite(logits.value().view()) || !std::isfinite(loss))
      throw Diverged(cat("evaluation of ", data.description().name, ": what is not finite first is ",
                         first_not_finite(net, batch.tensors, run)));
    if (see) see(logits.value());
    sum.loss += loss * static_cast<double>(labels.numel());
    sum.accuracy += static_cast<double>(count_correct(logits.value(), labels));
  });
  const double n = static_cast<double>(data.size());
  return {sum.loss / n, sum.accuracy / n};
}

Evaluation evaluate(nn::Module& net, const datasets::Dataset& data,
                    const std::function<void(const Tensor& logits)>& see) {
  return Classification().judge(net, data, see);
}

}  // namespace coarsegrad::experiments
