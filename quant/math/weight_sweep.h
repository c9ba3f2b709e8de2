#pragma once
// The exact projection of weights onto {-K delta, ..., K delta}, by a sweep over delta from above: an event
// is the place delta = |w_i| / (j - 1/2) where code i grows to j. With A = sum |w_i| q_i and B = sum q_i^2
// the best scale for these codes leaves |w|^2 - A^2 / B, so the projection is the set of events with the
// largest A^2 / B. Each event adds |w_i| to A and 2 j - 1 to B, at slope delta / 2: A is a concave function
// of B. A^2 / B is convex in (A, B), which bounds it over any run of events by three points; runs that cannot
// hold the maximum are never looked at, and few events are left to be sorted. Source: Yin et al. (2018),
// section 3, for the projection; the bounds are ours.
#include <span>

namespace coarsegrad {

/// The event |w_i| / (j - 1/2).
inline double event_place(double magnitude, int j) { return magnitude / (j - 0.5); }

/// The least magnitude whose squares are normal numbers, whatever is summed. Every float but 0 lies between the two.
inline constexpr double kLeastMagnitude = 1e-140, kMostMagnitude = 1e140;  ///< the greatest magnitude, likewise

/// The last event of the best set: codes are the numbers of events at or above it. `w` finite, max = largest
/// |w|, 1 <= levels <= 127. Throws Error unless max is in [kLeastMagnitude, kMostMagnitude].
template <class T>
double best_event(std::span<const T> w, T max, int levels);

}  // namespace coarsegrad
