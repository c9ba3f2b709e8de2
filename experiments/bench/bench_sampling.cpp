// How fast are the sampler and the Monte Carlo of the two-layer model, and how far from what the processor
// could do?
//   bench_sampling --m 20 --n 100 --samples 20000 --threads 2 --kernels all
#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/kernel_flag.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"
#include "quant/theory/monte_carlo.h"

using namespace coarsegrad;
using experiments::Timing, experiments::time_of;

namespace {

/// Vector operations per `numbers` results, counted in core/kernels/README.md. The port model (Zen 5,
/// measured there): four vector pipes, two of which do all multiplications, fused or not, float or integer.
struct Work {
  double numbers = 1, operations = 0, multiplications = 0;
  double cycles() const { return std::max(operations / 4, multiplications / 2) / numbers; }
};

struct Bounds {
  Work philox, normal, two_layer;
};

Bounds bounds(std::string_view kernels) {
  if (kernels.starts_with("avx512")) return {{32, 60, 18}, {32, 88, 41}, {32, 98, 51}};
  if (kernels == "avx2") return {{16, 77, 18}, {16, 105, 41}, {16, 115, 51}};
  return {};  // nobody counts the reference
}

/// Cycles per second, from a chain of additions that each wait one cycle for the one before: the best of many
/// short tries, because whatever disturbs one makes it slower.
double clock_rate() {
  constexpr int kAdditions = 1'000'000;
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    std::uint64_t x = 0;
    const Timing t = time_of([&] {
      for (int j = 0; j < kAdditions; ++j) asm volatile("add $1, %0" : "+r"(x));
    });
    best = std::max(best, kAdditions / t.min);
  }
  return best;
}

struct Problem {
  theory::TwoLayer model;
  theory::Point point;
  std::array<theory::Vector, 2> directions;
};

Problem make_problem(int m, int n, Rng rng) {
  const auto gaussian = [&](int size) {
    theory::Vector x(static_cast<std::size_t>(size));
    rng.normal(x.data(), x.size());
    return x;
  };
  const theory::Vector v_star = gaussian(m), w_star = gaussian(n), v = gaussian(m), w = gaussian(n);
  return {theory::TwoLayer(v_star, w_star), {v, w}, {w, w_star}};
}

/// One line: what one number costs, and the bound.
void report(const char* what, const char* unit, double numbers, const Timing& t, double clock, int threads,
            const Work& work) {
  const double cycles = t.median * clock * threads / numbers;
  std::printf("  %-10s %8.1f M %s/s (%.1f to %.1f), %.3f cycles of a core each", what, numbers / t.median * 1e-6, unit,
              numbers / t.max * 1e-6, numbers / t.min * 1e-6, cycles);
  if (work.operations > 0) std::printf(", %.0f %% of the bound of %.3f", 100 * work.cycles() / cycles, work.cycles());
  std::printf("\n");
}

/// One table: the generator and the variates on one thread and in cache, the Monte Carlo on all threads.
struct Result {
  double clock;
  Timing words, normals, samples;
};

constexpr std::size_t kNumbers = 4096;

Result measure(const Problem& problem, std::int64_t samples) {
  static const std::vector<const Surrogate*> stes{&surrogate("identity"), &surrogate("relu"),
                                                  &surrogate("clipped_relu")};
  const auto& sampling = active_kernels().sampling;
  std::vector<std::uint32_t> words(kNumbers);
  std::vector<float> normals(kNumbers);
  std::uint64_t stream = 0;
  Result r;
  r.clock = clock_rate();
  r.words = time_of([&] { sampling.philox(1, ++stream, 0, words.data(), kNumbers); });
  r.normals = time_of([&] { sampling.normal(1, ++stream, 0, normals.data(), kNumbers); });
  r.samples = time_of([&] {
    experiments::check_stop();
    sample_coarse_gradients(problem.model, problem.point, stes, problem.directions, samples, Rng(++stream));
  });
  return r;
}

}  // namespace

int main(int argc, char** argv) {
  int m = 20, n = 100;
  std::int64_t samples = 20000;
  std::string kernels = "auto";
  experiments::Args args("bench_sampling",
                         "Speed of the Gaussian sampler and of three coarse gradients by Monte Carlo.");
  args.add("m", m, "rows of Z", {1, 4096});
  args.add("n", n, "columns of Z", {1, 65536});
  args.add("samples", samples, "samples of one repetition; the median of 15 counts", {1, 1'000'000'000});
  experiments::declare_kernels(args, kernels, {"all"});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const Problem problem = make_problem(m, n, Rng(args.seed()));
    std::vector<std::string> names{kernels};
    if (kernels == "all") {
      names.clear();
      for (const Kernels* table : all_kernels()) names.emplace_back(table->name);
    }
    const auto table = log.table("speed", {{"kernels", "1", "kernel table", names},
                                           {"samples", "1/s", "samples drawn, three coarse gradients each"},
                                           {"normals", "1/s", "variates on one thread, in cache"},
                                           {"words", "1/s", "32-bit words on one thread, in cache"},
                                           {"clock", "Hz", "from a chain of additions"}});
    log.start();
    for (std::size_t i = 0; i < names.size(); ++i) {
      use_kernels(names[i]);
      const char* name = active_kernels().name;
      const Bounds bound = bounds(name);
      const Result r = measure(problem, samples);
      const double drawn = static_cast<double>(samples);
      std::printf("%s, %.2f GHz:\n", name, r.clock * 1e-9);
      report("philox", "words", kNumbers, r.words, r.clock, 1, bound.philox);
      report("normal", "variates", kNumbers, r.normals, r.clock, 1, bound.normal);
      report("two layers", "variates", drawn * m * n, r.samples, r.clock, args.threads(), bound.two_layer);
      std::printf(
          "  kernels=%s m=%d n=%d samples=%lld threads=%d slowest=%.0f fastest=%.0f "
          "samples_per_second=%.0f\n",
          name, m, n, static_cast<long long>(samples), args.threads(), drawn / r.samples.max, drawn / r.samples.min,
          drawn / r.samples.median);
      table.add({static_cast<double>(i), drawn / r.samples.median, kNumbers / r.normals.median,
                 kNumbers / r.words.median, r.clock});
    }
  });
}
