#pragma once
// LogPosition: how far a log had come, as a checkpoint keeps it.
#include <cstdint>
#include <map>
#include <string>

#include "core/base/check.h"

namespace coarsegrad::experiments {

/// A place in a log, from which RunLog::resume() goes on.
struct LogPosition {
  std::string created;                        ///< attribute `created` of the log, which tells runs apart
  double wall_seconds = 0;                    ///< since the start, without the time between processes
  std::map<std::string, std::uint64_t> rows;  ///< rows of every series and table: {"/series/train/loss", 1200}

  /// The position as one line of JSON, of which parse() makes the same bits again.
  std::string text() const;
  /// Reads what text() has written. Throws Error for anything else.
  static LogPosition parse(const std::string& text);
};

/// check() of what a log must hold to go on from a position: the message of the Error says what can be done, too.
template <class... Parts>
void check_fits(bool ok, const Parts&... parts) {
  check(ok, parts...,
        "; the log and the checkpoint do not belong together: bring back the log that was written with the "
        "checkpoint, or remove the checkpoint to begin anew (a log that is there is kept as FILE~)");
}

}  // namespace coarsegrad::experiments
