#include "experiments/bench/byte_layers.h"

#include <algorithm>
#include <functional>
#include <random>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/compute/conv_codes.h"
#include "core/kernels/kernels.h"
#include "core/kernels/tiles/layer.h"
#include "experiments/bench/code_problems.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"

namespace coarsegrad::experiments {
namespace {

constexpr const char* kTables[] = {"scalar", "avx2", "avx512", "avx512vnni", "avx512vpopcntdq", "avx512bf16", "amx"};

template <class In>
constexpr const char* kName = std::is_signed_v<In> ? "s8xs8" : "u8xs8";

// Cycles of one step of a tile of rows x vectors sums, on vectors that widen bytes to 16 bits: two products and two
// additions for each sum, two or three instructions for a row of A, three for a vector of B.
double widening_cycles(const VectorPorts& p, double rows, double vectors, bool has_sign) {
  const double sums = rows * vectors, shifts = (has_sign ? 3 : 1) * rows + 3 * vectors, masks = has_sign ? 0 : rows;
  return std::max({2 * sums / p.multiply, (4 * sums + shifts + masks) / p.mixed, (rows + vectors) / p.load});
}

// The same with the instruction for four products: one for each sum. Codes with a sign take one more for each row of A.
double dot_cycles(const VectorPorts& p, double rows, double vectors, bool has_sign) {
  const double sums = rows * vectors, offsets = has_sign ? rows : 0;
  return std::max({sums / p.dot, (sums + offsets) / p.mixed, (rows + vectors) / p.load});
}

// Cycles of one part of a run on tiles: a product for each of the four tiles of sums, and the loads of the tiles of A
// and B.
double tile_cycles(const Ports& p, double blocks, double vectors) {
  const double loads = kernels::kTileRows * (blocks + vectors);
  return std::max(blocks * vectors / p.tile, loads / p.zmm.load);
}

// Products per cycle.
template <class In>
double bound(const Ports& ports, const Kernels& table, std::int64_t channels) {
  constexpr bool has_sign = std::is_signed_v<In>;
  const std::string_view name = table.name;
  if (name == "scalar") return ports.multiply;
  const kernels::CodeProduct<In>& product = table.matmul_codes.of<In>();
  const int vectors = channels > product.lanes ? 2 : 1;
  const double rows = product.max_rows[vectors];
  if (name == "amx") {
    const double blocks = rows / kernels::kTileRows;
    return blocks * vectors * kernels::kTileRows * product.lanes * kernels::kTileBytes /
           tile_cycles(ports, blocks, vectors);
  }
  const double products = rows * vectors * product.lanes * kernels::kCodesPerStep;
  if (name == "avx2") return products / widening_cycles(ports.ymm, rows, vectors, has_sign);
  if (name == "avx512") return products / widening_cycles(ports.zmm, rows, vectors, has_sign);
  return products / dot_cycles(ports.zmm, rows, vectors, has_sign);
}

template <class Code>
std::vector<Code> codes(std::int64_t n) {
  std::mt19937 random(1);
  std::vector<Code> values(static_cast<std::size_t>(n));
  for (auto& v : values) v = static_cast<Code>(random() / 8 % 16);
  return values;
}

// Thresholds of each channel at equal distances, as those of a uniform quantizer are, to levels of 4 bits.
BitThresholds uniform_thresholds(std::int64_t channels, std::int64_t depth) {
  constexpr int kThresholds = 15, kLargest = 15;  // thresholds; the largest code
  std::vector<std::int32_t> all;
  for (std::int64_t c = 0; c < channels; ++c)
    for (int k = 0; k < kThresholds; ++k) all.push_back(static_cast<std::int32_t>(depth * k + c));
  const std::int64_t most = depth * kLargest * kLargest;
  return {kThresholds, all, std::vector<std::uint8_t>(static_cast<std::size_t>(channels)), SumRange{-most, most}};
}

// Times the scaled outputs, and levels of 4 bits.
template <class In>
void time_layer(const Ports& ports, const CodeProblem& problem, const std::string& filter) {
  const std::string begin = cat("bytes ", kName<In>, " ", problem.name);
  if (begin.find(filter) == std::string::npos && filter.find(begin) == std::string::npos) return;
  const ConvShape& s = problem.shape;
  const auto x = codes<In>(s.batch * s.height * s.width * s.in_channels);
  const ByteWeights w(s, codes<std::int8_t>(s.out_channels * problem.depth()).data());
  const auto outputs = static_cast<std::size_t>(problem.outputs());
  const BitThresholds thresholds = uniform_thresholds(s.out_channels, problem.depth());
  std::vector<float> y(outputs);
  std::vector<std::uint8_t> levels(outputs);
  const auto line = [&](const char* output, const std::function<void()>& call) {
    const std::string name = cat(begin, " ", output, " ", active_kernels().name);
    if (name.find(filter) == std::string::npos) return;
    print_rate(ports, name, time_of(call).rate(static_cast<double>(problem.outputs() * problem.depth())),
               bound<In>(ports, active_kernels(), s.out_channels));
  };
  const float one = 1;
  line("to floats", [&] { conv2d_forward_codes(s, x.data(), w, {&one, 1}, nullptr, y.data()); });
  line("to levels", [&] { conv2d_levels_of_codes(s, x.data(), w, thresholds, levels.data()); });
}

void name_missing_tables() {
  for (const std::string_view name : kTables)
    if (std::ranges::none_of(all_kernels(), [&](const Kernels* k) { return name == k->name; }))
      std::printf("skipped: bytes in the table %s, which this processor does not run\n", name.data());
}

}  // namespace

void time_byte_layers(const Ports& ports, const std::string& filter) {
  name_missing_tables();
  for_each_problem([&](const CodeProblem& problem) {
    for (const Kernels* table : all_kernels()) {
      check_stop();
      use_kernels(table->name);
      time_layer<std::uint8_t>(ports, problem, filter);
      time_layer<std::int8_t>(ports, problem, filter);
    }
  });
}

}  // namespace coarsegrad::experiments
