// How fast are the sampler and the Monte Carlo of the two-layer model, and how far from what the processor
// could do?
//   bench_sampling --m 20 --n 100 --samples 20000 --threads 2 --kernels all
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>

#include "core/base/parallel.h"
#include "core/base/random.h"
#include "core/kernels/kernels.h"
#include "experiments/support/run.h"
#include "quant/theory/monte_carlo.h"

using namespace coarsegrad;

namespace {

/// Vector operations per `numbers` results, counted in core/kernels/README.md. The port model (Zen 5,
/// measured there): four vector pipes, two of which do all multiplications, fused or not, float or integer.
struct Work {
  double numbers, operations, multiplications;
  double cycles() const { return std::max(operations / 4, multiplications / 2) / numbers; }
};

struct Bounds {
  Work philox, normal, two_layer;
};

Bounds bounds(std::string_view kernels) {
  if (kernels == "avx512") return {{32, 60, 18}, {32, 88, 41}, {32, 98, 51}};
  if (kernels == "avx2") return {{16, 77, 18}, {16, 105, 41}, {16, 115, 51}};
  const double none = std::nan("");
  return {{1, none, none}, {1, none, none}, {1, none, none}};
}

double seconds(const std::function<void()>& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Cycles per second, from a chain of additions that each wait one cycle for the one before.
double clock_rate() {
  constexpr int kAdditions = 50'000'000;
  std::uint64_t x = 0;
  return kAdditions / seconds([&] {
           for (int i = 0; i < kAdditions; ++i) asm volatile("add $1, %0" : "+r"(x));
         });
}

struct Timing {
  double median, min, max;
};

Timing time(int repetitions, const std::function<void()>& f) {
  f();
  std::vector<double> t;
  for (int i = 0; i < repetitions; ++i) {
    experiments::check_stop();
    t.push_back(seconds(f));
  }
  std::sort(t.begin(), t.end());
  return {t[t.size() / 2], t.front(), t.back()};
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
void report(const char* what, const char* unit, double numbers, const Timing& t, double cycles_per_second,
            int threads, const Work& work) {
  const double cycles = t.median * cycles_per_second * threads / numbers;
  std::printf(
      "  %-10s %8.1f M %s/s (%.1f to %.1f), %.3f ns and %.3f cycles of a core each, bound %.3f cycles: %.0f "
      "%%\n",
      what, numbers / t.median * 1e-6, unit, numbers / t.max * 1e-6, numbers / t.min * 1e-6,
      t.median * threads / numbers * 1e9, cycles, work.cycles(), 100 * work.cycles() / cycles);
}

}  // namespace

int main(int argc, char** argv) {
  int m = 20, n = 100, repetitions = 15;
  std::int64_t samples = 20000;
  std::string kernels = "auto";
  experiments::Args args("bench_sampling",
                         "Speed of the Gaussian sampler and of three coarse gradients by Monte Carlo.");
  args.add("m", m, "rows of Z", {1, 4096});
  args.add("n", n, "columns of Z", {1, 65536});
  args.add("samples", samples, "samples of one repetition", {1, 1'000'000'000});
  args.add("repetitions", repetitions, "timed repetitions, after one that is not; the median counts",
           {1, 1000});
  args.add("kernels", kernels, "kernel table", {"auto", "all", "scalar", "avx2", "avx512"});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const Problem problem = make_problem(m, n, Rng(args.seed()));
    const std::vector<const Surrogate*> stes{&surrogate("identity"), &surrogate("relu"),
                                             &surrogate("clipped_relu")};
    std::vector<std::string> names{kernels};
    if (kernels == "all") {
      names.clear();
      for (const Kernels* table : all_kernels()) names.push_back(table->name);
    }
    const auto table =
        log.table("timings", {{"kernels", "1", "kernel table", names},
                              {"samples_per_second", "1/s", "samples drawn, three coarse gradients each"},
                              {"normals_per_second", "1/s", "variates, one thread, in cache"},
                              {"words_per_second", "1/s", "32-bit words, one thread, in cache"},
                              {"clock", "Hz", "from a chain of additions"}});
    log.start();
    std::vector<std::uint32_t> words(4096);
    std::vector<float> normals(4096);
    for (std::size_t i = 0; i < names.size(); ++i) {
      use_kernels(names[i]);
      const auto& sampling = active_kernels().sampling;
      const Bounds bound = bounds(active_kernels().name);
      const int rounds = active_kernels().name == std::string("scalar") ? 20 : 1000;
      const double clock = clock_rate();
      const Timing word_time = time(repetitions, [&] {
        for (int r = 0; r < rounds; ++r)
          sampling.philox(1, 0, static_cast<std::uint64_t>(r), words.data(), words.size());
      });
      const Timing normal_time = time(repetitions, [&] {
        for (int r = 0; r < rounds; ++r)
          sampling.normal(1, 0, static_cast<std::uint64_t>(r), normals.data(), normals.size());
      });
      const Timing sample_time = time(repetitions, [&] {
        theory::sample_coarse_gradients(problem.model, problem.point, stes, problem.directions, samples,
                                        Rng(1));
      });
      const double drawn = static_cast<double>(samples),
                   per_call = rounds * static_cast<double>(words.size());
      std::printf("%s, %.2f GHz:\n", active_kernels().name, clock * 1e-9);
      report("philox", "words", per_call, word_time, clock, 1, bound.philox);
      report("normal", "variates", per_call, normal_time, clock, 1, bound.normal);
      report("two layers", "variates", drawn * m * n, sample_time, clock, args.threads(), bound.two_layer);
      std::printf(
          "  kernels=%s m=%d n=%d samples=%lld threads=%d spread=%.0f..%.0f samples_per_second=%.0f\n",
          active_kernels().name, m, n, static_cast<long long>(samples), args.threads(),
          drawn / sample_time.max, drawn / sample_time.min, drawn / sample_time.median);
      table.add({static_cast<double>(i), drawn / sample_time.median, per_call / normal_time.median,
                 per_call / word_time.median, clock});
    }
  });
}
