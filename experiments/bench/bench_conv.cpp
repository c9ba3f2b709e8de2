// How fast are the convolutions (and dense layers) of a network: forward, in float and on integer codes,
// backward data and backward weights?
//   bench_conv --net resnet20 --batch 128 --threads 2
// Random tensors, each product alone, in the networks' order of distinct layers.
#include <array>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/conv.h"
#include "core/compute/conv_codes.h"
#include "core/compute/gemm.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/kernel_flag.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;

namespace {

/// `times` layers of the network have this shape. A dense layer is a 1x1 convolution of a 1x1 image.
struct Layer {
  int in, out, size, kernel, stride, pad, times;
};

std::vector<Layer> layers_of(const std::string& net) {
  if (net == "lenet5")
    return {{1, 32, 28, 5, 1, 0, 1}, {32, 64, 12, 5, 1, 0, 1}, {1024, 512, 1, 1, 1, 0, 1}, {512, 10, 1, 1, 1, 0, 1}};
  if (net == "resnet20")
    return {{3, 16, 32, 3, 1, 1, 1},  {16, 16, 32, 3, 1, 1, 6}, {16, 32, 32, 3, 2, 1, 1}, {32, 32, 16, 3, 1, 1, 5},
            {32, 64, 16, 3, 2, 1, 1}, {64, 64, 8, 3, 1, 1, 5},  {16, 32, 32, 1, 2, 0, 1}, {32, 64, 16, 1, 2, 0, 1}};
  return {{3, 64, 32, 3, 1, 1, 1},   {64, 128, 16, 3, 1, 1, 1}, {128, 256, 8, 3, 1, 1, 1}, {256, 256, 8, 3, 1, 1, 1},
          {256, 512, 4, 3, 1, 1, 1}, {512, 512, 4, 3, 1, 1, 1}, {512, 512, 2, 3, 1, 1, 2}};
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Median of `repeats` runs after one that is not counted.
double median_seconds(int repeats, const std::function<void()>& work) {
  work();
  std::vector<double> times;
  for (int i = 0; i < repeats; ++i) times.push_back(seconds(work));
  return experiments::timing_of(std::move(times)).median;
}

// GFLOP/s of fused multiply-adds that wait for nothing, on all threads: what no kernel can exceed.
double peak_gflops(int threads, bool wide) {
  constexpr std::int64_t kRounds = 20'000'000;
  const auto chains = [&](std::int64_t) {
    std::int64_t n = kRounds;
    if (wide)
      asm volatile(
          "1:\n"
          ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n vfmadd231ps %%zmm12,%%zmm13,%%zmm\\r\n .endr\n"
          "dec %0\n jnz 1b\n vzeroupper"
          : "+r"(n)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
            "xmm12", "xmm13", "cc");
    else
      asm volatile(
          "1:\n"
          ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n vfmadd231ps %%ymm12,%%ymm13,%%ymm\\r\n .endr\n"
          "dec %0\n jnz 1b\n vzeroupper"
          : "+r"(n)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
            "xmm12", "xmm13", "cc");
  };
  const double time = median_seconds(3, [&] { parallel_for(threads, chains); });
  return static_cast<double>(threads * kRounds) * 12 * (wide ? 32 : 16) / time * 1e-9;
}

/// Seconds or speeds of the four products of a layer.
using Products = std::array<double, 4>;
constexpr const char* kProducts[] = {"forward", "backward data", "backward weight", "forward on codes"};

// The forward pass on 4-bit activations and ternary weights; the values do not matter for the speed.
double measure_codes(const ConvShape& s, int repeats, const Rng& rng) {
  std::vector<std::uint8_t> x(static_cast<std::size_t>(s.batch * s.height * s.width * s.in_channels));
  std::vector<std::int8_t> weight(static_cast<std::size_t>(s.out_channels * s.kernel_h * s.kernel_w * s.in_channels));
  const Scratch<float> y(static_cast<std::size_t>(s.batch * s.out_height() * s.out_width() * s.out_channels));
  Rng stream = rng.split("codes");
  for (auto& code : x) code = static_cast<std::uint8_t>(stream.below(16));
  for (auto& code : weight) code = static_cast<std::int8_t>(static_cast<int>(stream.below(3)) - 1);
  const std::vector<float> scale(static_cast<std::size_t>(s.out_channels), 0.01f);
  return median_seconds(repeats, [&] { conv2d_forward_codes(s, x.data(), weight.data(), scale, nullptr, y.data()); });
}

Products measure(const ConvShape& s, int repeats, const Rng& rng) {
  const auto random = [&](const char* name, std::int64_t n) {
    Scratch<float> values(static_cast<std::size_t>(n));  // aligned as tensors are
    Rng stream = rng.split(name);
    stream.normal(values.data(), static_cast<std::size_t>(n));
    return values;
  };
  const std::int64_t outputs = s.out_height() * s.out_width() * s.out_channels, in = s.in_channels,
                     out = s.out_channels;
  const std::int64_t inputs = s.batch * s.height * s.width * in, filters = out * s.kernel_h * s.kernel_w * in;
  const Scratch<float> x = random("x", inputs), dx = random("dx", inputs);
  const Scratch<float> weight = random("weight", filters), dweight = random("dweight", filters);
  const Scratch<float> dy = random("dy", s.batch * outputs), y = random("y", s.batch * outputs);
  if (s.height * s.width == 1)
    return {median_seconds(repeats,
                           [&] {
                             gemm<float>(s.batch, out, in, {x.data(), in}, {weight.data(), in, true}, y.data(), out);
                           }),
            median_seconds(repeats,
                           [&] {
                             gemm<float>(s.batch, in, out, {dy.data(), out}, {weight.data(), in}, dx.data(), in);
                           }),
            median_seconds(repeats,
                           [&] {
                             gemm<float>(out, in, s.batch, {dy.data(), out, true}, {x.data(), in}, dweight.data(), in);
                           }),
            measure_codes(s, repeats, rng)};
  const float* no_bias = nullptr;
  return {median_seconds(repeats, [&] { conv2d_forward(s, x.data(), weight.data(), no_bias, y.data()); }),
          median_seconds(repeats, [&] { conv2d_backward_data(s, dy.data(), weight.data(), dx.data()); }),
          median_seconds(repeats, [&] { conv2d_backward_weight(s, x.data(), dy.data(), dweight.data()); }),
          measure_codes(s, repeats, rng)};
}

}  // namespace

int main(int argc, char** argv) {
  std::string net = "resnet20", kernels = "auto";
  int batch = 128, repeats = 9;
  experiments::Args args("bench_conv", "Speed of the convolutions and dense layers of a network.");
  args.add("net", net, "the network", {"lenet5", "resnet20", "vgg11"});
  args.add("batch", batch, "images", {1, 65536});
  args.add("repeats", repeats, "timed runs of each product, the median counts", {1, 100000});
  experiments::declare_kernels(args, kernels);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    const auto table = log.table(
        "layers",
        {{"forward", "GFLOP/s", "products of the whole kernel, those with padding included"},
         {"backward_data", "GFLOP/s", "gradient with respect to the input"},
         {"backward_weight", "GFLOP/s", "gradient with respect to the weight"},
         {"forward_codes", "GFLOP/s", "forward pass on codes: integer operations, 4-bit codes and ternary weights"}});
    log.start();
    const double peak = peak_gflops(args.threads(), std::string_view(active_kernels().name).starts_with("avx512"));
    std::printf("kernels=%s threads=%d: peak of fused multiply-adds %.0f GFLOP/s\n", active_kernels().name,
                args.threads(), peak);
    Products total{};
    double flops_of_all = 0;
    for (const Layer& l : layers_of(net)) {
      const ConvShape s{.batch = batch,
                        .height = l.size,
                        .width = l.size,
                        .in_channels = l.in,
                        .out_channels = l.out,
                        .kernel_h = l.kernel,
                        .kernel_w = l.kernel,
                        .stride_h = l.stride,
                        .stride_w = l.stride,
                        .pad_h = l.pad,
                        .pad_w = l.pad};
      const Products t = measure(s, repeats, Rng(args.seed()));
      const double gflop = 2e-9 * static_cast<double>(batch * s.out_height() * s.out_width() * l.out) *
                           static_cast<double>(l.kernel * l.kernel * l.in);
      std::printf("%4d->%3d %2dx%2d k%d s%d x%d:", l.in, l.out, l.size, l.size, l.kernel, l.stride, l.times);
      for (std::size_t i = 0; i < t.size(); ++i) {
        std::printf("  %s %6.1f (%3.0f %%)", kProducts[i], gflop / t[i], 100 * gflop / t[i] / peak);
        total[i] += l.times * t[i];
      }
      std::printf(" GFLOP/s\n");
      table.add({gflop / t[0], gflop / t[1], gflop / t[2], gflop / t[3]});
      flops_of_all += 3 * l.times * gflop;
      experiments::check_stop();
    }
    std::printf("%s batch %d:", net.c_str(), batch);
    for (std::size_t i = 0; i < total.size(); ++i) std::printf(" %s %.2f ms,", kProducts[i], total[i] * 1e3);
    const double training = total[0] + total[1] + total[2];
    std::printf(" together without codes %.2f ms; mean %.1f GFLOP/s, %.0f %% of the peak\n", training * 1e3,
                flops_of_all / training, 100 * flops_of_all / training / peak);
  });
}
