#include "experiments/support/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/check.h"
#include "experiments/support/text_table.h"

namespace coarsegrad::experiments {
namespace {

using Seconds = std::chrono::duration<double>;
constexpr Seconds kRedraw{0.1}, kFirstLine{10}, kLongestGap{600};
constexpr int kBarWidth = 24;

bool on_terminal() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) && term && std::string_view(term) != "dumb";
}

std::size_t terminal_width() {
  winsize size{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

/// "0:07", "12:30", "3:05:00".
std::string clock_text(double seconds) {
  const auto s = static_cast<long long>(std::ceil(seconds));
  char text[48];
  if (s >= 3600)
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
  else
    std::snprintf(text, sizeof text, "%lld:%02lld", s / 60, s % 60);
  return text;
}

std::string bar_text(double fraction) {
  const auto full = static_cast<std::size_t>(fraction * kBarWidth);
  return cat("[", std::string(full, '#'), std::string(kBarWidth - full, '-'), "]");
}

}  // namespace

ProgressBar::ProgressBar(std::string label, std::int64_t total, bool quiet, std::int64_t begun)
    : label_(std::move(label)),
      total_(total),
      begun_(begun),
      done_(begun),
      style_(quiet           ? Style::none
             : on_terminal() ? Style::bar
                             : Style::lines),
      start_(Clock::now()),
      next_(start_ + std::chrono::duration_cast<Clock::duration>(style_ == Style::bar ? kRedraw : kFirstLine)) {
  check(total > 0, "ProgressBar: given a total of ", total, ", expected at least 1");
}

ProgressBar::~ProgressBar() {
  if (!drawn_) return;
  show(Clock::now());
  if (style_ == Style::bar) std::fputc('\n', stderr);
}

void ProgressBar::update(std::int64_t done, std::string_view text) {
  if (style_ == Style::none) return;
  done_ = done;
  text_.assign(text);
  const auto now = Clock::now();
  if (now < next_) return;
  show(now);
  const Seconds gap = style_ == Style::bar ? kRedraw : std::clamp(0.1 * Seconds(now - start_), kFirstLine, kLongestGap);
  next_ = now + std::chrono::duration_cast<Clock::duration>(gap);
}

void ProgressBar::show(Clock::time_point now) {
  const double fraction = std::clamp(static_cast<double>(done_) / static_cast<double>(total_), 0.0, 1.0);
  const double passed = Seconds(now - start_).count(),
               rate = passed > 0 ? static_cast<double>(done_ - begun_) / passed : 0;
  std::string line = label_ + " ";
  if (style_ == Style::bar) line += bar_text(fraction) + " ";
  line += cat(static_cast<int>(100 * fraction), "%  ", done_, "/", total_, "  ", number(rate, 3), "/s");
  if (done_ >= total_)
    line += "  " + clock_text(passed) + " in all";
  else if (rate > 0)
    line += "  " + clock_text(static_cast<double>(total_ - done_) / rate) + " left";
  if (!text_.empty()) line += "  " + text_;
  if (style_ == Style::bar) {
    line.resize(std::min(line.size(), terminal_width() - 1));
    line = cat("\r", line, "\x1b[K");
  } else {
    line += '\n';
  }
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

}  // namespace coarsegrad::experiments
