#pragma once
// The layers that products of codes are timed on, and the line that says how fast they were.
#include <array>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/bit_conv.h"
#include "core/compute/conv.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/ports.h"

namespace coarsegrad::experiments {

/// A layer, and what it is called.
struct CodeProblem {
  std::string name;  ///< as lines begin
  ConvShape shape;   ///< what is computed

  /// Outputs of the layer, over all channels.
  std::int64_t outputs() const { return shape.batch * shape.out_height() * shape.out_width() * shape.out_channels; }
  /// Products that an output sums, those with padding among them.
  std::int64_t depth() const { return shape.kernel_h * shape.kernel_w * shape.in_channels; }
};

/// A 3x3 layer of as many channels on both sides.
inline CodeProblem layer_3x3(std::int64_t batch, std::int64_t size, std::int64_t channels) {
  return {cat("3x3 ", channels, " channels ", size, "x", size, " batch ", batch),
          {.batch = batch,
           .height = size,
           .width = size,
           .in_channels = channels,
           .out_channels = channels,
           .kernel_h = 3,
           .kernel_w = 3,
           .pad_h = 1,
           .pad_w = 1}};
}

/// f(problem) for 3x3 layers of 16 to 512 channels and two products of matrices, on one thread; the table is the best
/// one again in the end.
template <class F>
void for_each_problem(F&& f) {
  const int threads = num_threads();
  set_num_threads(1);
  for (const auto& [channels, size] : {std::pair{16, 32}, {64, 8}, {128, 16}, {256, 8}, {512, 4}})
    for (const std::int64_t batch : {1, 8}) f(layer_3x3(batch, size, channels));
  for (const auto& [m, k, n] : {std::array<std::int64_t, 3>{512, 4608, 64}, {256, 1152, 1024}})
    f(CodeProblem{cat("product ", m, "x", k, "x", n), bit_linear_shape(m, k, n)});
  use_kernels("auto");
  set_num_threads(threads);
}

/// NAME: mac_per_cycle=X gmac_per_second=Y bound=Z
inline void print_rate(const Ports& ports, const std::string& name, double gmac_per_second, double bound) {
  std::printf("%s: mac_per_cycle=%.1f gmac_per_second=%.1f bound=%.1f\n", name.c_str(),
              gmac_per_second * 1e9 / ports.hz, gmac_per_second, bound);
}

}  // namespace coarsegrad::experiments
