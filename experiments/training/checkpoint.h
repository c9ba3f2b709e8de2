#pragma once
// Checkpoint: where a training stands between two steps, in one file: what each of its parts remembers, by the name of
// the part. What a part is made of is its own business. Reading is strict and treats the file as hostile; a file under
// its final name is whole (experiments/support/tensor_file.h).
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/state.h"

namespace coarsegrad::experiments {

/// A part of a training that remembers something.
struct StatefulPart {
  std::string name;  ///< not empty, without '/'
  std::function<State()> state;
  std::function<void(const State& state)> load_state;
};
/// Anything with state() and load_state(); it must outlive the part.
template <class T>
StatefulPart stateful(std::string name, T& object) {
  return {std::move(name), [&object] { return object.state(); },
          [&object](const State& state) { object.load_state(state); }};
}

/// Throws Error, naming it, for a name that is none or there twice.
void check_names(const std::vector<StatefulPart>& parts);

/// By the name of the part.
using States = std::map<std::string, State>;
States states_of(const std::vector<StatefulPart>& parts);
/// Every state to its part, in the order of the parts. Throws Error, naming the part, when one is missing or unknown,
/// and nothing is changed then; and when a part refuses its state: those before it have theirs then.
void load_states(const std::vector<StatefulPart>& parts, const States& states);

struct Checkpoint {
  std::string config = "{}";  ///< everything that the results depend on: a JSON object
  std::string commit;         ///< of the program that wrote it
  States parts;
};

/// What identifies a training in its files: the SHA-256 of a configuration.
std::string config_digest(const std::string& config);

/// Replaces the file as a whole. Throws Error when it cannot be written; what was there stays then.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Comes back bit for bit. Throws Error "checkpoint PATH: ..." for a file that is damaged or no checkpoint; for one of
/// another version of the format the message says how its training can be finished. The file is left as it is.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace coarsegrad::experiments
