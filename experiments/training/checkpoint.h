#pragma once
// Checkpoint: where a training stands between two steps, in one file. Reading is strict and treats the file as hostile;
// a file under its final name is whole (experiments/support/tensor_file.h).
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/state.h"
#include "experiments/support/tensor_file.h"

namespace coarsegrad::experiments {

/// A part of a training that remembers something.
struct StatefulPart {
  std::string name;                                    ///< not empty, without '/'
  std::function<State()> state;                        ///< what it remembers now
  std::function<void(const State& state)> load_state;  ///< takes that back; throws Error for a state of another part
};
/// Makes a part of any object with state() and load_state(), which must outlive the part.
template <class T>
StatefulPart stateful(std::string name, T& object) {
  return {std::move(name), [&object] { return object.state(); },
          [&object](const State& state) { object.load_state(state); }};
}

/// Throws Error, naming it, for a name that is empty, contains '/' or is there twice.
void check_names(const std::vector<StatefulPart>& parts);

/// What each part of a training remembers, by the name of the part.
using States = std::map<std::string, State>;
/// Asks every part what it remembers.
States states_of(const std::vector<StatefulPart>& parts);
/// Gives every part its state, in the order of the parts. Throws Error, naming the part, when a state is missing or
/// unknown, and nothing is changed then; and when a part refuses its state: the parts before it have theirs then.
void load_states(const std::vector<StatefulPart>& parts, const States& states);

/// What a checkpoint's file holds.
struct Checkpoint {
  std::string config = "{}";  ///< everything that the results depend on: a JSON object
  std::string commit;         ///< of the program that wrote it
  States parts;               ///< of all parts of the training
  /// What else the file says, in texts by key: that of a network's file (network_file.h), where one can be made of it.
  std::map<std::string, std::string> about = {};
};

/// The SHA-256 of a configuration, 64 hex digits, which identifies a training in its files.
std::string config_digest(const std::string& config);

/// Whether a tensor file says that it is a checkpoint, of whatever version.
bool is_checkpoint(const TensorFile& file);

/// Writes the file in place of what was there. Throws Error when it cannot be written; what was there stays then.
void write_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint);

/// Reads what write_checkpoint() has written, bit for bit. Throws Error "checkpoint PATH: ..." for a file that is
/// damaged or no checkpoint; for one of another version of the format the message says how its training can be
/// finished. The file is left as it is.
Checkpoint read_checkpoint(const std::filesystem::path& path);

}  // namespace coarsegrad::experiments
