#include "experiments/training/training.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"

namespace coarsegrad::experiments {
namespace {

std::int64_t count_right(const Tensor& logits, std::span<const std::uint8_t> labels) {
  const std::int64_t classes = logits.dim(1);
  std::int64_t right = 0;
  for (std::size_t i = 0; i < labels.size(); ++i) {
    const Real* row = logits.data() + static_cast<std::int64_t>(i) * classes;
    right += std::max_element(row, row + classes) - row == labels[i];
  }
  return right;
}

// Puts the network into a mode and back.
class ModeScope {
 public:
  ModeScope(nn::Module& net, bool training) : net_(net), before_(net.training()) { net.train(training); }
  ~ModeScope() { net_.train(before_); }
  ModeScope(const ModeScope&) = delete;
  ModeScope& operator=(const ModeScope&) = delete;

 private:
  nn::Module& net_;
  bool before_;
};

}  // namespace

Evaluation evaluate(nn::Module& net, const datasets::Dataset& data) {
  const NoGrad constant;
  const FlushDenormals flush;
  const ModeScope mode(net, false);
  datasets::DataLoader loader(data,
                              {.batch_size = std::min<std::int64_t>(500, data.size()), .shuffle = false});
  Evaluation sum;
  for (const datasets::Batch& batch : loader.epoch(0)) {
    check_stop();
    const Var logits = net(batch.images);
    sum.loss += cross_entropy(logits, batch.labels).item() * static_cast<double>(batch.labels.size());
    sum.accuracy += static_cast<double>(count_right(logits.value(), batch.labels));
  }
  const double n = static_cast<double>(data.size());
  return {sum.loss / n, sum.accuracy / n};
}

double train_epoch(nn::Module& net, optim::Optimizer& optimizer, datasets::DataLoader& loader,
                   std::int64_t epoch, const EpochOptions& options) {
  const FlushDenormals flush;
  const ModeScope mode(net, true);
  std::int64_t step = epoch * loader.batches_per_epoch();
  double total_loss = 0;
  for (const datasets::Batch& batch : loader.epoch(epoch)) {
    check_stop();
    if (options.before_step) options.before_step(step);
    const Var loss =
        cross_entropy(net(batch.images), batch.labels, static_cast<Real>(options.label_smoothing));
    total_loss += check_finite("training loss", loss.item());
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (options.after_step) options.after_step(step, loss.item());
    ++step;
  }
  return total_loss / static_cast<double>(loader.batches_per_epoch());
}

void check_gradients(nn::Module& net) {
  for (const auto& [name, parameter] : net.named_parameters()) {
    const auto g = parameter->grad().view();
    if (!std::all_of(g.begin(), g.end(), [](Real v) { return std::isfinite(v); }))
      throw Diverged(cat("the gradient of ", name, " is not finite"));
  }
}

void save_network(const std::filesystem::path& path, nn::Module& net,
                  const std::map<std::string, std::string>& metadata) {
  TensorFile file{{}, metadata};
  for (const auto& [name, value] : net.state_dict())
    file.tensors.push_back(
        {name, value.shape(), std::vector<float>(value.view().begin(), value.view().end())});
  write_tensor_file(path, file);
}

std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net) {
  const TensorFile file = read_tensor_file(path);
  nn::StateDict state;
  for (const StoredTensor& t : file.tensors)
    state.emplace_back(t.name, Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end())));
  try {
    net.load_state_dict(state);
  } catch (const Error& e) {
    throw Error(cat(path.string(), ": ", e.what()));
  }
  return file.metadata;
}

}  // namespace coarsegrad::experiments
