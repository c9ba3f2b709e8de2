#include "experiments/training/training.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <tuple>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/sha256.h"
#include "core/ops.h"
#include "experiments/support/file_place.h"
#include "experiments/support/run.h"
#include "quant/activations/trained.h"

namespace coarsegrad::experiments {

bool Split::same_images(const Split& other) const {
  return std::tie(dataset, images, held_out, seed, digest) ==
         std::tie(other.dataset, other.images, other.held_out, other.seed, other.digest);
}

SplitData split(datasets::TrainTest data, std::int64_t count, std::uint64_t seed, const std::string& name) {
  const std::int64_t size = data.train.size();
  check_usage(count >= 0 && count < size, "held-out: given ", count, " images of ", size, ", expected fewer");
  const std::vector<std::int64_t> indices = datasets::held_out_indices(size, count, seed);
  Split about{name, size, count, seed, sha256({std::as_bytes(std::span(indices))})};
  if (count == 0) {
    datasets::ImageDataset none = first_images(data.train, 0);
    return {std::move(data.train), std::move(none), std::move(data.test), std::move(about)};
  }
  auto [rest, held_out] = datasets::hold_out(data.train, count, seed);
  return {std::move(rest), std::move(held_out), std::move(data.test), std::move(about)};
}

datasets::ImageDataset first_images(const datasets::ImageDataset& data, std::int64_t count) {
  std::vector<std::int64_t> indices(static_cast<std::size_t>(std::min(count, data.size())));
  std::iota(indices.begin(), indices.end(), 0);
  return datasets::subset(data, indices);
}

Evaluation evaluate(nn::Module& net, const datasets::ImageDataset& data,
                    const std::function<void(const Tensor& logits)>& see) {
  if (data.size() == 0) return {std::nan(""), std::nan("")};
  const NoGrad constant;
  const FlushDenormals flush;
  const ModeScope mode(net, false);
  datasets::DataLoader loader(data,
                              {.batch_size = std::min<std::int64_t>(500, data.size()), .shuffle = false});
  Evaluation sum;
  for (const datasets::Batch& batch : loader.epoch(0)) {
    check_stop();
    const Var logits = net(batch["image"]);
    const double loss = cross_entropy(logits, batch["label"]).item();
    if (!all_finite(logits.value().view()) || !std::isfinite(loss))
      throw Diverged(cat("evaluation of ", data.name, ": what is not finite first is ",
                         first_not_finite(net, batch["image"])));
    if (see) see(logits.value());
    sum.loss += loss * static_cast<double>(batch["label"].numel());
    sum.accuracy += static_cast<double>(count_correct(logits.value(), batch["label"]));
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

void expect_finite_gradients(const std::vector<std::pair<std::string, Parameter*>>& parameters) {
  for (const auto& [name, parameter] : parameters)
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

nn::StateDict state_in(const TensorFile& file) {
  nn::StateDict state;
  for (const StoredTensor& t : file.tensors)
    state.emplace_back(t.name, Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end())));
  return state;
}

void save_network(const std::filesystem::path& path, const nn::StateDict& state,
                  const std::map<std::string, std::string>& metadata) {
  TensorFile file{{}, metadata};
  for (const auto& [name, value] : state)
    file.tensors.push_back(
        {name, value.shape(), std::vector<float>(value.view().begin(), value.view().end())});
  write_tensor_file(path, file);
}

void check_replaceable(const std::filesystem::path& path, const std::string& training) {
  check_place(path);
  if (!std::filesystem::exists(path)) return;
  std::string found;
  try {
    found = read_tensor_file(path).metadata[kTrainingKey];
  } catch (const Error&) {  // what cannot be read is somebody else's
  }
  check(found == training, path.string(),
        ": is there already and is of another training, expected another --out or that it is moved away");
}

std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net) {
  const TensorFile file = read_tensor_file(path);
  std::set<std::string> weights;  // what a projection has kept beside one of them is called WEIGHT.NAME
  for (const auto& [name, parameter] : net.named_parameters()) weights.insert(name);
  nn::StateDict state = state_in(file);
  std::erase_if(state, [&weights](const auto& entry) {
    return weights.contains(entry.first.substr(0, entry.first.rfind('.')));
  });
  try {
    quant::load_state_with_any_alphas(net, state);
  } catch (const Error& e) {
    throw Error(cat(path.string(), ": ", e.what()));
  }
  return file.metadata;
}

}  // namespace coarsegrad::experiments
