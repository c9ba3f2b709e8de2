#pragma once
// Args: the knobs of one experiment, set by flags (--name VALUE) or by a JSON file (--config FILE.json); flags win.
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/part_registry.h"

namespace coarsegrad::experiments {

/// The values that a knob may take, every finite T where nothing else is said.
template <class T>
struct Range {
  T min = std::numeric_limits<T>::lowest();  ///< smallest value allowed
  T max = std::numeric_limits<T>::max();     ///< largest value allowed
};

/// Values that a text knob may take. Empty: any text.
using Choices = std::vector<std::string>;

/// Values of several knobs under one name: {"pact", {{"activations", "pact"}}}.
struct Preset {
  std::string name;  ///< value of the knob that chooses the preset
  /// Names of other knobs without dashes, and their values as on the command line.
  std::vector<std::pair<std::string, std::string>> values;
};

struct Knob;  // experiments/support/knob.h

/// The knobs of one experiment. Each add() ties a flag to a variable, which holds the default until parse() and the
/// resolved value after it; the variable must outlive the Args. Lists are written --bits 2,4 on the command line and
/// [2, 4] in the file, switches --rescale or --no-rescale, and true or false in the file. Integers may be written 1e6.
/// A text under the key "comment" in the file is for its readers. Every Args also has --help, --config, --seed,
/// --threads, --out, --quiet and --take-over.
class Args {
 public:
  /// `experiment` names the executable and the log; `summary` is the first line of the help.
  Args(std::string experiment, std::string summary);
  ~Args();

  /// Ties the flag --`name` to a variable; `help` is one line for --help. Throws Error when `name` is taken, is not
  /// made of lower-case letters, digits and dashes, or when the default itself is out of range: all three are mistakes
  /// of the program, not of its user.
  void add(const std::string& name, int& value, std::string help, Range<int> range = {});
  void add(const std::string& name, std::int64_t& value, std::string help, Range<std::int64_t> range = {});
  void add(const std::string& name, std::uint64_t& value, std::string help, Range<std::uint64_t> range = {});
  void add(const std::string& name, double& value, std::string help, Range<double> range = {});
  void add(const std::string& name, bool& value, std::string help);
  void add(const std::string& name, std::string& value, std::string help, Choices choices = {});
  /// Ties a flag to a list of 1 to 1000 entries, no two the same; the range or the choices hold for each of them. A
  /// list that is empty by default may be set empty: `--name ''`, or []. Throws as the other add() functions.
  void add(const std::string& name, std::vector<int>& value, std::string help, Range<int> range = {});
  void add(const std::string& name, std::vector<double>& value, std::string help, Range<double> range = {});
  void add(const std::string& name, std::vector<std::string>& value, std::string help, Choices choices = {});
  /// Ties a flag to a part chosen by its name, --name blend, with its options, --name.rho 1e-4; in a file {"name":
  /// "blend", "rho": 1e-4} or "blend". A part that is chosen has its default options, unless `value` was that part
  /// before. `parts` must outlive the Args. Throws as the other add() functions.
  void add(const std::string& name, Part& value, std::string help, const PartCatalogue& parts);
  /// The list `name` may be empty from now on, whatever its default is.
  void allow_empty(const std::string& name);
  /// Entries of the list `name` may be equal from now on, for lists whose entries belong together one by one.
  void allow_repeats(const std::string& name);
  /// Adds a knob that sets others, where neither the file nor a flag sets them; its own default sets none. Throws Error
  /// unless those knobs are there already and take the values, and for a second knob of this kind.
  void add_presets(const std::string& name, std::string& value, std::string help, std::vector<Preset> presets);

  /// Lets the value of the knob `name` be given without the flag: `evaluate FILE` for `evaluate --network FILE`.
  void add_positional(const std::string& name);
  /// Adds words to the message that refuses a value of the knob `name`.
  void add_hint(const std::string& name, std::string hint);
  /// Declares that the knobs `names` have no effect unless `met()`, which depends on the knob `other`; `words` say so:
  /// "without --weights". Given all the same, by a flag, or by a file where `other` is given nowhere, they are refused:
  /// whoever sets a relaxation and no quantizer of weights means something else than a float training.
  void add_need(std::vector<std::string> names, std::string other, std::string words, std::function<bool()> met);

  /// Reads the command line and the file it may name; false when --help was among the flags, and nothing is set then.
  /// Throws UsageError, one line, for anything unknown, repeated, malformed, of the wrong type, out of range
  /// or without effect.
  bool parse(int argc, const char* const* argv);

  /// Sets the knobs that a JSON object, such as config(), names. Throws UsageError, which begins with
  /// `where`, for anything unknown, of the wrong type or out of range.
  void read(const std::string& json, const std::string& where);

  /// The text of --help: every knob with its default and its range or choices.
  std::string help() const;
  /// All knobs with their resolved values, `seed` and `threads` included, as a JSON object that --config accepts.
  std::string config() const;
  /// The command line as given to parse(), quoted where a shell needs it.
  const std::string& command_line() const { return command_line_; }

  /// Name of the executable, which is also the log's attribute `experiment`.
  const std::string& experiment() const { return experiment_; }
  /// Seed of every random number of the run: --seed, 1 by default.
  std::uint64_t seed() const { return seed_; }
  /// Number of threads, 1 to 1024: --threads, num_threads() by default.
  int threads() const { return threads_; }
  /// Path of the log: --out, results/EXPERIMENT.h5 by default.
  const std::string& out() const { return out_; }
  /// Whether progress bars are left out: --quiet.
  bool quiet() const { return quiet_; }
  /// Whether the lock file of a dead process may be passed by (output_lock.h): --take-over.
  bool take_over() const { return take_over_; }

 private:
  struct Need {
    std::vector<std::string> names;
    std::string other, words;
    std::function<bool()> met;
  };

  template <class T, class Limits>
  void add_knob(const std::string& name, T& value, std::string help, Limits limits);
  void check_new(const std::string& name) const;
  /// The knob that an entry of a file names. Options of a part are in the part's entry and have none of their own.
  Knob& recorded_knob(const std::string& name, const std::string& where) const;
  Knob& knob(const std::string& name, const std::string& where) const;
  void apply_preset(const std::string& chosen);
  void refuse_without_effect(const std::string& file) const;
  std::string refusal_of(const std::string& word) const;

  std::string experiment_, summary_, command_line_;
  std::uint64_t seed_ = 1;
  int threads_;
  std::string out_;
  bool quiet_ = false, take_over_ = false;
  std::vector<std::unique_ptr<Knob>> knobs_;
  std::size_t standard_knobs_ = 0;  // the first ones, which every experiment has
  std::string preset_knob_, positional_;
  std::vector<Need> needs_;
  std::vector<Preset> presets_;
};

}  // namespace coarsegrad::experiments
