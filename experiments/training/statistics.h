#pragma once
// Mean, spread and interval over seeds.
#include <span>
#include <string>

namespace coarsegrad::experiments {

/// Mean and spread of some values, one for each seed.
struct MeanDeviation {
  double mean = 0;        ///< NaN of no values
  double deviation = 0;   ///< sample standard deviation (n - 1); NaN of fewer than two values
  double half_width = 0;  ///< of the 95 % interval of the mean by Student's t; NaN of fewer than two values
};
/// Mean, sample standard deviation and interval of the values: where they are drawn from a normal distribution, whose
/// mean and variance are unknown, mean +- half_width holds its mean in 95 of 100 cases.
MeanDeviation mean_deviation(std::span<const double> values);

/// "91.25 +- 0.31": the mean and the half width of its interval, both times `unit`; the mean alone where there is none.
std::string plus_minus(const MeanDeviation& m, double unit = 1);

/// The number t that a variable with Student's t distribution of `degrees` >= 1 degrees of freedom is below in size
/// with probability 0.95, to ten digits: the root of the finite sums for P(|T| < t) in Abramowitz and Stegun, Handbook
/// of Mathematical Functions, 26.7.3 and 26.7.4. Throws Error for fewer degrees.
double student_t_95(int degrees);

}  // namespace coarsegrad::experiments
