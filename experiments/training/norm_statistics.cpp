#include "experiments/training/norm_statistics.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/in_range.h"
#include "experiments/support/run.h"
#include "experiments/training/state_scope.h"
#include "experiments/training/training.h"

namespace coarsegrad::experiments {
namespace {

// A running statistic. A forward pass leaves (1 - momentum) old + momentum batch; with old = 0 the batch's own
// value can be read off.
struct Statistic {
  Tensor& running;
  double momentum;
  std::vector<double> sum;

  explicit Statistic(const nn::RunningStatistic& s)
      : running(s.value), momentum(s.momentum), sum(static_cast<std::size_t>(s.value.numel())) {}
  void clear() { std::ranges::fill(running.mut(), Real(0)); }
  void add() {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += static_cast<double>(running.view()[i]) / momentum;
  }
  void finish(double n) {
    const auto out = running.mut();
    for (std::size_t i = 0; i < sum.size(); ++i) out[i] = to_finite(sum[i] / n);
  }
};

}  // namespace

void estimate_norm_statistics(nn::Module& net, const std::function<void(const datasets::Batch&)>& forward,
                              datasets::DataLoader& loader, std::int64_t epoch, std::int64_t batches) {
  check(batches >= 1, "norm statistics: given ", batches, " batches, expected 1 or more");
  const NoGrad constant;
  const FlushDenormals flush;
  const ModeScope mode(net, false);  // activations as they are judged; normalisations alone are training
  std::vector<Statistic> statistics;
  for (const auto& [name, module] : net.named_modules())
    for (const nn::RunningStatistic& statistic : module->running_statistics())
      if (statistic.momentum > 0) {
        module->train();
        statistics.emplace_back(statistic);
      }
  const StateScope place(loader);
  loader.seek(epoch, 0);
  for (std::int64_t i = 0; i < batches; ++i) {
    check_stop();
    for (Statistic& s : statistics) s.clear();
    forward(loader.next());
    for (Statistic& s : statistics) s.add();
  }
  for (Statistic& s : statistics) s.finish(static_cast<double>(batches));
}

}  // namespace coarsegrad::experiments
