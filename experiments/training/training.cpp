#include "experiments/training/training.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <set>
#include <tuple>

#include "core/autograd.h"
#include "core/base/check.h"
#include "core/base/sha256.h"
#include "experiments/support/file_place.h"
#include "experiments/support/run.h"
#include "quant/activations/trained.h"

namespace coarsegrad::experiments {

bool Split::same_images(const Split& other) const {
  return std::tie(dataset, images, held_out, seed, digest) ==
         std::tie(other.dataset, other.images, other.held_out, other.seed, other.digest);
}

SplitData split(SplitData::Samples train, SplitData::Samples test, std::int64_t count, std::uint64_t seed,
                const std::string& name) {
  const std::int64_t size = train->size();
  check_usage(count >= 0 && count < size, "held-out: given ", count, " samples of ", size, ", expected fewer");
  const std::vector<std::int64_t> indices = datasets::held_out_indices(size, count, seed);
  const auto part = [&train](std::vector<std::int64_t> numbers) {
    return std::make_shared<datasets::Subset>(train, std::move(numbers));
  };
  return {part(datasets::kept_indices(size, count, seed)),
          part(indices),
          std::move(test),
          {name, size, count, seed, sha256({std::as_bytes(std::span(indices))})}};
}

SplitData split(datasets::TrainTest data, std::int64_t count, std::uint64_t seed, const std::string& name) {
  return split(std::make_shared<datasets::ImageDataset>(std::move(data.train)),
               std::make_shared<datasets::ImageDataset>(std::move(data.test)), count, seed, name);
}

Shape image_of(const datasets::Dataset& data) { return data.description().field("image").shape; }

std::string pixels_of(const datasets::Dataset& data) {
  return data.description().field("image").as_codes ? "codes" : "normalised";
}

int classes_of(const datasets::Dataset& data) { return data.description().field("label").classes; }

namespace {

std::vector<std::int64_t> first_numbers(const datasets::Dataset& data, std::int64_t count) {
  std::vector<std::int64_t> numbers(static_cast<std::size_t>(std::min(count, data.size())));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

}  // namespace

SplitData::Samples first_samples(SplitData::Samples data, std::int64_t count) {
  std::vector<std::int64_t> numbers = first_numbers(*data, count);
  return std::make_shared<datasets::Subset>(std::move(data), std::move(numbers));
}

datasets::ImageDataset first_images(const datasets::ImageDataset& data, std::int64_t count) {
  return datasets::subset(data, first_numbers(data, count));
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
    if (!all_finite(parameter->grad().view())) throw Diverged(cat("the gradient of ", name, " is not finite"));
}

std::string first_not_finite(nn::Module& net, const NamedTensors& batch, const std::function<void()>& run) {
  for (const auto& [name, tensor] : batch)
    if (tensor.type() == kRealType && !all_finite(tensor.view())) return cat("the field ", name);
  const NoGrad constant;
  std::string found;
  std::vector<std::pair<nn::Module*, int>> hooks;
  for (const auto& [name, module] : net.named_modules())
    hooks.emplace_back(module,
                       module->register_forward_hook([&found, name = name](nn::Module&, const Var&, const Var& output) {
                         if (found.empty() && !all_finite(output.value().view()))
                           found = cat("the output of ", name.empty() ? "the network" : name);
                       }));
  run();
  for (const auto& [module, number] : hooks) module->remove_hook(number);
  return found.empty() ? "the loss" : found;
}

nn::StateDict state_in(const TensorFile& file) {
  nn::StateDict state;
  for (const StoredTensor& t : file.tensors)
    state.emplace_back(t.name, Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end())));
  return state;
}

TensorFile file_of(const nn::StateDict& state, const std::map<std::string, std::string>& metadata) {
  TensorFile file{{}, metadata};
  for (const auto& [name, value] : state)
    file.tensors.push_back({name, value.shape(), std::vector<float>(value.view().begin(), value.view().end())});
  return file;
}

void save_network(const std::filesystem::path& path, const nn::StateDict& state,
                  const std::map<std::string, std::string>& metadata) {
  write_tensor_file(path, file_of(state, metadata));
}

void check_replaceable(const std::filesystem::path& path, const std::string& training) {
  check_place(path);
  if (!std::filesystem::exists(path)) return;
  std::string found;
  try {
    found = read_tensor_file(path).metadata[kTrainingKey];
  } catch (const Error&) {  // a file that cannot be read is somebody else's
  }
  check(found == training, path.string(),
        ": is there already and is of another training, expected another --out or that it is moved away");
}

std::map<std::string, std::string> load_network(const std::filesystem::path& path, nn::Module& net) {
  const TensorFile file = read_tensor_file(path);
  std::set<std::string> weights;  // what a projection has kept beside one of them is called WEIGHT.NAME
  for (const auto& [name, parameter] : net.named_parameters()) weights.insert(name);
  nn::StateDict state = state_in(file);
  std::erase_if(
      state, [&weights](const auto& entry) { return weights.contains(entry.first.substr(0, entry.first.rfind('.'))); });
  try {
    quant::load_state_with_any_alphas(net, state);
  } catch (const Error& e) {
    throw Error(cat(path.string(), ": ", e.what()));
  }
  return file.metadata;
}

}  // namespace coarsegrad::experiments
