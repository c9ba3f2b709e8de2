#pragma once
// Integrals over an interval, of functions that are smooth but for a few kinks and jumps.
#include <functional>
#include <span>

namespace coarsegrad::theory {

/// The integral of f from ends.front() to ends.back() (ascending, at least two): Lobatto's rule of 16 points, the ends
/// among them, between each two ends. A panel is halved until both halves together agree with it to 1e-15 of the
/// integral of |f|, so that a kink or a jump need not be an end; something narrower than the points of a panel are apart
/// does. NaN where f is NaN. Throws Error for fewer than two ends.
double integral(const std::function<double(double)>& f, std::span<const double> ends);

}  // namespace coarsegrad::theory
