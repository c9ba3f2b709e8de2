#include "quant/math/weight_sweep.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad {
namespace {

// A and B of a set of events.
struct Sums {
  double a = 0, b = 0;
  double gain() const { return b > 0 ? a * a / b : 0; }
  void operator+=(const Sums& s) {
    a += s.a;
    b += s.b;
  }
};

struct Event {
  double place, magnitude;
  int squares;  // 2 j - 1
};

// A Scratch that knows its length, or a piece of the heap where that is small: channels are swept by all
// threads at once, and those wait for each other at the pool, not at the heap.
template <class T>
class Array {
 public:
  explicit Array(std::int64_t n)
      : size_(n),
        small_(n * sizeof(T) <= kSmall ? std::make_unique_for_overwrite<T[]>(static_cast<std::size_t>(n)) : nullptr),
        large_(small_ ? 0 : static_cast<std::size_t>(n)) {}
  Array(std::int64_t n, const T& fill) : Array(n) { std::fill_n(data(), n, fill); }
  std::int64_t size() const { return size_; }
  T* data() const { return small_ ? small_.get() : large_.data(); }
  T& operator[](std::int64_t i) const { return data()[i]; }
  std::span<T> view() const { return {data(), static_cast<std::size_t>(size_)}; }
  void keep_first(std::int64_t n) { size_ = n; }

 private:
  static constexpr std::size_t kSmall = 1 << 15;  // bytes

  std::int64_t size_;
  std::unique_ptr<T[]> small_;
  Scratch<T> large_;
};

// Places low, low + step, low + 2 step, ... and behind[m], the sums over the events at or above place m.
struct Places {
  double low, step;
  Array<Sums> behind;
  double at(std::int64_t m) const { return low + step * static_cast<double>(m); }
};

// Gaps between places: [first, last).
struct Run {
  std::int64_t first, last;
};

// An upper bound of A^2 / B between two sets, the second of which has the events between `low` and `high` in
// addition: its value at both ends, and where the steepest way out of the first meets the flattest way into the second.
double bound(const Sums& from, const Sums& to, double low, double high) {
  double most = std::max(from.gain(), to.gain());
  const double steep = high / 2, flat = low / 2;
  if (steep > flat && to.b > from.b) {
    const double b = std::clamp((to.a - flat * to.b - from.a + steep * from.b) / (steep - flat), from.b, to.b);
    most = std::max(most, Sums{from.a + steep * (b - from.b), b}.gain());
  }
  return most;
}

// The intervals from the first to the last that may hold the maximum. The two beside the best place are
// among them: the event that ends the best set at a place lies just above.
Run promising(const Places& places) {
  const Array<Sums>& sums = places.behind;
  const std::int64_t top = sums.size() - 1;
  std::int64_t best = top;
  double enough = sums[top].gain();
  for (std::int64_t m = top - 1; m >= 0; --m)
    if (const double gain = sums[m].gain(); gain > enough) {
      best = m;
      enough = gain;
    }
  constexpr double kRounding = 1e-9;  // events may lie on the other side of their interval's ends by so much
  Run run{std::max<std::int64_t>(best - 1, 0), std::min(best + 1, top)};
  for (std::int64_t m = 0; m < top; ++m) {
    const Sums &from = sums[m + 1], &to = sums[m];
    if ((m >= run.first && m < run.last) || to.a * to.a <= enough * from.b) continue;
    const double low = places.at(m) * (1 - kRounding), high = places.at(m + 1) * (1 + kRounding);
    if (bound(from, to, low, high) > enough) run = {std::min(run.first, m), std::max(run.last, m + 1)};
  }
  return run;
}

// Level 0: a histogram of |w| whose cells are an odd number of half grid steps wide in each |w| / (j - 1/2),
// so that one pass over w gives the sums at all places 2 m width.
template <class T>
class Histogram {
 public:
  Histogram(std::span<const T> w, T max, int levels)
      : w_(w),
        levels_(levels),
        cells_(cells_for(static_cast<double>(w.size()), levels)),
        per_width_(static_cast<double>(cells_) / static_cast<double>(max)),
        parts_(std::clamp<std::int64_t>(static_cast<std::int64_t>(w.size()) / kTaskElements, 1, 8)),
        sums_(parts_ * cells_) {
    parallel_for(parts_, [&](std::int64_t p) {
      Sums* cell = part(p);
      std::fill_n(cell, cells_, Sums{});
      for (const T x : piece(p)) {
        const double a = std::abs(static_cast<double>(x));
        cell[cell_of(a)] += {a, 1};
      }
    });
  }

  Places places() const {
    const Array<Sums> above(cells_ + 1, Sums{});
    for (std::int64_t c = cells_ - 1; c >= 0; --c) {
      above[c] = above[c + 1];
      for (std::int64_t p = 0; p < parts_; ++p) above[c] += part(p)[c];
    }
    Places places{0, 2 / per_width_, Array<Sums>(cells_ + 1, Sums{})};
    for (std::int64_t m = 0; m < cells_; ++m)
      for (std::int64_t odd = 1; odd < 2 * levels_ && odd * m < cells_; odd += 2)
        places.behind[m] += {above[odd * m].a, static_cast<double>(odd) * above[odd * m].b};
    return places;
  }

  /// All events within the run, and no others.
  Array<Event> events(Run run) const {
    const Array<char> wanted(cells_, 0);
    const Array<std::int64_t> begin(parts_ + 1, 0);
    for (std::int64_t odd = 1; odd < 2 * levels_; odd += 2)
      for (std::int64_t c = odd * run.first; c < std::min(odd * run.last, cells_); ++c) {
        wanted[c] = 1;
        for (std::int64_t p = 0; p < parts_; ++p) begin[p + 1] += static_cast<std::int64_t>(part(p)[c].b);
      }
    for (std::int64_t p = 0; p < parts_; ++p) begin[p + 1] += begin[p];
    // Room in a few sizes only, so that the pool has it from one step to the next.
    Array<Event> events(static_cast<std::int64_t>(
        std::bit_ceil(static_cast<std::uint64_t>(std::max<std::int64_t>(begin[parts_], 1024)))));
    events.keep_first(begin[parts_]);
    parallel_for(parts_, [&](std::int64_t p) {
      std::int64_t next = begin[p];
      for (const T x : piece(p)) {
        const double a = std::abs(static_cast<double>(x));
        const std::int64_t c = cell_of(a);
        if (!wanted[c]) continue;
        // Odd numbers with odd * first <= c < odd * last.
        const std::int64_t most = run.first > 0 ? std::min(c / run.first, 2 * levels_ - 1) : 2 * levels_ - 1;
        for (std::int64_t odd = (c / run.last + 1) | 1; odd <= most; odd += 2)
          events[next++] = {event_place(a, static_cast<int>(odd / 2) + 1), a, static_cast<int>(odd)};
      }
    });
    return events;
  }

 private:
  // So many that going through them takes about as long as sorting the events of a few.
  static std::int64_t cells_for(double n, int levels) {
    return std::clamp(static_cast<std::int64_t>(1.5 * std::sqrt(n) * (levels + 1)), std::int64_t{1},
                      std::int64_t{2048} * levels);
  }
  std::int64_t cell_of(double a) const { return std::min(static_cast<std::int64_t>(a * per_width_), cells_ - 1); }
  std::span<const T> piece(std::int64_t p) const {
    const TaskRange r = part_of(static_cast<std::int64_t>(w_.size()), parts_, p);
    return w_.subspan(static_cast<std::size_t>(r.begin), static_cast<std::size_t>(r.end - r.begin));
  }
  Sums* part(std::int64_t p) const { return sums_.data() + p * cells_; }

  std::span<const T> w_;
  std::int64_t levels_, cells_;
  double per_width_;
  std::int64_t parts_;
  Array<Sums> sums_;
};

// Drops events that cannot end the best set, until few are left or no more can be told apart; adds those
// above them to `behind`.
void narrow(Array<Event>& events, Sums& behind) {
  constexpr std::int64_t kCells = 256;
  while (events.size() > kCells) {
    const auto [last, first] = std::ranges::minmax(events.view(), {}, &Event::place);
    const double low = last.place, step = (first.place - low) / kCells;
    if (!(step > 1e-12 * low)) return;
    const double per_step = 1 / step;
    const auto cell_of = [&](const Event& e) {
      return std::min(static_cast<std::int64_t>((e.place - low) * per_step), kCells - 1);
    };
    const Places places{low, step, Array<Sums>(kCells + 1, Sums{})};
    for (const Event& e : events.view()) places.behind[cell_of(e)] += {e.magnitude, static_cast<double>(e.squares)};
    places.behind[kCells] = behind;
    for (std::int64_t m = kCells; m > 0; --m) places.behind[m - 1] += places.behind[m];
    const Run run = promising(places);
    std::int64_t kept = 0;
    for (const Event& e : events.view())
      if (const std::int64_t c = cell_of(e); c >= run.first && c < run.last) events[kept++] = e;
    const bool stuck = 2 * kept > events.size();
    events.keep_first(kept);
    behind = places.behind[run.last];
    if (stuck) return;
  }
}

}  // namespace

template <class T>
double best_event(std::span<const T> w, T max, int levels) {
  check(static_cast<double>(max) >= kLeastMagnitude && static_cast<double>(max) <= kMostMagnitude,
        "weight sweep: given a largest magnitude of ", max, ", expected one whose square is a normal number");
  const Histogram<T> histogram(w, max, levels);
  const Places places = histogram.places();
  const Run run = promising(places);
  Array<Event> kept = histogram.events(run);
  Sums sums = places.behind[run.last];
  narrow(kept, sums);
  const std::span<Event> events = kept.view();
  std::ranges::sort(events, [](const Event& x, const Event& y) {
    return x.place != y.place ? x.place > y.place : x.magnitude > y.magnitude;
  });
  double best = 0, gain = -1;
  for (std::size_t i = 0; i < events.size(); ++i) {
    sums += {events[i].magnitude, static_cast<double>(events[i].squares)};
    if (i + 1 < events.size() && events[i + 1].place == events[i].place) continue;  // all of a place or none
    if (sums.gain() > gain) {
      gain = sums.gain();
      best = events[i].place;
    }
  }
  return best;
}

template double best_event(std::span<const float>, float, int);
template double best_event(std::span<const double>, double, int);

}  // namespace coarsegrad
