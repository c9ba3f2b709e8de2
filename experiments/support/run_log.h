#pragma once
// RunLog: one run, one HDF5 file, readable while it is being written and after the writer was killed
// (in Python: h5py.File(path, "r", swmr=True)). The layout is described in experiments/README.md, "The log".
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coarsegrad::experiments {

/// How a run ended; `running` until then, and for ever when it was killed.
enum class Status { running, finished, diverged, interrupted, failed };
/// The word for the attribute `status`: "finished".
std::string_view name(Status status);

/// Attributes of the log beside those that it finds out by itself (version, commit, CPU, kernels, BLAS).
struct RunInfo {
  std::string experiment;    ///< name of the program
  std::string command_line;  ///< as a shell takes it
  std::string config;        ///< the full resolved configuration, a JSON object
  std::uint64_t seed = 0;    ///< of every random number of the run
  int threads = 1;           ///< that the run computes with
  std::string real;          ///< "float" or "double": what the run computes in
};

/// One column of a table. With `labels` the values are whole numbers that index them (layers, methods).
struct Column {
  std::string name;                   ///< of the dataset, unique in the table
  std::string unit;                   ///< SI symbol or "1"
  std::string description;            ///< one line, not empty
  std::vector<std::string> labels{};  ///< texts that values 0, 1, ... stand for; empty: the values are numbers
};

class RunLog;

/// Handle to one series: rows (step, wall seconds since start(), value). Cheap to copy; valid while its log lives.
class Series {
 public:
  /// Adds a row. Throws Error before start(), after finish(), and when the log could not be written since the last
  /// call.
  void add(std::int64_t step, double value) const;

 private:
  friend class RunLog;
  Series(RunLog* log, std::size_t group) : log_(log), group_(group) {}
  RunLog* log_;
  std::size_t group_;
};

/// Handle to one table. Cheap to copy; valid while its log lives.
class Table {
 public:
  /// Adds a row: one value for each column, in their order, NaN where there is none. Throws Error as Series::add()
  /// does, and when the number of values is wrong.
  void add(std::initializer_list<double> row) const;
  void add(std::span<const double> row) const;

 private:
  friend class RunLog;
  Table(RunLog* log, std::size_t group) : log_(log), group_(group) {}
  RunLog* log_;
  std::size_t group_;
};

/// The log of one run. Everything is declared first; start() makes the file; rows are then buffered and written by a
/// thread of the log's own at least every kFlushSeconds, also while the caller computes. While a log is started nobody
/// else in the process may call HDF5, which is not thread-safe. Units are SI symbols or "1"; names are made of letters,
/// digits, '_', '-', '.', and '/' between parts. Not copied: handles and the log's thread point to it.
class RunLog {
 public:
  /// Longest time in seconds from a row to its place in the file.
  static constexpr double kFlushSeconds = 4;

  /// A log that is to become the file `path`; nothing is written yet.
  RunLog(std::string path, RunInfo info);
  /// A log that was started and not finished is closed as `failed`.
  ~RunLog();
  RunLog(const RunLog&) = delete;
  RunLog& operator=(const RunLog&) = delete;

  /// Declare a series or a table and give its handle. Throw Error after start(), for a name that is taken or malformed,
  /// and for an empty unit or description.
  Series series(const std::string& name, std::string unit, std::string description);
  Table table(const std::string& name, std::vector<Column> columns);
  /// Declares an array that the run starts from, row-major; it is copied. Throws Error as series() does, and when
  /// `shape` and `values` disagree.
  void input(std::string name, std::vector<std::int64_t> shape, std::span<const double> values, std::string unit,
             std::string description);

  /// Makes this process the one owner of the log and of everything beside it, until the RunLog is gone
  /// (experiments/support/output_lock.h); makes missing folders. start() and resume() do so where nobody has;
  /// run() does before anything looks at what is there. Throws UsageError for a name that cannot be that of a
  /// log, Error when another process is the owner or the place is taken by something else.
  void own(bool take_over = false);
  /// Writes the file under a temporary name and gives it its own once readers can follow it. A log of the
  /// same experiment that was there is kept as FILE~ (one generation). Throws as own() does, and Error when
  /// anything else is there, or when the file cannot be made.
  void start();
  /// Goes on, in place of start(), with the log that is there, from where position() was called: rows added
  /// after that are gone, wall seconds go on from there, `created` stays, and `resumed` and
  /// `earlier_processes` say that and by whom the run was continued. Everything must be declared as it was.
  /// The log is never cut in place: a shorter copy replaces it in one step, on the disk, so that a kill at
  /// any moment leaves one or the other, and both can be resumed from the same position again. (A reader
  /// that has the old file open sees no new rows until it opens the path again.) Throws Error, and leaves the
  /// log alone, when it is missing or damaged, of another experiment, configuration (`threads` excepted) or
  /// run, shorter than the position, laid out in another way, or owned by another process.
  void resume(const std::string& position);
  /// Where the log stands now, as one line of text for a checkpoint; returns when everything up to there is
  /// on the disk (not only safe from kill -9, as after flush()). Write the checkpoint after that: a log then
  /// always holds what the checkpoint counts on. Call it while no other thread adds rows. Throws as flush() does.
  std::string position();
  /// Returns when everything added so far can be read from the file. Throws Error when it could not be written.
  void flush();
  /// Writes what is left and the outcome, and closes the file. `reason` says why a run did not finish. Starts
  /// the log if nobody did. Throws Error when it could not be written; the file is closed then, too.
  void finish(Status status = Status::finished, std::string_view reason = {});

  /// Whether start() or resume() has made the file.
  bool started() const;
  /// Whether finish() has closed the file.
  bool ended() const;
  /// Path of the file, as given.
  const std::string& path() const;

 private:
  friend class Series;
  friend class Table;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace coarsegrad::experiments
