// How fast is each hand-written kernel, in each table that this processor runs, and how far from what the
// memory could do?
//   bench_kernels --filter norm
// Every kernel is timed on one thread with its arrays in the second-level cache, where a task of a training step has
// them. Then follow what the ports of the processor can do, and layers of codes, as bits and as bytes, a line for each
// (--filter bits or --filter bytes: these alone), and both side by side (--filter "product of" alone). To time a new
// family: one function of jobs here, one line in all_jobs().
#include <algorithm>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/bit_layers.h"
#include "experiments/bench/byte_layers.h"
#include "experiments/bench/kernel_jobs.h"
#include "experiments/bench/ports.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;
using namespace experiments::kernel_jobs;
using experiments::number, experiments::Timing;

namespace {

void activation_jobs(Jobs& jobs, Arrays& a) {
  const double mask = kCount / 8, codes = kCount;
  jobs.push_back({"activation.relu", 2 * kArray + mask, 0,
                  [&](const Kernels& k) { k.real.activation.relu(kElements, a.x.data(), a.y.data(), a.mask.data()); }});
  jobs.push_back(
      {"activation.quantize", 2 * kArray + mask, 0, [&](const Kernels& k) {
         k.real.activation.quantize(kElements, a.x.data(), {0.65f, 3}, {0, 3}, a.y.data(), nullptr, a.mask.data());
       }});
  jobs.push_back(
      {"activation.quantize (codes)", kArray + codes + mask, 0, [&](const Kernels& k) {
         k.real.activation.quantize(kElements, a.x.data(), {0.65f, 3}, {0, 3}, nullptr, a.codes.data(), a.mask.data());
       }});
  for (const auto& [name, rounding] : {std::pair{"activation.quantize (nearest)", kernels::Rounding::nearest},
                                       std::pair{"activation.quantize (sign)", kernels::Rounding::sign}})
    jobs.push_back({name, kArray + codes + mask, 0, [&a, r = rounding](const Kernels& k) {
                      k.real.activation.quantize(kElements, a.x.data(), {1, 1, r}, {-1, 1}, nullptr, a.codes.data(),
                                                 a.mask.data());
                    }});
  jobs.push_back({"activation.decode", kArray + codes, 0,
                  [&](const Kernels& k) { k.real.activation.decode(kElements, a.codes.data(), 0.65f, a.y.data()); }});
  jobs.push_back({"activation.apply_mask", 2 * kArray + mask, 0, [&](const Kernels& k) {
                    k.real.activation.apply_mask(kElements, a.mask.data(), a.dy.data(), a.y.data());
                  }});
  jobs.push_back({"activation.alpha_gradient", 2 * kArray, 0, [&](const Kernels& k) {
                    a.sums[0] = k.real.activation.alpha_gradient(kElements, a.x.data(), a.dy.data(), 0.65f, 3,
                                                                 kernels::AlphaRule::exact);
                  }});
  jobs.push_back({"activation.step_gradient", 2 * kArray + codes, 0, [&](const Kernels& k) {
                    a.sums[0] =
                        k.real.activation.step_gradient(kElements, a.x.data(), a.codes.data(), a.dy.data(), 0.3f, 15);
                  }});
  jobs.push_back({"activation.alpha_gradient_codes", kArray + codes + mask, 0, [&](const Kernels& k) {
                    a.sums[0] = k.real.activation.alpha_gradient_codes(
                        kElements, a.codes.data(), a.mask.data(), a.dy.data(), 3, kernels::AlphaRule::three_valued);
                  }});
}

void elementwise_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back({"elementwise.accumulate", 3 * kArray, kCount,
                  [&](const Kernels& k) { k.real.elementwise.accumulate(kElements, a.x.data(), a.y.data()); }});
  jobs.push_back({"elementwise.scale", 2 * kArray, kCount,
                  [&](const Kernels& k) { k.real.elementwise.scale(kElements, 0.5f, a.x.data(), a.y.data()); }});
  jobs.push_back({"elementwise.add_row", 2 * kArray, kCount, [&](const Kernels& k) {
                    k.real.elementwise.add_row(kRows, kCols, a.row.data(), a.x.data(), a.y.data());
                  }});
  jobs.push_back({"elementwise.column_sums", kArray, kCount,
                  [&](const Kernels& k) { k.real.elementwise.column_sums(kRows, kCols, a.x.data(), a.sums.data()); }});
}

void math_jobs(Jobs& jobs, Arrays& a) {
  const auto sweep = [&](const char* name, auto member) {
    jobs.push_back({name, 2 * kArray, 0,
                    [&a, member](const Kernels& k) { (k.real.math.*member)(kElements, a.x.data(), a.y.data()); }});
  };
  using M = kernels::Math<float>;
  sweep("math.exp", &M::exp);
  sweep("math.log", &M::log);
  sweep("math.tanh", &M::tanh);
  sweep("math.sigmoid", &M::sigmoid);
  const auto rows = [&](const char* name, auto member) {
    jobs.push_back({name, 2 * 128 * 10 * 4.0, 0,
                    [&a, member](const Kernels& k) { (k.real.math.*member)(128, 10, a.x.data(), a.y.data()); }});
  };
  rows("math.softmax", &M::softmax);
  rows("math.log_softmax", &M::log_softmax);
}

// A product of 84 x 256 and 256 x 96 by tiles of the shape that keeps most sums in registers.
void tiled_product(const kernels::Matmul<float>& family, const float* x, const float* w, float* y) {
  constexpr int kM = 84, kN = 96, kK = 256;
  int rows = kM, columns = kN, most = 0;
  for (int v = 1; v <= family.kMaxVectors; ++v)
    if (v * family.max_rows[v] > most) {
      most = v * family.max_rows[v];
      rows = family.max_rows[v];
      columns = v * family.lanes;
    }
  for (int i = 0; i < kM; i += rows)
    for (int j = 0; j < kN; j += columns)
      family.tile({.a = x + i * kK,
                   .a_row = kK,
                   .b = w + j,
                   .steps = {1, 1, kK},
                   .a_step = {0, 0, 1},
                   .b_step = {0, 0, kN},
                   .c = y + i * kN + j,
                   .c_row = kN,
                   .rows = std::min(rows, kM - i),
                   .columns = std::min(columns, kN - j)});
}

void matmul_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back({"matmul.tile", 0, 2.0 * 84 * 96 * 256,
                  [&](const Kernels& k) { tiled_product(k.real.matmul, a.x.data(), a.w.data(), a.y.data()); }});
  jobs.push_back({"matmul.transpose", 2 * kArray, 0, [&](const Kernels& k) {
                    k.real.matmul.transpose(kRows, kCols, a.x.data(), kCols, a.y.data(), kRows);
                  }});
}

void norm_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back({"norm.moments", kArray, 3 * kCount, [&](const Kernels& k) {
                    k.real.norm.moments(kRows, kCols, a.x.data(), a.sums.data(), a.sums2.data());
                  }});
  jobs.push_back({"norm.normalize", 2 * kArray, 3 * kCount, [&](const Kernels& k) {
                    k.real.norm.normalize(kRows, kCols, a.x.data(), a.row.data(), a.row2.data(), a.row3.data(),
                                          a.y.data());
                  }});
  const double bits = static_cast<double>(kCount) / 8;
  jobs.push_back({"norm.normalize_relu", 2 * kArray + bits, 4 * kCount, [&](const Kernels& k) {
                    k.real.norm.normalize_relu(kRows, kCols, a.x.data(), a.row.data(), a.row2.data(), a.row3.data(),
                                               nullptr, a.y.data(), a.mask.data());
                  }});
  jobs.push_back({"norm.normalize_quantize", 1.25 * kArray + bits, 6 * kCount, [&](const Kernels& k) {
                    k.real.norm.normalize_quantize(kRows, kCols, a.x.data(), a.row.data(), a.row2.data(), a.row3.data(),
                                                   nullptr, {0.1f, 15}, {0, 15}, a.codes.data(), a.mask.data());
                  }});
  jobs.push_back({"norm.backward_sums", 2 * kArray + bits, 4 * kCount, [&](const Kernels& k) {
                    k.real.norm.backward_sums(kRows, kCols, a.x.data(), a.dy.data(), a.mask.data(), a.row.data(),
                                              a.sums.data(), a.sums2.data(), nullptr);
                  }});
  jobs.push_back({"norm.backward", 3 * kArray + bits, 5 * kCount, [&](const Kernels& k) {
                    k.real.norm.backward(kRows, kCols, a.x.data(), a.dy.data(), a.mask.data(), a.row.data(),
                                         a.row2.data(), a.row3.data(), a.row4.data(), a.y.data());
                  }});
}

// 2 x 2 windows with stride 2 over two rows of pixels, and the same number of overlapping ones of 3 x 3.
void pool_jobs(Jobs& jobs, Arrays& a) {
  constexpr std::int64_t windows = 64, channels = 32, outputs = windows * channels;
  const kernels::PoolRun tiled{windows, 2 * channels, 2, 2, 2 * outputs, channels, 0, 2};
  const kernels::PoolRun overlapping{windows, channels, 3, 3, (windows + 2) * channels, channels, 0, 3};
  const double y = 4.0 * outputs, number = 2.0 * outputs, four = 4 * y, nine = 3 * 4.0 * (windows + 2) * channels;
  const auto job = [&](const char* name, double bytes, auto call) { jobs.push_back({name, bytes, 0, call}); };
  job("pool.max_forward", four + y + number,
      [&a, tiled](const Kernels& k) { k.real.pool.max_forward(tiled, a.x.data(), a.y.data(), a.number.data()); });
  job("pool.max_forward (3 x 3)", nine + y + number, [&a, overlapping](const Kernels& k) {
    k.real.pool.max_forward(overlapping, a.x.data(), a.y.data(), a.number.data());
  });
  job("pool.max_backward_disjoint", four + y + number, [&a, tiled](const Kernels& k) {
    k.real.pool.max_backward_disjoint(tiled, a.dy.data(), a.number.data(), a.y.data());
  });
  job("pool.max_backward (3 x 3)", 2 * nine + y + number, [&a, overlapping](const Kernels& k) {
    k.real.pool.max_backward(overlapping, a.dy.data(), a.number.data(), a.y.data());
  });
  job("pool.average_forward", four + y,
      [&a, tiled](const Kernels& k) { k.real.pool.average_forward(tiled, a.x.data(), 4, a.y.data()); });
  job("pool.average_backward", 2 * four + y,
      [&a, tiled](const Kernels& k) { k.real.pool.average_backward(tiled, a.dy.data(), 4, a.y.data()); });
}

// Weights of 4 bits: seven thresholds.
void projection_jobs(Jobs& jobs, Arrays& a) {
  const double codes = kCount;
  jobs.push_back({"projection.magnitude", kArray, 0, [&](const Kernels& k) {
                    k.real.projection.magnitude(kElements, a.x.data(), a.sums.data(), a.y.data());
                  }});
  for (const int levels : {1, 7})
    jobs.push_back({levels == 1 ? "projection.encode" : "projection.encode (4 bits)", kArray + codes, 0,
                    [&, levels](const Kernels& k) {
                      const float thresholds[] = {0.7f, 0.8f, 0.9f, 1.0f, 1.1f, 1.2f, 1.3f};
                      std::int64_t squares;
                      k.real.projection.encode(kElements, a.x.data(), levels, thresholds, a.signed_codes.data(),
                                               a.sums.data(), &squares);
                    }});
  jobs.push_back({"projection.decode", kArray + codes, 0, [&](const Kernels& k) {
                    k.real.projection.decode(kElements, a.signed_codes.data(), 0.65f, a.y.data());
                  }});
}

// Stochastic rounding on 4 bits.
void stochastic_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back({"stochastic.range", kArray, 0, [&](const Kernels& k) {
                    k.real.stochastic.range(kElements, a.x.data(), a.y.data(), a.y.data() + 1);
                  }});
  const kernels::Grid<float> grid{1.f, 0.05f, 20.f, 15};
  const kernels::Combination<float> mix{0.5f, 1.f, 0.5f, 0.1f};
  const double draws = 2 * kCount;
  jobs.push_back({"stochastic.round", 2 * kArray + draws, 0, [&, grid](const Kernels& k) {
                    k.real.stochastic.round(kElements, grid, a.number.data(), a.x.data(), a.y.data());
                  }});
  jobs.push_back({"stochastic.encode", kArray + draws + kCount, 0, [&, grid](const Kernels& k) {
                    k.real.stochastic.encode(kElements, grid, a.number.data(), a.x.data(), a.codes.data());
                  }});
  jobs.push_back({"stochastic.decode", kArray + kCount, 0, [&, grid](const Kernels& k) {
                    k.real.stochastic.decode(kElements, grid, a.codes.data(), a.y.data());
                  }});
  jobs.push_back({"stochastic.combine", 3 * kArray, 5 * kCount, [&, mix](const Kernels& k) {
                    k.real.stochastic.combine(kElements, mix, a.x.data(), a.dy.data(), a.y.data());
                  }});
  jobs.push_back({"stochastic.combined_range", 2 * kArray, 0, [&, mix](const Kernels& k) {
                    k.real.stochastic.combined_range(kElements, mix, a.x.data(), a.dy.data(), a.y.data(),
                                                     a.y.data() + 1);
                  }});
  jobs.push_back({"stochastic.round_combined", 5 * kArray + draws, 0, [&, grid, mix](const Kernels& k) {
                    k.real.stochastic.round_combined(kElements, mix, grid, a.number.data(), a.x.data(), a.dy.data(),
                                                     1e-9f, a.y.data(), a.buf.data());
                  }});
}

void update_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back(
      {"update.sgd", 5 * kArray, 6 * kCount, [&](const Kernels& k) {
         k.real.update.sgd(kElements, {1e-9f, 0.9f, 1e-4f, false, false}, a.dy.data(), a.w.data(), a.buf.data());
       }});
  jobs.push_back({"update.adam", 7 * kArray, 14 * kCount, [&](const Kernels& k) {
                    k.real.update.adam(kElements, {0.9f, 0.999f, 0.1f, 0.001f, 1e-8f, 1e-4f, 1e-9f, 1.f}, a.dy.data(),
                                       a.w.data(), a.m.data(), a.v.data());
                  }});
}

void sampling_jobs(Jobs& jobs, Arrays& a) {
  jobs.push_back({"sampling.philox", kArray, 0,
                  [&](const Kernels& k) { k.sampling.philox(1, 2, 3, a.words.data(), a.words.size()); }});
  jobs.push_back(
      {"sampling.normal", kArray, 0, [&](const Kernels& k) { k.sampling.normal(1, 2, 3, a.y.data(), a.y.size()); }});
}

// 16 samples of the model with m = 10 and n = 20.
void two_layer_jobs(Jobs& jobs, Arrays& a) {
  constexpr std::size_t m = 10, n = 20, lanes = kernels::kGaussLanes, stes = 3;
  const kernels::TwoLayerModel model{m, n, a.row.data(), a.row2.data(), a.row3.data(), a.row4.data()};
  jobs.push_back({"two_layer.draw", 0, 4.0 * m * n * lanes, [&a, model](const Kernels& k) {
                    k.two_layer.draw(1, 2, model, a.x.data(), a.m.data(), a.v.data());
                  }});
  jobs.push_back({"two_layer.residual", 0, 6.0 * m * lanes, [&a, model](const Kernels& k) {
                    k.two_layer.residual(model, a.m.data(), a.v.data(), lanes, a.y.data(), a.buf.data(), a.w.data());
                  }});
  jobs.push_back({"two_layer.gradient", 0, stes * (2.0 * m + 7) * n * lanes, [&a, model](const Kernels& k) {
                    std::fill_n(a.y.data(), stes * m * lanes, 0.5f);
                    k.two_layer.gradient(model, stes, a.x.data(), a.m.data(), a.row.data(), a.y.data(), a.buf.data(),
                                         a.w.data(), a.dy.data());
                  }});
}

// One tile of 64 channels, in and out dense.
void winograd_jobs(Jobs& jobs, Arrays& a) {
  constexpr std::int64_t channels = 64;
  const auto job = [&](const std::string& name, auto transform, int in, int out) {
    const kernels::WinogradTile tile{.in = a.x.data(),
                                     .in_row = in * channels,
                                     .in_column = channels,
                                     .row_begin = 0,
                                     .row_end = in,
                                     .column_begin = 0,
                                     .column_end = in,
                                     .out = a.y.data(),
                                     .out_row = out * channels,
                                     .out_column = channels,
                                     .rows = out,
                                     .columns = out,
                                     .channels = channels};
    jobs.push_back({name, 4.0 * channels * (in * in + out * out), 0,
                    [transform, tile](const Kernels& k) { transform(k.winograd)(tile); }});
  };
  job(
      "winograd.input", [](const kernels::Winograd& w) { return w.input; }, 6, 6);
  const auto filter_jobs = [&](const std::string& of, kernels::WinogradFilter kernels::Winograd::*filter, int taps) {
    const int out = static_cast<int>(kernels::winograd_out(taps));
    job(
        "winograd.output" + of, [filter](const kernels::Winograd& w) { return (w.*filter).output; }, 6, out);
    job(
        "winograd.weight" + of, [filter](const kernels::Winograd& w) { return (w.*filter).weight; }, taps, 6);
    job(
        "winograd.output_gradient" + of, [filter](const kernels::Winograd& w) { return (w.*filter).output_gradient; },
        out, 6);
    job(
        "winograd.weight_gradient" + of, [filter](const kernels::Winograd& w) { return (w.*filter).weight_gradient; },
        6, taps);
  };
  filter_jobs(" 3x3", &kernels::Winograd::kernel3, 3);
  filter_jobs(" 5x5", &kernels::Winograd::kernel5, 5);
}

Jobs all_jobs(Arrays& a) {
  Jobs jobs;
  activation_jobs(jobs, a);
  elementwise_jobs(jobs, a);
  math_jobs(jobs, a);
  matmul_jobs(jobs, a);
  bfloat16_jobs(jobs, a);
  matmul_codes_jobs(jobs, a);
  bits_jobs(jobs, a);
  codes_jobs(jobs, a);
  norm_jobs(jobs, a);
  pool_jobs(jobs, a);
  projection_jobs(jobs, a);
  stochastic_jobs(jobs, a);
  update_jobs(jobs, a);
  sampling_jobs(jobs, a);
  two_layer_jobs(jobs, a);
  winograd_jobs(jobs, a);
  return jobs;
}

// One row per kernel and table on the terminal; `done` takes what is to be logged.
void run_jobs(const Jobs& jobs, const std::string& filter,
              const std::function<void(double, double, const Job&, const Timing&)>& done) {
  const double in_cache = experiments::copy_rate(std::size_t{256} << 10, 1);
  std::printf("one thread; a copy of 256 KiB reads and writes %.0f GB/s, one of 256 MiB %.1f\n", in_cache,
              experiments::copy_rate(std::size_t{256} << 20, 1));
  experiments::TextTable table({"kernel", "table", "us", "spread %", "GB/s", "of copy", "GFLOP/s", "x scalar"});
  const FlushDenormals flush;
  for (std::size_t j = 0; j < jobs.size(); ++j) {
    if (jobs[j].kernel.find(filter) == std::string::npos) continue;
    double scalar = 0;
    for (std::size_t i = 0; i < all_kernels().size(); ++i) {
      experiments::check_stop();
      const Kernels& k = *all_kernels()[i];
      if (jobs[j].in && !jobs[j].in(k)) continue;
      const Timing t = experiments::time_of([&] { jobs[j].call(k); });
      if (i == 0) scalar = t.median;
      const double gbytes = t.rate(jobs[j].bytes);
      table.row(jobs[j].kernel, std::string(k.name), number(t.median * 1e6, 3), number(t.spread_percent(), 2),
                number(gbytes, 3), number(gbytes / in_cache, 2), number(t.rate(jobs[j].flops), 3),
                scalar > 0 ? number(scalar / t.median, 3) : "");
      done(static_cast<double>(j), static_cast<double>(i), jobs[j], t);
    }
  }
  std::fputs(table.str().c_str(), stdout);
}

}  // namespace

int main(int argc, char** argv) {
  std::string filter;
  experiments::Args args("bench_kernels", "Speed of every hand-written kernel in every table.");
  args.add("filter", filter, "only kernels whose name contains this");
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    Arrays arrays(Rng(args.seed()));
    const Jobs jobs = all_jobs(arrays);
    std::vector<std::string> kernel_names, table_names;
    for (const Job& job : jobs) kernel_names.push_back(job.kernel);
    for (const Kernels* k : all_kernels()) table_names.emplace_back(k->name);
    const auto results = log.table("kernels", {{"kernel", "1", "name of the kernel", kernel_names},
                                               {"table", "1", "kernel table", table_names},
                                               {"median", "s", "duration of one call, median of 15 samples"},
                                               {"min", "s", "shortest sample"},
                                               {"max", "s", "longest sample"},
                                               {"bytes", "B", "read and written by one call"},
                                               {"flops", "1", "floating-point operations of one call"}});
    log.start();
    run_jobs(jobs, filter, [&](double kernel, double table, const Job& job, const Timing& t) {
      results.add({kernel, table, t.median, t.min, t.max, job.bytes, job.flops});
    });
    const experiments::Ports ports = experiments::measure_ports();
    experiments::print_ports(ports);
    experiments::time_bit_layers(ports, filter);
    experiments::time_byte_layers(ports, filter);
    experiments::compare_bits_and_bytes(ports, filter);
  });
}
