#pragma once
// The two helper functions of the clipped ReLU estimator. Source: Yin, Lyu, Zhang, Osher, Qi, Xin,
// "Understanding straight-through estimator in training activation quantized neural nets" (ICLR 2019), which
// defines them as
//   p(theta, w) = (1/2pi) int cos(phi) xi(sec(phi)/|w|) dphi,   q the same with sin(phi),
//   phi from theta - pi/2 to pi/2,   xi(x) = int_0^x r^2 exp(-r^2/2) dr.
// Here they are evaluated by elementary forms that lose no digits anywhere on [0, pi]. With z ~ N(0, I),
//   E[z 1{0 < z'w < 1} 1{z'w* > 0}] = p w/|w| + q e,   e the unit vector orthogonal to w that points towards
//   w*.

namespace coarsegrad::theory {

/// p at angle theta (radians) and |w| = norm_w > 0. From p_at_zero(norm_w) at 0 it falls to 0 at pi.
double clipped_p(double theta, double norm_w);
/// q at angle theta: 0 at 0 and pi, positive between.
double clipped_q(double theta, double norm_w);
/// q / sin(theta) = erf(1 / (sqrt(2) norm_w sin(theta))) / (2 sqrt(2 pi)), smooth up to theta = 0 and pi.
double clipped_q_over_sin(double theta, double norm_w);
/// p(0, w) = (1 - exp(-1 / (2 norm_w^2))) / sqrt(2 pi).
double clipped_p_at_zero(double norm_w);

}  // namespace coarsegrad::theory
