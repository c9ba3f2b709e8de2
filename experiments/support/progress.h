#pragma once
// ProgressBar: how far long work has come, on stderr.
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace coarsegrad::experiments {

/// A bar with rate and time left on a terminal, now and then a plain line elsewhere: the first one after 10 s, later
/// ones 10 s apart or more, with gaps that grow to a tenth of the time passed. Nothing is shown when `quiet`. Not
/// copied: there is one line on the terminal.
class ProgressBar {
 public:
  /// `total` > 0 pieces of work, `begun` of them done before, which do not count for the rate; `label` names the work.
  ProgressBar(std::string label, std::int64_t total, bool quiet = false, std::int64_t begun = 0);
  /// Leaves the last bar on the terminal and ends its line.
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

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
