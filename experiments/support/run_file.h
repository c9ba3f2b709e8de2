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
  struct Field {
    Column column;
    bool integer = false;  // int64 instead of float64
  };
  std::string path;               // "/series/train/loss"
  std::string unit, description;  // of a series; a table has them on its columns
  std::vector<Field> fields;
};

struct InputArray {
  std::string name, unit, description;
  std::vector<std::int64_t> shape;
  std::vector<double> values;
};

struct RunLayout {
  std::vector<GroupLayout> groups;
  std::vector<InputArray> inputs;
};

/// What a file that is there says about the run that wrote it; empty where it says nothing.
struct RunState {
  std::string schema, experiment, status, host, created, config;
  std::int64_t pid = 0;
  double heartbeat = 0;  // seconds since 1970
};

class RunFile {
 public:
  static constexpr std::string_view kSchema = "coarsegrad-run/1";

  /// Nothing when the file is not HDF5 or cannot be read.
  static std::optional<RunState> peek(const std::string& path);

  /// Makes the file and puts it in its place with readers able to follow. What was there is kept as `path`~.
  /// With a `position`, of every group, the log goes on: it begins with the rows that what is there has up to
  /// the position, and replaces it. Throws Error, also when rows or columns are missing there; then what is
  /// there stays.
  RunFile(const std::string& path, const RunInfo& info, const RunLayout& layout, const LogPosition* position = nullptr);
  /// Closes the file; without close() its status stays `running`.
  ~RunFile();

  /// The file's attribute of that name.
  const std::string& created() const;

  /// Throws Error unless the disk has room for these numbers of rows for the groups, and for closing the file.
  void make_room(std::span<const std::size_t> rows);
  /// Appends whole rows, row-major. Readers see them after flush().
  void append(std::size_t group, std::span<const Cell> rows);
  /// Hands everything to the operating system together with a heartbeat.
  void flush();
  void close(Status status, std::string_view reason);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coarsegrad::experiments
