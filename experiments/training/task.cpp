#include "experiments/training/task.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/matrix_product.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/state_scope.h"
#include "experiments/training/training.h"

namespace coarsegrad::experiments {

double Metrics::operator[](std::string_view name) const {
  std::string known;
  for (const auto& [entry, value] : entries_) {
    if (entry == name) return value;
    known += ' ' + entry;
  }
  throw Error(cat("metrics: given '", name, "', expected one of:", known));
}

Metrics Task::unknown() const {
  Metrics none;
  for (const Column& metric : metrics()) none.add(metric.name, std::nan(""));
  return none;
}

Metrics Task::evaluate(nn::Module& net, const datasets::Dataset& data) {
  Metrics expected = unknown();
  if (data.size() == 0) return expected;
  const StateScope remembered(*this);
  Metrics found = measure(net, data);
  check(std::ranges::equal(found, expected, {}, &Metrics::Entry::first, &Metrics::Entry::first), "task: given ",
        found.size(), " metrics, expected those that metrics() lists, in its order");
  return found;
}

std::string Task::text(const Metrics& metrics) const {
  std::string all;
  for (const auto& [name, value] : metrics) all += cat(all.empty() ? "" : ", ", name, " ", number(value));
  return all;
}

void for_each_batch(nn::Module& net, const datasets::Dataset& data,
                    const std::function<void(const datasets::Batch& batch)>& see) {
  const NoGrad constant;
  const FlushDenormals flush;
  const DeployedProducts products;
  const ModeScope mode(net, false);
  datasets::DataLoader loader(data, {.batch_size = std::min<std::int64_t>(500, data.size()), .shuffle = false});
  for (const datasets::Batch& batch : loader.epoch(0)) {
    check_stop();
    see(batch);
  }
}

}  // namespace coarsegrad::experiments
