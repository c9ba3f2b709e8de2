#include "experiments/training/checkpoint.h"

#include <algorithm>
#include <set>
#include <span>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/sha256.h"
#include "core/base/short_text.h"
#include "experiments/training/json_values.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "coarsegrad-checkpoint";
/// Version of the format. Version 2 is that of CoarseGrad 0.1, which lists a training's parts by fixed names.
constexpr int kVersion = 3;
constexpr std::string_view kOwnKeys[] = {"format", "version", "config", "config_sha256", "git_commit", "state"};

// ---- a part: its tensors are called "part/name" in the file, everything else stands in its JSON

json put(TensorFile& file, const std::string& part, const State& state) {
  json tensors = json::array(), numbers = json::object();
  for (const auto& [name, value] : state.tensors) {
    tensors.push_back({name, value.defined()});
    if (!value.defined()) continue;
    const auto view = value.view();
    file.tensors.push_back({cat(part, "/", name), value.shape(), {view.begin(), view.end()}});
  }
  for (const auto& [name, list] : state.numbers) {
    json& values = numbers[name] = json::array();
    for (const double v : list) values.push_back(to_json(v));
  }
  return {{"tensors", tensors}, {"counts", state.counts}, {"numbers", numbers}, {"texts", state.texts}};
}

// Takes the tensors of a file out by name; every one of them must be asked for.
class Tensors {
 public:
  explicit Tensors(std::vector<StoredTensor> tensors) {
    for (StoredTensor& t : tensors) by_name_.emplace(t.name, std::move(t));
  }
  Tensor take(const std::string& name) {
    const auto node = by_name_.extract(name);
    check(!node.empty(), "the tensor ", in_quotes(name), " is missing");
    const StoredTensor& t = node.mapped();
    return Tensor(t.shape, std::vector<Real>(t.values.begin(), t.values.end()));
  }
  void check_empty() const {
    check(by_name_.empty(), "the tensor ", in_quotes(by_name_.empty() ? "" : by_name_.begin()->first),
          " belongs to no part");
  }

 private:
  std::map<std::string, StoredTensor> by_name_;
};

/// The entries of an object, or of a list; what is neither is refused.
const json& listed(const json& value, const std::string& what, json::value_t kind) {
  check(value.type() == kind, in_quotes(what), kind == json::value_t::array ? " is no list" : " is no object");
  return value;
}
const json& list(const json& value, const std::string& what) { return listed(value, what, json::value_t::array); }
const json& object(const json& value, const std::string& what) { return listed(value, what, json::value_t::object); }

State state_from_json(const json& j, const std::string& part, Tensors& tensors) {
  check(object(j, part).size() == 4, in_quotes(part), ": given ", j.size(),
        " kinds of entries, expected tensors, counts, numbers and texts");
  State state;
  for (const json& entry : list(j.at("tensors"), "tensors")) {
    const auto name = entry.at(0).get<std::string>();
    state.tensors.emplace_back(name, entry.at(1).get<bool>() ? tensors.take(cat(part, "/", name)) : Tensor());
  }
  for (const auto& [name, values] : object(j.at("counts"), "counts").items()) {
    auto& counts = state.counts[name];
    for (const json& n : list(values, name)) counts.push_back(integer_from_json<std::uint64_t>(n, shortened(name)));
  }
  for (const auto& [name, values] : object(j.at("numbers"), "numbers").items()) {
    auto& numbers = state.numbers[name];
    for (const json& v : list(values, name)) numbers.push_back(double_from_json(v));
  }
  for (const auto& [name, text] : object(j.at("texts"), "texts").items()) state.texts[name] = text.get<std::string>();
  return state;
}

// ---- the file

Checkpoint from_file(TensorFile file) {
  const auto& meta = file.metadata;
  const auto word = [&](const std::string& key) {
    const auto found = meta.find(key);
    check(found != meta.end(), "is no checkpoint: '", key, "' is missing");
    return found->second;
  };
  check(word("format") == kFormat, "is no checkpoint, but ", in_quotes(word("format")));
  check(word("version") == std::to_string(kVersion), "is of version ", shortened(word("version")),
        " of the format and this program reads version ", kVersion,
        ": finish the training with the program that wrote it, of commit ", shortened(word("git_commit")),
        ", or remove the file to begin anew");
  Checkpoint c;
  c.config = word("config");
  check(word("config_sha256") == config_digest(c.config), "the checksum of the configuration does not match");
  c.commit = word("git_commit");
  for (const auto& [key, text] : meta)
    if (std::ranges::find(kOwnKeys, key) == std::end(kOwnKeys)) c.about[key] = text;
  const json parts = parse_json(word("state"), "the state");
  Tensors tensors(std::move(file.tensors));
  for (const auto& [name, part] : object(parts, "state").items())
    c.parts.emplace(name, state_from_json(part, name, tensors));
  tensors.check_empty();
  return c;
}

}  // namespace

void check_names(const std::vector<StatefulPart>& parts) {
  std::set<std::string> names;
  for (const StatefulPart& p : parts) {
    check(!p.name.empty() && p.name.find('/') == std::string::npos, "parts: given the name '", p.name,
          "', expected one without '/'");
    const bool is_new = names.insert(p.name).second;
    check(is_new, "parts: given '", p.name, "' twice");
  }
}

States states_of(const std::vector<StatefulPart>& parts) {
  States all;
  for (const StatefulPart& p : parts) all.emplace(p.name, p.state());
  return all;
}

void load_states(const std::vector<StatefulPart>& parts, const States& states) {
  std::set<std::string> known;
  for (const StatefulPart& p : parts) {
    check(states.contains(p.name), "the part '", p.name, "' is missing");
    known.insert(p.name);
  }
  for (const auto& [name, state] : states)
    check(known.contains(name), "the part ", in_quotes(name), " is unknown to this training");
  for (const StatefulPart& p : parts) try {
      p.load_state(states.at(p.name));
    } catch (const Error& e) {
      throw Error(cat(p.name, ": ", e.what()));
    }
}

std::string config_digest(const std::string& config) { return sha256({std::as_bytes(std::span(config))}); }

bool is_checkpoint(const TensorFile& file) {
  const auto format = file.metadata.find("format");
  return format != file.metadata.end() && format->second == kFormat;
}

void write_checkpoint(const std::filesystem::path& path, const Checkpoint& c) {
  TensorFile file;
  json state = json::object();
  for (const auto& [name, part] : c.parts) state[name] = put(file, name, part);
  file.metadata = {{"format", kFormat},      {"version", std::to_string(kVersion)},
                   {"config", c.config},     {"config_sha256", config_digest(c.config)},
                   {"git_commit", c.commit}, {"state", state.dump()}};
  file.metadata.insert(c.about.begin(), c.about.end());
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
