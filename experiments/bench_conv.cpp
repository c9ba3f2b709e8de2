// How fast are the convolutions (and dense layers) of a network: forward, backward data and backward weights?
//   bench_conv --net resnet20 --batch 128 --threads 2
// Random tensors, each product alone, in the networks' order of distinct layers.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <vector>

#include "core/base/conv.h"
#include "core/base/gemm.h"
#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/kernels/kernels.h"
#include "experiments/support/run.h"

using namespace coarsegrad;

namespace {

/// `times` layers of the network have this shape. A dense layer is a 1x1 convolution of a 1x1 image.
struct Layer {
  int in, out, size, kernel, stride, pad, times;
};

std::vector<Layer> layers_of(const std::string& net) {
  if (net == "lenet5")
    return {{1, 32, 28, 5, 1, 0, 1},
            {32, 64, 12, 5, 1, 0, 1},
            {1024, 512, 1, 1, 1, 0, 1},
            {512, 10, 1, 1, 1, 0, 1}};
  if (net == "resnet20")
    return {{3, 16, 32, 3, 1, 1, 1},  {16, 16, 32, 3, 1, 1, 6}, {16, 32, 32, 3, 2, 1, 1},
            {32, 32, 16, 3, 1, 1, 5}, {32, 64, 16, 3, 2, 1, 1}, {64, 64, 8, 3, 1, 1, 5},
            {16, 32, 32, 1, 2, 0, 1}, {32, 64, 16, 1, 2, 0, 1}};
  return {{3, 64, 32, 3, 1, 1, 1},   {64, 128, 16, 3, 1, 1, 1}, {128, 256, 8, 3, 1, 1, 1},
          {256, 256, 8, 3, 1, 1, 1}, {256, 512, 4, 3, 1, 1, 1}, {512, 512, 4, 3, 1, 1, 1},
          {512, 512, 2, 3, 1, 1, 2}};
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
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
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
          : "+r"(n)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
            "xmm11", "xmm12", "xmm13", "cc");
    else
      asm volatile(
          "1:\n"
          ".irp r,0,1,2,3,4,5,6,7,8,9,10,11\n vfmadd231ps %%ymm12,%%ymm13,%%ymm\\r\n .endr\n"
          "dec %0\n jnz 1b\n vzeroupper"
          : "+r"(n)::"xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
            "xmm11", "xmm12", "xmm13", "cc");
  };
  const double time = median_seconds(3, [&] { parallel_for(threads, chains); });
  return static_cast<double>(threads * kRounds) * 12 * (wide ? 32 : 16) / time * 1e-9;
}

struct LayerSeconds {
  double forward, backward_data, backward_weight;
};

LayerSeconds measure(const ConvShape& s, int repeats, const Rng& rng) {
  const auto random = [&](const char* name, std::int64_t n) {
    std::vector<float> values(static_cast<std::size_t>(n));
    Rng stream = rng.split(name);
    stream.normal(values.data(), values.size());
    return values;
  };
  const std::int64_t outputs = s.out_height() * s.out_width() * s.out_channels, in = s.in_channels,
                     out = s.out_channels;
  std::vector<float> x = random("x", s.batch * s.height * s.width * in), dx = x;
  std::vector<float> weight = random("weight", out * s.kernel_h * s.kernel_w * in), dweight = weight;
  std::vector<float> dy = random("dy", s.batch * outputs), y = dy;
  if (s.height * s.width == 1)
    return {
        median_seconds(
            repeats,
            [&] {
              gemm<float>(s.batch, out, in, {x.data(), in}, {weight.data(), in, true}, y.data(), out);
            }),
        median_seconds(repeats,
                       [&] {
                         gemm<float>(s.batch, in, out, {dy.data(), out}, {weight.data(), in}, dx.data(), in);
                       }),
        median_seconds(repeats, [&] {
          gemm<float>(out, in, s.batch, {dy.data(), out, true}, {x.data(), in}, dweight.data(), in);
        })};
  const float* no_bias = nullptr;
  return {median_seconds(repeats, [&] { conv2d_forward(s, x.data(), weight.data(), no_bias, y.data()); }),
          median_seconds(repeats, [&] { conv2d_backward_data(s, dy.data(), weight.data(), dx.data()); }),
          median_seconds(repeats, [&] { conv2d_backward_weight(s, x.data(), dy.data(), dweight.data()); })};
}

}  // namespace

int main(int argc, char** argv) {
  std::string net = "resnet20", kernels = "auto";
  int batch = 128, repeats = 9;
  experiments::Args args("bench_conv", "Speed of the convolutions and dense layers of a network.");
  args.add("net", net, "the network", {"lenet5", "resnet20", "vgg11"});
  args.add("batch", batch, "images", {1, 65536});
  args.add("repeats", repeats, "timed runs of each product, the median counts", {1, 100000});
  args.add("kernels", kernels, "kernel table", {"auto", "scalar", "avx2", "avx512", "avx512vnni"});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    const auto table = log.table(
        "layers", {{"forward", "GFLOP/s", "products of the whole kernel, those with padding included"},
                   {"backward_data", "GFLOP/s", "gradient with respect to the input"},
                   {"backward_weight", "GFLOP/s", "gradient with respect to the weight"}});
    log.start();
    const double peak =
        peak_gflops(args.threads(), std::string_view(active_kernels().name).starts_with("avx512"));
    std::printf("kernels=%s threads=%d: peak of fused multiply-adds %.0f GFLOP/s\n", active_kernels().name,
                args.threads(), peak);
    LayerSeconds total{};
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
      const LayerSeconds t = measure(s, repeats, Rng(args.seed()));
      const double gflop = 2e-9 * static_cast<double>(batch * s.out_height() * s.out_width() * l.out) *
                           static_cast<double>(l.kernel * l.kernel * l.in);
      const double speed[3] = {gflop / t.forward, gflop / t.backward_data, gflop / t.backward_weight};
      std::printf(
          "%4d->%3d %2dx%2d k%d s%d x%d: forward %6.1f (%3.0f %%)  backward data %6.1f (%3.0f %%)  "
          "backward weight %6.1f (%3.0f %%) GFLOP/s\n",
          l.in, l.out, l.size, l.size, l.kernel, l.stride, l.times, speed[0], 100 * speed[0] / peak, speed[1],
          100 * speed[1] / peak, speed[2], 100 * speed[2] / peak);
      table.add({speed[0], speed[1], speed[2]});
      total.forward += l.times * t.forward;
      total.backward_data += l.times * t.backward_data;
      total.backward_weight += l.times * t.backward_weight;
      flops_of_all += 3 * l.times * gflop;
      experiments::check_stop();
    }
    const double sum = total.forward + total.backward_data + total.backward_weight;
    std::printf(
        "%s batch %d: forward %.2f ms, backward data %.2f ms, backward weight %.2f ms, together %.2f ms; "
        "mean %.1f GFLOP/s, %.0f %% of the peak\n",
        net.c_str(), batch, total.forward * 1e3, total.backward_data * 1e3, total.backward_weight * 1e3,
        sum * 1e3, flops_of_all / sum, 100 * flops_of_all / sum / peak);
  });
}
