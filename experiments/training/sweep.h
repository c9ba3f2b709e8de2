#pragma once
// Sweep: the cells of a table of runs (method, bits, seed, ...), each kept in a file of its own once it is
// finished, so that a sweep which was broken off goes on at the first unfinished cell.
#include <filesystem>
#include <functional>
#include <string>

#include "experiments/training/json_values.h"

namespace coarsegrad::experiments {

/// The result of a cell: rows of numbers, whose meaning its main knows.
using CellRows = Rows;

/// The finished cells of a sweep, each in a file of a folder. The lock of the run's log covers its cells: RunLog::own()
/// comes first.
class Sweep {
 public:
  /// `folder` holds the cells; `settings` is everything that a cell's result depends on besides its name (a
  /// JSON text). Throws UsageError when the folder holds cells that were made with other settings.
  Sweep(std::filesystem::path folder, const std::string& settings);

  /// Where the training of a cell that is not finished keeps its checkpoint; cell() removes it at the end.
  std::filesystem::path checkpoint(const std::string& name) const;
  /// Where a cell keeps a network for those that start from it.
  std::filesystem::path network(const std::string& name) const;
  /// The stored rows of cell `name`, or those that `compute` returns, stored. NaN and infinity survive.
  /// Throws Error when a stored cell is damaged or cannot be written.
  CellRows cell(const std::string& name, const std::function<CellRows()>& compute) const;
  /// Whether cell() has stored the rows of cell `name`.
  bool finished(const std::string& name) const;
  /// The folder of the cells.
  const std::filesystem::path& folder() const { return folder_; }

 private:
  CellRows stored(const std::string& name) const;
  std::filesystem::path path_of(const std::string& name) const;
  std::filesystem::path folder_;
};

}  // namespace coarsegrad::experiments
