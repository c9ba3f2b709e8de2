#include "experiments/bench/bit_layers.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <random>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/bit_conv.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/ports.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"

namespace coarsegrad::experiments {
namespace {

struct Codes {
  const char* name;
  BitCode weight, activation;
};

const std::vector<Codes> kCodes = {{"1x1", BitCode::signs(), BitCode::signs()},
                                   {"1x2", BitCode::signs(), BitCode::unsigned_bits(2)},
                                   {"1x4", BitCode::signs(), BitCode::unsigned_bits(4)},
                                   {"ternary x 1", BitCode::ternary(), BitCode::signs()},
                                   {"ternary x ternary", BitCode::ternary(), BitCode::ternary()},
                                   {"2x2", BitCode::signed_bits(2), BitCode::unsigned_bits(2)},
                                   {"4x4", BitCode::signed_bits(4), BitCode::unsigned_bits(4)}};

ConvShape layer(std::int64_t batch, std::int64_t size, std::int64_t channels) {
  return {.batch = batch,
          .height = size,
          .width = size,
          .in_channels = channels,
          .out_channels = channels,
          .kernel_h = 3,
          .kernel_w = 3,
          .pad_h = 1,
          .pad_w = 1};
}

struct Problem {
  std::string name;
  ConvShape shape;
};

std::vector<Problem> problems() {
  std::vector<Problem> all;
  for (const auto& [channels, size] : {std::pair{16, 32}, {64, 8}, {128, 16}, {256, 8}, {512, 4}})
    for (const std::int64_t batch : {1, 8})
      all.push_back(
          {cat("3x3 ", channels, " channels ", size, "x", size, " batch ", batch), layer(batch, size, channels)});
  all.push_back({"product 512x4608x64", bit_linear_shape(512, 4608, 64)});
  all.push_back({"product 256x1152x1024", bit_linear_shape(256, 1152, 1024)});
  return all;
}

// Cycles that the ports need for a step of a tile of `pixels` pixels by looking up, and what shares of further vector
// instructions its sums of bytes cost every few steps.
double lookup_cycles(const VectorPorts& p, double pixels, int bits) {
  const double steps_of_bytes = std::floor(255.0 / (8 * ((1 << bits) - 1)));
  const double widening = pixels / steps_of_bytes;  // times a mask, a shift and two additions
  const double shuffles = 2 * pixels + 1 + widening, others = 2 * pixels + 2 + 3 * widening;
  return std::max({shuffles / p.shuffle, (shuffles + others) / p.mixed, 2 * pixels / p.broadcast + 1 / p.load});
}

// The same by counting ones: each vector of filters takes a logical operation, a count and an addition.
double count_cycles(const VectorPorts& p, double pixels, double vectors) {
  const double each = pixels * vectors;
  return std::max({each / p.count_ones, 3 * each / p.mixed, (pixels + vectors) / p.load});
}

// Products per cycle.
double bound(const Ports& ports, const Kernels& table, const Codes& codes) {
  const int bits = codes.activation.bits;
  const kernels::BitProduct& product = bits == 1 ? table.bits.one_bit : table.bits.planes;
  const double lanes = product.lanes, pixels = product.max_pixels, planes = codes.weight.bits;
  if (std::string(table.name) == "scalar") return 64 * ports.count_ones / (planes * bits);
  const double products = pixels * lanes * product.channels_per_step / planes;
  if (product.channels_per_step == 64) return products / count_cycles(ports.zmm, pixels, lanes / 8);
  return products / lookup_cycles(lanes == 32 ? ports.ymm : ports.zmm, pixels, bits);
}

std::vector<std::int8_t> values_of(const BitCode& code, std::int64_t n) {
  std::mt19937 random(1);
  std::vector<std::int8_t> values(static_cast<std::size_t>(n));
  for (auto& v : values)
    v = static_cast<std::int8_t>(code.low + code.step * static_cast<int>(random() / 8 % unsigned(code.levels)));
  return values;
}

void print_ports(const Ports& p) {
  std::printf("clock %.2f GHz; a cycle: %.2f population counts of registers\n", p.hz / 1e9, p.count_ones);
  for (const auto& [name, v] : {std::pair{"ymm", p.ymm}, {"zmm", p.zmm}})
    if (v.logic > 0)
      std::printf("%s a cycle: logic %.2f add %.2f mixed %.2f shuffle %.2f load %.2f broadcast %.2f vpopcntq %.2f\n",
                  name, v.logic, v.add, v.mixed, v.shuffle, v.load, v.broadcast, v.count_ones);
}

std::string name_of(const Problem& problem, const Codes& codes, const char* output) {
  return cat("bits ", codes.name, " ", problem.name, " ", output);
}

bool matches(const Problem& problem, const Codes& codes, const std::string& filter) {
  for (const char* output : {"to sums", "to bits"})
    if (name_of(problem, codes, output).find(filter) != std::string::npos) return true;
  return false;
}

// Times the sums, and a threshold for each channel to packed bits.
void time_layer(const Ports& ports, const Problem& problem, const Codes& codes, const std::string& filter) {
  if (!matches(problem, codes, filter)) return;
  const ConvShape& s = problem.shape;
  const std::int64_t pixels = s.batch * s.height * s.width, outputs = s.batch * s.out_height() * s.out_width();
  const std::int64_t depth = s.kernel_h * s.kernel_w * s.in_channels;
  std::vector<std::uint64_t> x(static_cast<std::size_t>(packed_words(codes.activation.bits, pixels, s.in_channels)));
  pack_values(codes.activation, pixels, s.in_channels, values_of(codes.activation, pixels * s.in_channels).data(),
              x.data());
  const BitWeights w(codes.weight, codes.activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels,
                     values_of(codes.weight, s.out_channels * depth).data());
  const std::vector<std::int32_t> zeros(static_cast<std::size_t>(s.out_channels));
  const BitThresholds thresholds(1, zeros, std::vector<std::uint8_t>(zeros.size()));
  std::vector<std::int32_t> sums(static_cast<std::size_t>(outputs * s.out_channels));
  std::vector<std::uint64_t> planes(static_cast<std::size_t>(packed_words(1, outputs, s.out_channels)));
  const auto line = [&](const char* output, const std::function<void()>& call) {
    const std::string name = name_of(problem, codes, output);
    if (name.find(filter) == std::string::npos) return;
    const double most = bound(ports, active_kernels(), codes);
    const double rate = time_of(call).rate(static_cast<double>(outputs * s.out_channels * depth));
    std::printf("%s %s: mac_per_cycle=%.1f gmac_per_second=%.1f bound=%.1f\n", name.c_str(), active_kernels().name,
                rate * 1e9 / ports.hz, rate, most);
  };
  line("to sums", [&] { bit_conv2d(s, x.data(), w, sums.data()); });
  line("to bits", [&] { bit_conv2d_planes(s, x.data(), w, thresholds, planes.data()); });
}

}  // namespace

void time_bit_layers(const std::string& filter) {
  const Ports ports = measure_ports();
  print_ports(ports);
  const int threads = num_threads();
  set_num_threads(1);
  for (const Problem& problem : problems())
    for (const Codes& codes : kCodes)
      for (const Kernels* table : all_kernels()) {
        check_stop();
        use_kernels(table->name);
        time_layer(ports, problem, codes, filter);
      }
  use_kernels("auto");
  set_num_threads(threads);
}

}  // namespace coarsegrad::experiments
