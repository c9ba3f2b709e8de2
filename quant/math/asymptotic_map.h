#pragma once
// Smooth maps that become a quantizer (AQE-style): a sum of tanh steps, one for each threshold t_i of a level
// set, of height Delta_i = q_i - q_(i-1),
//   A_T(x)  = q_0 + sum Delta_i / 2 (1 + tanh(T (x - t_i)))
//   A_T'(x) =       sum Delta_i / 2 T (1 - tanh^2(T (x - t_i))).
// With T Delta = 1.5 it is close to a clipped identity, with T Delta = 6 stairs, and for T to infinity the
// nearest level, except at the thresholds. Training descends along A_T' itself; nothing is passed straight
// through. The integral of A_T' is that of the steps, sum Delta_i, for every T, but that of its square grows,
// sum Delta_i^2 T / 3 where steps do not overlap: so do gradients that pass many layers. From 4 on or so, T
// Delta multiplies their variance in every layer, and a deep network wants an end below 100, or an optimizer
// that does not mind.
//
// A reconstruction: of the paper (Chen, Liu, Zhang, Hou, Yang, "Propagating asymptotic-estimated gradients
// for low bitwidth quantized neural networks", arXiv 2003.04296) only what its abstract demands was to be
// had: a smooth map, true derivatives, the quantizer in the limit, 1 to 3 bits. Map, level sets and schedule
// here meet these demands; they need not be the authors', and results with them are not the paper's.
#include <span>

#include "quant/math/level_set.h"

namespace coarsegrad {

/// T over the training: first / Delta at the start, growing exponentially to last / Delta at the share
/// hard_from of it, Delta being the least step of the level set. From there on the quantizer takes the map's
/// place, unless hard_from is 1.
struct SharpnessSchedule {
  double first = 1.5, last = 100;
  double hard_from = 1;

  /// Throws Error unless 0 < first <= last and 0 < hard_from <= 1.
  void validate() const;
  /// In units of 1 / Delta, at a share of the training from 0 to 1.
  double sharpness(double share) const;
  bool hard(double share) const { return hard_from < 1 && share >= hard_from; }
};

class AsymptoticMap {
 public:
  /// m A_T(x / m): `sharpness` is T, `reach` m, both positive and finite. Throws Error otherwise.
  AsymptoticMap(const LevelSet& levels, double sharpness, double reach = 1);

  double value(double x) const;
  double slope(double x) const;  ///< its derivative
  /// y[i] = value(x[i]), and slope(x[i]), T being float or double; equal lengths, y may be x. With the
  /// kernels' tanh (core/kernels/math.h).
  template <class T>
  void values(std::span<const T> x, std::span<T> y) const;
  template <class T>
  void slopes(std::span<const T> x, std::span<T> y) const;

 private:
  LevelSet levels_;
  double sharpness_, reach_;
};

}  // namespace coarsegrad
