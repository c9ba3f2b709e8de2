#include "experiments/training/training.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "quant/methods/trained_activation.h"

namespace coarsegrad::experiments {

SplitData split(datasets::TrainTest data, std::int64_t count, std::uint64_t seed) {
  check_usage(count >= 0 && count < data.train.size(), "held-out: given ", count, " images of ",
              data.train.size(), ", expected fewer");
  if (count == 0) {
    datasets::Dataset none = first_images(data.train, 0);
    return {std::move(data.train), std::move(none), std::move(data.test)};
  }
  auto [rest, held_out] = datasets::hold_out(data.train, count, seed);
  return {std::move(rest), std::move(held_out), std::move(data.test)};
}

datasets::Dataset first_images(const datasets::Dataset& data, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(count, data.size())));
  std::iota(indices.begin(), indices.end(), 0);
  return datasets::subset(data, indices);
}

Evaluation evaluate(nn::Module& net, const datasets::Dataset& data) {
  if (data.size() == 0) return {std::nan(""), std::nan("")};
  const NoGrad constant;
  const FlushDenormals flush;
  const ModeScope mode(net, false);
  datasets::DataLoader loader(data,
                              {.batch_size = std::min<std::int64_t>(500, data.size()), .shuffle = false});
  Evaluation sum;
  for (const datasets::Batch& batch : loader.epoch(0)) {
    check_stop();
    const Var logits = net(batch.images);
    const double loss = cross_entropy(logits, batch.labels).item();
    if (!all_finite(logits.value().view()) || !std::isfinite(loss))
      throw Diverged(cat("evaluation of ", data.name, ": what is not finite first is ",
                         first_not_finite(net, batch.images)));
    sum.loss += loss * static_cast<double>(batch.labels.size());
    sum.accuracy += static_cast<double>(count_correct(logits.value(), batch.labels));
  }
  const double n = static_cast<double>(data.size());
  return {sum.loss / n, sum.accuracy / n};
}

// A float is finite unless all bits of its exponent are set; adding one there carries into the sign bit.
// Integers are summed in any order, so that the compiler may use vectors.
bool all_finite(std::span<const Real> values) {
  static_assert(sizeof(Real) == sizeof(std::uint32_t), "the mains train in float");
  std::uint32_t carried = 0;
  for (const Real v : values) carried |= (std::bit_cast<std::uint32_t>(v) & 0x7fffffffU) + 0x00800000U;
  return carried >> 31 == 0;
}

void check_gradients(nn::Module& net) {
  for (const auto& [name, parameter] : net.named_parameters())
    if (!all_finite(parameter->grad().view()))
      throw Diverged(cat("the gradient of ", name, " is not finite"));
}

std::string first_not_finite(nn::Module& net, const Tensor& images) {
  if (!all_finite(images.view())) return "the input";
  const NoGrad constant;
  std::string found;
  std::vector<std::pair<nn::Module*, int>> hooks;
  for (const auto& [name, module] : net.named_modules())
    hooks.emplace_back(module, module->register_forward_hook(
                                   [&found, name = name](nn::Module&, const Var&, const Var& output) {
                                     if (found.empty() && !all_finite(output.value().view()))
                                       found = cat("the output of ", name.empty() ? "the network" : name);
                                   }));
  const Var output = net(images);
  for (const auto& [module, number] : hooks) module->remove_hook(number);
  return found.empty() ? "the loss" : found;
}

void save_network(const std::filesystem::path& path, const nn::StateDict& state,
                  const std::map<std::string, std::string>& metadata) {
  TensorFile file{{}, metadata};
  for (const auto& [name, value] : state)
    file.tensors.push_back(
        {name, value.shape(), std::vector<float>(value.view().begin(), value.view().end())});
  write_tensor_file(path, file);
}

std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net) {
  const TensorFile file = read_tensor_file(path);
  std::set<std::string> weights;  // what a projection has kept beside one of them is called WEIGHT.NAME
  for (const auto& [name, parameter] : net.named_parameters()) weights.insert(name);
  nn::StateDict state;
  for (const StoredTensor& t : file.tensors)
    if (!weights.contains(t.name.substr(0, t.name.rfind('.'))))
      state.emplace_back(t.name, Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end())));
  try {
    quant::load_state_with_any_alphas(net, state);
  } catch (const Error& e) {
    throw Error(cat(path.string(), ": ", e.what()));
  }
  return file.metadata;
}

}  // namespace coarsegrad::experiments
