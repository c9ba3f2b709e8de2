#include "experiments/bench/bit_layers.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <random>
#include <vector>

#include "core/base/check.h"
#include "core/compute/bit_conv.h"
#include "core/compute/code_kernel.h"
#include "core/compute/conv_codes.h"
#include "core/compute/power_conv.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/code_problems.h"
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
                                   {"1x3", BitCode::signs(), BitCode::unsigned_bits(3)},
                                   {"1x4", BitCode::signs(), BitCode::unsigned_bits(4)},
                                   {"ternary x 1", BitCode::ternary(), BitCode::signs()},
                                   {"ternary x ternary", BitCode::ternary(), BitCode::ternary()},
                                   {"2x1", BitCode::signed_bits(2), BitCode::unsigned_bits(1)},
                                   {"3x1", BitCode::signed_bits(3), BitCode::unsigned_bits(1)},
                                   {"2x2", BitCode::signed_bits(2), BitCode::unsigned_bits(2)},
                                   {"4x4", BitCode::signed_bits(4), BitCode::unsigned_bits(4)},
                                   {"2 powers x 4", power_bits(2), BitCode::unsigned_bits(4)},
                                   {"4 powers x 4", power_bits(4), BitCode::unsigned_bits(4)}};

// Cycles that the ports need for a step of a tile of `pixels` pixels by looking up, and what shares of further vector
// instructions its sums of bytes cost every few steps.
double lookup_cycles(const VectorPorts& p, double pixels, int bits) {
  const double steps_of_bytes = std::floor(255.0 / (8 * ((1 << bits) - 1)));
  const double widening = pixels / steps_of_bytes;  // times a mask, a shift and two additions
  const double shuffles = 2 * pixels + 1 + widening, others = 2 * pixels + 2 + 3 * widening;
  return std::max({shuffles / p.shuffle, (shuffles + others) / p.mixed, 2 * pixels / p.broadcast + 1 / p.load});
}

// The same by counting ones, in the mean of two steps: each vector of filters takes three logical operations, four where
// it has a mask and a sign, a count and an addition.
double count_cycles(const VectorPorts& p, double pixels, double vectors, bool masked) {
  const double each = pixels * vectors, operations = masked ? 6 : 5;
  return std::max(
             {each / p.count_ones, operations * each / p.mixed, 2 * (pixels + (masked ? 2 : 1) * vectors) / p.load}) /
         2;
}

// Products per cycle.
double bound(const Ports& ports, const Kernels& table, const Codes& codes) {
  const int bits = codes.activation.bits;
  const kernels::BitProduct& product = bits == 1 ? table.bits.one_bit : table.bits.planes;
  const bool masked = product.masks && codes.weight == BitCode::ternary();
  const double lanes = product.lanes, pixels = product.max_pixels, planes = masked ? 1 : codes.weight.bits;
  if (std::string(table.name) == "scalar") return 64 * ports.count_ones / (planes * bits);
  const double products = pixels * lanes * product.channels_per_step / planes;
  if (product.channels_per_step == 64) return products / count_cycles(ports.zmm, pixels, lanes / 8, masked);
  return products / lookup_cycles(lanes == 32 ? ports.ymm : ports.zmm, pixels, bits);
}

std::vector<std::int8_t> values_of(const BitCode& code, std::int64_t n) {
  std::mt19937 random(1);
  std::vector<std::int8_t> values(static_cast<std::size_t>(n));
  for (auto& v : values)
    v = static_cast<std::int8_t>(code.low + code.step * static_cast<int>(random() / 8 % unsigned(code.levels)));
  return values;
}

std::string name_of(const CodeProblem& problem, const Codes& codes, const char* output) {
  return cat("bits ", codes.name, " ", problem.name, " ", output);
}

bool matches(const CodeProblem& problem, const Codes& codes, const std::string& filter) {
  for (const char* output : {"to sums", "to bits"})
    if (name_of(problem, codes, output).find(filter) != std::string::npos) return true;
  return false;
}

// Times the sums, and a threshold for each channel to packed bits.
void time_layer(const Ports& ports, const CodeProblem& problem, const Codes& codes, const std::string& filter) {
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
    print_rate(ports, cat(name, " ", active_kernels().name),
               time_of(call).rate(static_cast<double>(outputs * s.out_channels * depth)),
               bound(ports, active_kernels(), codes));
  };
  line("to sums", [&] { bit_conv2d(s, x.data(), w, sums.data()); });
  line("to bits", [&] { bit_conv2d_planes(s, x.data(), w, thresholds, planes.data()); });
}

// Both kernels from the same bytes to the same floats.
void compare_layer(double hz, const CodeProblem& problem, const BitCode& weight, const BitCode& activation,
                   const std::string& filter) {
  const bool ternary = weight == BitCode::ternary();
  const std::string name =
      cat("product of ", ternary ? "ternary " : cat(weight.bits), "x", activation.bits, " ", problem.name);
  if (name.find(filter) == std::string::npos) return;
  const ConvShape& s = problem.shape;
  const std::int64_t pixels = s.batch * s.height * s.width, outputs = s.batch * s.out_height() * s.out_width();
  const std::int64_t depth = s.kernel_h * s.kernel_w * s.in_channels;
  const std::vector<std::int8_t> x = values_of(activation, pixels * s.in_channels),
                                 w = values_of(weight, s.out_channels * depth);
  const std::vector<std::uint8_t> codes(x.begin(), x.end());
  std::vector<std::uint64_t> planes(static_cast<std::size_t>(packed_words(activation.bits, pixels, s.in_channels)));
  const BitWeights bits(weight, activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels, w.data());
  const ByteWeights bytes(s, w.data());
  const float scale = 0.5F;
  std::vector<float> y(static_cast<std::size_t>(outputs * s.out_channels));
  const auto rate = [&](const std::function<void()>& call) {
    return time_of(call).rate(static_cast<double>(outputs * s.out_channels * depth)) * 1e9 / hz;
  };
  const double on_bits = rate([&] {
    pack_values(activation, pixels, s.in_channels, x.data(), planes.data());
    bit_conv2d_scaled(s, planes.data(), bits, {&scale, 1}, nullptr, y.data());
  });
  const double on_bytes = rate([&] { conv2d_forward_codes(s, codes.data(), bytes, {&scale, 1}, nullptr, y.data()); });
  std::printf("%s %s: bits_mac_per_cycle=%.1f bytes_mac_per_cycle=%.1f bits_over_bytes=%.2f chosen=%s\n", name.c_str(),
              active_kernels().name, on_bits, on_bytes, on_bits / on_bytes,
              fastest_code_kernel(weight, activation, s) == CodeKernel::bits ? "bits" : "bytes");
}

std::vector<CodeProblem> compared_problems() {
  std::vector<CodeProblem> all;
  for (const auto& [channels, size] : {std::pair{16, 32}, {32, 16}, {48, 16}, {64, 8}, {128, 8}, {512, 4}})
    all.push_back(layer_3x3(8, size, channels));
  all.push_back({"dense 128x512x512", bit_linear_shape(128, 512, 512)});
  return all;
}

// Calls f() with each table from number `first` on as the active one, on one thread.
template <class F>
void with_tables(std::size_t first, F f) {
  const int threads = num_threads();
  set_num_threads(1);
  for (const Kernels* table : all_kernels().subspan(first)) {
    check_stop();
    use_kernels(table->name);
    f();
  }
  use_kernels("auto");
  set_num_threads(threads);
}

}  // namespace

void compare_bits_and_bytes(const Ports& ports, const std::string& filter) {
  constexpr int kMostPlanes = 5;
  std::vector<BitCode> weights{BitCode::signs(), BitCode::ternary()};
  for (int planes = 2; planes <= kMostPlanes; ++planes) weights.push_back(BitCode::signed_bits(planes));
  for (const CodeProblem& problem : compared_problems())
    for (const BitCode& weight : weights)
      for (int bits = 1; bits <= kernels::kMaxActivationBits; ++bits)
        with_tables(1, [&] { compare_layer(ports.hz, problem, weight, BitCode::unsigned_bits(bits), filter); });
}

void time_bit_layers(const Ports& ports, const std::string& filter) {
  for_each_problem([&](const CodeProblem& problem) {
    for (const Codes& codes : kCodes) with_tables(0, [&] { time_layer(ports, problem, codes, filter); });
  });
}

}  // namespace coarsegrad::experiments
