#pragma once
// LogPosition: how far a log had come, in the words that a checkpoint keeps.
#include <cstdint>
#include <map>
#include <string>

namespace coarsegrad::experiments {

struct LogPosition {
  std::string created;                        ///< attribute `created` of the log: which run it is
  double wall_seconds = 0;                    ///< since the start, without the time between processes
  std::map<std::string, std::uint64_t> rows;  ///< "/series/train/loss" -> rows, for every series and table

  /// One line of JSON; parse() gives back the same bits.
  std::string text() const;
  /// Throws Error for anything that text() does not write.
  static LogPosition parse(const std::string& text);
};

}  // namespace coarsegrad::experiments
