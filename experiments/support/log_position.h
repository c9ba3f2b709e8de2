#pragma once
// LogPosition: how far a log had come, in the words that a checkpoint keeps.
#include <cstdint>
#include <map>
#include <string>

#include "core/base/check.h"

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

/// As check(), for what a log must hold to go on from a position: the message says what can be done, too.
template <class... Parts>
void check_fits(bool ok, const Parts&... parts) {
  check(ok, parts...,
        "; the log and the checkpoint do not belong together: bring back the log that was written with the "
        "checkpoint, or remove the checkpoint to begin anew (a log that is there is kept as FILE~)");
}

}  // namespace coarsegrad::experiments
