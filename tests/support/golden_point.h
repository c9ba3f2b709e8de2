#pragma once
// The point of the two-layer model at which the acceptance list of the STE paper pins numbers, and the teacher with a
// spurious minimum of loss 0.289.
#include "quant/theory/teacher.h"
#include "quant/theory/two_layer.h"

namespace coarsegrad::test {

inline const theory::TwoLayer& golden_model() {
  static const theory::TwoLayer model({1, .25, -.5}, {.5, .5, .5, .5});
  return model;
}
inline const theory::Point kGoldenPoint{{.5, -1, 2}, {.3, -.4, 1.2, 0}};

// n = 6; w* is the first axis, the second one is orthogonal to it.
inline const theory::TwoLayer& reference_model() {
  static const theory::TwoLayer model(theory::reference_second_layer(4), {1, 0, 0, 0, 0, 0});
  return model;
}
inline theory::Vector reference_filter(double theta, double norm_w) {
  return theory::filter_at(reference_model().w_star(), {0, 1, 0, 0, 0, 0}, theta, norm_w);
}

}  // namespace coarsegrad::test
