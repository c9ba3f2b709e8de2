#pragma once
// Progress of long work, on stderr: a bar with rate and time left on a terminal, now and then a plain line elsewhere.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace coarsegrad::experiments {

/// Shows nothing when `quiet`, and no plain line before 10 s have passed; later lines come 10 s apart or
/// more, with gaps that grow to a tenth of the time passed.
class Progress {
 public:
  /// `total` > 0 counts whatever update() counts; `begun` of them were done before, and do not count for the rate.
  Progress(std::string label, std::int64_t total, bool quiet = false, std::int64_t begun = 0);
  /// Leaves the last bar on the terminal and ends its line.
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// `done` of `total` are done; `text` is shown behind the numbers. Cheap enough for every step.
  void update(std::int64_t done, std::string_view text = {});

 private:
  using Clock = std::chrono::steady_clock;
  void show(Clock::time_point now);

  std::string label_, text_;
  std::int64_t total_, begun_, done_;
  enum class Style { none, lines, bar } style_;
  Clock::time_point start_, next_;
  bool drawn_ = false;
};

}  // namespace coarsegrad::experiments
