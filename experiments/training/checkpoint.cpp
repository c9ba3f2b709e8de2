#include "experiments/training/checkpoint.h"

#include <span>

#include "core/base/check.h"
#include "core/base/sha256.h"
#include "core/base/short_text.h"
#include "experiments/support/json_text.h"
#include "experiments/support/tensor_file.h"
#include "experiments/training/json_values.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "coarsegrad-checkpoint";
constexpr int kVersion = 2;

// ---- tensors, named "part/name" in the file; the names of a part stand in its JSON, in their order

json put(TensorFile& file, const std::string& part, const nn::StateDict& state) {
  json names = json::array();
  for (const auto& [name, value] : state) {
    names.push_back({name, value.defined()});
    if (!value.defined()) continue;
    const auto view = value.view();
    file.tensors.push_back({cat(part, "/", name), value.shape(), {view.begin(), view.end()}});
  }
  return names;
}

// Takes the tensors of a file out by name; every one of them must be asked for.
class Tensors {
 public:
  explicit Tensors(std::vector<StoredTensor> tensors) {
    for (StoredTensor& t : tensors) by_name_.emplace(t.name, std::move(t));
  }
  nn::StateDict take(const std::string& part, const json& names) {
    nn::StateDict state;
    for (const json& entry : names) {
      const auto name = entry.at(0).get<std::string>();
      state.emplace_back(name, entry.at(1).get<bool>() ? take(cat(part, "/", name)) : Tensor());
    }
    return state;
  }
  void check_empty() const {
    check(by_name_.empty(), "the tensor ", in_quotes(by_name_.empty() ? "" : by_name_.begin()->first),
          " belongs to no part");
  }

 private:
  Tensor take(const std::string& name) {
    const auto node = by_name_.extract(name);
    check(!node.empty(), "the tensor ", in_quotes(name), " is missing");
    const StoredTensor& t = node.mapped();
    return Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end()));
  }
  std::map<std::string, StoredTensor> by_name_;
};

// ---- everything else

json generators_to_json(const std::vector<GeneratorState>& generators) {
  json all = json::array();
  for (const auto& [name, key, position] : generators) all.push_back({name, key, position});
  return all;
}

std::vector<GeneratorState> generators_from_json(const json& all) {
  std::vector<GeneratorState> generators;
  for (const json& g : all)
    generators.push_back({g.at(0).get<std::string>(),
                          integer_from_json<std::uint64_t>(g.at(1), "key of a random stream"),
                          integer_from_json<std::uint64_t>(g.at(2), "position of a random stream")});
  return generators;
}

std::vector<std::int64_t> steps_from_json(const json& all) {
  std::vector<std::int64_t> steps;
  for (const json& n : all) steps.push_back(integer_from_json<std::int64_t>(n, "optimizer_steps", 0));
  return steps;
}

Checkpoint from_file(TensorFile file) {
  const auto& meta = file.metadata;
  const auto word = [&](const std::string& key) {
    const auto found = meta.find(key);
    check(found != meta.end(), "is no checkpoint: '", key, "' is missing");
    return found->second;
  };
  check(word("format") == kFormat, "is no checkpoint, but ", in_quotes(word("format")));
  check(word("version") == std::to_string(kVersion), "given version ", shortened(word("version")),
        ", this program knows version ", kVersion);
  Checkpoint c;
  c.config = word("config");
  check(word("config_sha256") == config_digest(c.config), "the checksum of the configuration does not match");
  c.commit = word("git_commit");
  const json state = parse_json(word("state"), "the state");
  c.step = integer_from_json<std::int64_t>(state.at("step"), "step", 0);
  c.best = integer_from_json<std::int64_t>(state.at("best"), "best", -1);
  c.loss_sum = double_from_json(state.at("loss_sum"));
  c.window_sum = double_from_json(state.at("window_sum"));
  c.loss_curve = rows_from_json(state.at("loss_curve"));
  c.notes = rows_from_json(state.at("notes"));
  c.seconds = double_from_json(state.at("seconds"));
  c.rows = rows_from_json(state.at("rows"));
  c.earlier = rows_from_json(state.at("earlier"));
  check(c.best < static_cast<std::int64_t>(c.rows.size()), "best: given ", c.best, ", expected one of ",
        c.rows.size(), " epochs");
  c.log = state.at("log").get<std::string>();
  c.generators = generators_from_json(state.at("generators"));
  c.optimizer.lr = double_from_json(state.at("lr"));
  c.optimizer.steps = steps_from_json(state.at("optimizer_steps"));
  Tensors tensors(std::move(file.tensors));
  const json& parts = state.at("tensors");
  c.network = tensors.take("network", parts.at("network"));
  c.average = tensors.take("average", parts.at("average"));
  c.partner = tensors.take("partner", parts.at("partner"));
  c.best_network = tensors.take("best", parts.at("best"));
  c.optimizer.tensors = tensors.take("optimizer", parts.at("optimizer"));
  tensors.check_empty();
  return c;
}

}  // namespace

std::string config_digest(const std::string& config) { return sha256({std::as_bytes(std::span(config))}); }

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& c) {
  TensorFile file;
  const json parts{{"network", put(file, "network", c.network)},
                   {"average", put(file, "average", c.average)},
                   {"partner", put(file, "partner", c.partner)},
                   {"best", put(file, "best", c.best_network)},
                   {"optimizer", put(file, "optimizer", c.optimizer.tensors)}};
  const json state{{"step", c.step},
                   {"best", c.best},
                   {"loss_sum", to_json(c.loss_sum)},
                   {"window_sum", to_json(c.window_sum)},
                   {"loss_curve", to_json(c.loss_curve)},
                   {"notes", to_json(c.notes)},
                   {"seconds", to_json(c.seconds)},
                   {"rows", to_json(c.rows)},
                   {"earlier", to_json(c.earlier)},
                   {"log", c.log},
                   {"generators", generators_to_json(c.generators)},
                   {"lr", to_json(c.optimizer.lr)},
                   {"optimizer_steps", c.optimizer.steps},
                   {"tensors", parts}};
  file.metadata = {{"format", kFormat},      {"version", std::to_string(kVersion)},
                   {"config", c.config},     {"config_sha256", config_digest(c.config)},
                   {"git_commit", c.commit}, {"state", state.dump()}};
  write_tensor_file(path, file);
}

Checkpoint read_checkpoint(const std::filesystem::path& path) {
  TensorFile file = read_tensor_file(path);
  try {
    return from_file(std::move(file));
  } catch (const std::exception& e) {
    throw Error(cat("checkpoint ", path.string(), ": ", e.what()));
  }
}

}  // namespace coarsegrad::experiments
