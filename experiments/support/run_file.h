#pragma once
// RunFile: the HDF5 side of a run log. Not thread-safe; see run_log.h.
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "experiments/support/log_position.h"
#include "experiments/support/run_log.h"

namespace coarsegrad::experiments {

/// 8 bytes of a row: an int64 or a double, whatever its column holds.
using Cell = std::uint64_t;

/// A group of equally long columns: a series or a table.
struct GroupLayout {
  /// One column of the group.
  struct Field {
    Column column;         ///< name, unit, description and labels of the dataset
    bool integer = false;  ///< int64 instead of float64
  };
  std::string path;           ///< "/series/train/loss"
  std::string unit,           ///< attribute of a series; empty for a table, whose columns have one each
      description;            ///< attribute of a series; empty for a table, whose columns have one each
  std::vector<Field> fields;  ///< in the order of a row
};

/// An array that a run starts from, written once.
struct InputArray {
  std::string name,                 ///< of the dataset below /inputs
      unit,                         ///< SI symbol or "1"
      description;                  ///< one line
  std::vector<std::int64_t> shape;  ///< extents, outermost first
  std::vector<double> values;       ///< row-major
};

/// Everything that a log is made of, besides its attributes.
struct RunLayout {
  std::vector<GroupLayout> groups;  ///< series and tables; append() numbers them in this order
  std::vector<InputArray> inputs;   ///< datasets below /inputs
};

/// The attributes by which a file tells of the run that wrote it; empty or 0 where it has none.
struct RunState {
  std::string schema,    ///< RunFile::kSchema for a log of this layout
      experiment,        ///< name of the program
      status,            ///< word of a Status
      host,              ///< machine that wrote the file last
      created,           ///< beginning of the run, ISO 8601 UTC
      config;            ///< the full resolved configuration, a JSON object
  std::int64_t pid = 0;  ///< process that wrote the file last, on `host`
  double heartbeat = 0;  ///< time of the last flush in seconds since 1970
};

/// One HDF5 file with the rows of a run, written so that others can read it meanwhile (SWMR).
class RunFile {
 public:
  /// The attribute `schema`, by which readers know the layout.
  static constexpr std::string_view kSchema = "coarsegrad-run/1";

  /// Reads the state of the run in a file; nothing when the file is not HDF5 or cannot be read.
  static std::optional<RunState> peek(const std::string& path);

  /// Makes the file and puts it in its place with readers able to follow. What was there is kept as `path`~.
  /// With a `position`, of every group, the log goes on: it begins with the rows that what is there has up to
  /// the position, and replaces it. Throws Error, also when rows or columns are missing there; then what is
  /// there stays.
  RunFile(const std::string& path, const RunInfo& info, const RunLayout& layout, const LogPosition* position = nullptr);
  /// Closes the file; without close() its status stays `running`.
  ~RunFile();

  /// When the run began, ISO 8601 UTC: the attribute `created`, which a log that goes on keeps.
  const std::string& created() const;

  /// Throws Error unless the disk has room for these numbers of rows for the groups, and for closing the file.
  void make_room(std::span<const std::size_t> rows);
  /// Appends whole rows, row-major. Readers see them after flush().
  void append(std::size_t group, std::span<const Cell> rows);
  /// Hands everything to the operating system together with a heartbeat.
  void flush();
  /// Writes outcome and reason and closes the file. Throws Error when it cannot; the file is let go then, too.
  void close(Status status, std::string_view reason);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coarsegrad::experiments
