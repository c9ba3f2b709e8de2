#include "experiments/bench/ports.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "core/kernels/kernels.h"

namespace coarsegrad::experiments {

#if defined(__x86_64__)

namespace {

constexpr long kRounds = 4000;
constexpr int kSamples = 400;
constexpr double kPerRound = 12;

alignas(4096) char buffer[4096];

// Seconds of the fastest of some samples: what else runs on the machine makes the others longer.
template <class F>
double fastest(F loop) {
  using Clock = std::chrono::steady_clock;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kSamples; ++i) {
    const auto start = Clock::now();
    loop();
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return best;
}

// A loop of twelve instructions: four kinds a, b, c, d in turn, into twelve registers.
#define COARSEGRAD_LOOP(a, b, c, d)                                                                                  \
  [] {                                                                                                               \
    long n = kRounds;                                                                                                \
    asm volatile("1:\n" a("0") b("1") c("2") d("3") a("4") b("5") c("6") d("7") a("8") b("9") c("10")                \
                     d("11") "dec %0\njnz 1b\n"                                                                      \
                 : "+r"(n)                                                                                           \
                 : "r"(buffer)                                                                                       \
                 : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", \
                   "memory", "cc");                                                                                  \
  }

#define YMM_XOR(i) "vpxor %%ymm14,%%ymm15,%%ymm" i "\n"
#define YMM_ADD(i) "vpaddb %%ymm14,%%ymm15,%%ymm" i "\n"
#define YMM_SHUFFLE(i) "vpshufb %%ymm14,%%ymm15,%%ymm" i "\n"
#define YMM_SHIFT(i) "vpsrlw $4,%%ymm15,%%ymm" i "\n"
#define YMM_LOAD(i) "vmovdqa (%1),%%ymm" i "\n"
#define YMM_BROADCAST(i) "vbroadcasti128 (%1),%%ymm" i "\n"
#define ZMM_XOR(i) "vpxorq %%zmm14,%%zmm15,%%zmm" i "\n"
#define ZMM_ADD(i) "vpaddb %%zmm14,%%zmm15,%%zmm" i "\n"
#define ZMM_SHUFFLE(i) "vpshufb %%zmm14,%%zmm15,%%zmm" i "\n"
#define ZMM_SHIFT(i) "vpsrlw $4,%%zmm15,%%zmm" i "\n"
#define ZMM_LOAD(i) "vmovdqa64 (%1),%%zmm" i "\n"
#define ZMM_BROADCAST(i) "vbroadcasti32x4 (%1),%%zmm" i "\n"
#define YMM_COUNT(i) "vpopcntq %%ymm15,%%ymm" i "\n"
#define YMM_MULTIPLY(i) "vpmaddwd %%ymm14,%%ymm15,%%ymm" i "\n"
#define YMM_DOT(i) "vpdpbusd %%ymm14,%%ymm15,%%ymm" i "\n"
#define ZMM_COUNT(i) "vpopcntq %%zmm15,%%zmm" i "\n"
#define ZMM_MULTIPLY(i) "vpmaddwd %%zmm14,%%zmm15,%%zmm" i "\n"
#define ZMM_DOT(i) "vpdpbusd %%zmm14,%%zmm15,%%zmm" i "\n"
#define YMM_FMA(i) "vfmadd231ps %%ymm14,%%ymm15,%%ymm" i "\n"
#define ZMM_FMA(i) "vfmadd231ps %%zmm14,%%zmm15,%%zmm" i "\n"
#define YMM_DOT_BF16(i) "vdpbf16ps %%ymm14,%%ymm15,%%ymm" i "\n"
#define ZMM_DOT_BF16(i) "vdpbf16ps %%zmm14,%%zmm15,%%zmm" i "\n"
#define YMM_STORE(i) "vmovdqa %%ymm" i ",(%1)\n"
#define ZMM_STORE(i) "vmovdqa64 %%zmm" i ",(%1)\n"

double clock_rate() {
  const double seconds = fastest([] {
    long n = kRounds;
    asm volatile("1:\nimul %%rax,%%rax\nimul %%rax,%%rax\nimul %%rax,%%rax\nimul %%rax,%%rax\ndec %0\njnz 1b\n"
                 : "+r"(n)
                 :
                 : "rax", "cc");
  });
  return kPerRound * kRounds / seconds;
}

double count_ones_rate(double hz) {
  if (!__builtin_cpu_supports("popcnt")) return 0;
  const double seconds = fastest([] {
    long n = kRounds;
    asm volatile(
        "1:\npopcnt %1,%%rax\npopcnt %1,%%rcx\npopcnt %1,%%rdx\npopcnt %1,%%rsi\npopcnt %1,%%rax\npopcnt %1,%%rcx\n"
        "popcnt %1,%%rdx\npopcnt %1,%%rsi\npopcnt %1,%%rax\npopcnt %1,%%rcx\npopcnt %1,%%rdx\npopcnt %1,%%rsi\n"
        "dec %0\njnz 1b\n"
        : "+r"(n)
        : "r"(kRounds)
        : "rax", "rcx", "rdx", "rsi", "cc");
  });
  return kPerRound * kRounds / seconds / hz;
}

template <class F>
double rate(double hz, F loop) {
  return kPerRound * kRounds / fastest(loop) / hz;
}

double multiply_rate(double hz) {
  const double seconds = fastest([] {
    long n = kRounds;
    asm volatile(
        "1:\nimul $3,%1,%%rax\nimul $3,%1,%%rcx\nimul $3,%1,%%rdx\nimul $3,%1,%%rsi\nimul $3,%1,%%rax\n"
        "imul $3,%1,%%rcx\nimul $3,%1,%%rdx\nimul $3,%1,%%rsi\nimul $3,%1,%%rax\nimul $3,%1,%%rcx\n"
        "imul $3,%1,%%rdx\nimul $3,%1,%%rsi\ndec %0\njnz 1b\n"
        : "+r"(n)
        : "r"(kRounds)
        : "rax", "rcx", "rdx", "rsi", "cc");
  });
  return kPerRound * kRounds / seconds / hz;
}

bool has_wide(bool one_more) {
  return one_more && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl");
}

VectorPorts ymm_ports(double hz) {
  if (!__builtin_cpu_supports("avx2")) return {};
  const bool counts = has_wide(__builtin_cpu_supports("avx512vpopcntdq"));
  const bool dots = has_wide(__builtin_cpu_supports("avx512vnni")), fma = __builtin_cpu_supports("fma");
  const bool bf16 = has_wide(__builtin_cpu_supports("avx512bf16"));
  return {rate(hz, COARSEGRAD_LOOP(YMM_XOR, YMM_XOR, YMM_XOR, YMM_XOR)),
          rate(hz, COARSEGRAD_LOOP(YMM_ADD, YMM_ADD, YMM_ADD, YMM_ADD)),
          rate(hz, COARSEGRAD_LOOP(YMM_SHUFFLE, YMM_ADD, YMM_XOR, YMM_XOR)),
          std::min(rate(hz, COARSEGRAD_LOOP(YMM_SHUFFLE, YMM_SHUFFLE, YMM_SHUFFLE, YMM_SHUFFLE)),
                   rate(hz, COARSEGRAD_LOOP(YMM_SHUFFLE, YMM_SHIFT, YMM_SHUFFLE, YMM_SHIFT))),
          rate(hz, COARSEGRAD_LOOP(YMM_LOAD, YMM_LOAD, YMM_LOAD, YMM_LOAD)),
          rate(hz, COARSEGRAD_LOOP(YMM_BROADCAST, YMM_BROADCAST, YMM_BROADCAST, YMM_BROADCAST)),
          counts ? rate(hz, COARSEGRAD_LOOP(YMM_COUNT, YMM_COUNT, YMM_COUNT, YMM_COUNT)) : 0,
          rate(hz, COARSEGRAD_LOOP(YMM_MULTIPLY, YMM_MULTIPLY, YMM_MULTIPLY, YMM_MULTIPLY)),
          dots ? rate(hz, COARSEGRAD_LOOP(YMM_DOT, YMM_DOT, YMM_DOT, YMM_DOT)) : 0,
          fma ? rate(hz, COARSEGRAD_LOOP(YMM_FMA, YMM_FMA, YMM_FMA, YMM_FMA)) : 0,
          bf16 ? rate(hz, COARSEGRAD_LOOP(YMM_DOT_BF16, YMM_DOT_BF16, YMM_DOT_BF16, YMM_DOT_BF16)) : 0,
          rate(hz, COARSEGRAD_LOOP(YMM_STORE, YMM_STORE, YMM_STORE, YMM_STORE))};
}

VectorPorts zmm_ports(double hz) {
  if (!has_wide(true)) return {};
  const bool counts = __builtin_cpu_supports("avx512vpopcntdq"), dots = __builtin_cpu_supports("avx512vnni");
  const bool fma = true, bf16 = __builtin_cpu_supports("avx512bf16");
  return {rate(hz, COARSEGRAD_LOOP(ZMM_XOR, ZMM_XOR, ZMM_XOR, ZMM_XOR)),
          rate(hz, COARSEGRAD_LOOP(ZMM_ADD, ZMM_ADD, ZMM_ADD, ZMM_ADD)),
          rate(hz, COARSEGRAD_LOOP(ZMM_SHUFFLE, ZMM_ADD, ZMM_XOR, ZMM_XOR)),
          std::min(rate(hz, COARSEGRAD_LOOP(ZMM_SHUFFLE, ZMM_SHUFFLE, ZMM_SHUFFLE, ZMM_SHUFFLE)),
                   rate(hz, COARSEGRAD_LOOP(ZMM_SHUFFLE, ZMM_SHIFT, ZMM_SHUFFLE, ZMM_SHIFT))),
          rate(hz, COARSEGRAD_LOOP(ZMM_LOAD, ZMM_LOAD, ZMM_LOAD, ZMM_LOAD)),
          rate(hz, COARSEGRAD_LOOP(ZMM_BROADCAST, ZMM_BROADCAST, ZMM_BROADCAST, ZMM_BROADCAST)),
          counts ? rate(hz, COARSEGRAD_LOOP(ZMM_COUNT, ZMM_COUNT, ZMM_COUNT, ZMM_COUNT)) : 0,
          rate(hz, COARSEGRAD_LOOP(ZMM_MULTIPLY, ZMM_MULTIPLY, ZMM_MULTIPLY, ZMM_MULTIPLY)),
          dots ? rate(hz, COARSEGRAD_LOOP(ZMM_DOT, ZMM_DOT, ZMM_DOT, ZMM_DOT)) : 0,
          fma ? rate(hz, COARSEGRAD_LOOP(ZMM_FMA, ZMM_FMA, ZMM_FMA, ZMM_FMA)) : 0,
          bf16 ? rate(hz, COARSEGRAD_LOOP(ZMM_DOT_BF16, ZMM_DOT_BF16, ZMM_DOT_BF16, ZMM_DOT_BF16)) : 0,
          rate(hz, COARSEGRAD_LOOP(ZMM_STORE, ZMM_STORE, ZMM_STORE, ZMM_STORE))};
}

// Tiles are granted where the table `amx` runs.
bool has_tiles() {
  return std::ranges::any_of(all_kernels(), [](const Kernels* k) { return std::string_view(k->name) == "amx"; });
}

// All eight tiles with 16 rows of 64 bytes, and zeros in them.
void clear_tiles() {
  alignas(64) unsigned char shapes[64] = {1};
  for (int t = 0; t < 8; ++t) {
    shapes[16 + 2 * t] = 64;
    shapes[48 + t] = 16;
  }
  asm volatile(
      "ldtilecfg %0\ntilezero %%tmm0\ntilezero %%tmm1\ntilezero %%tmm2\ntilezero %%tmm3\ntilezero %%tmm4\n"
      "tilezero %%tmm5\ntilezero %%tmm6\ntilezero %%tmm7\n"
      :
      : "m"(shapes));
}

// Four products into four tiles of sums, of two tiles of A and two of B.
#define COARSEGRAD_TILE_RATE(product)                                                                 \
  [](double clock) {                                                                                  \
    clear_tiles();                                                                                    \
    const double seconds = fastest([] {                                                               \
      long n = kRounds;                                                                               \
      asm volatile("1:\n" product " %%tmm6,%%tmm4,%%tmm0\n" product " %%tmm7,%%tmm4,%%tmm1\n" product \
                   " %%tmm6,%%tmm5,%%tmm2\n" product " %%tmm7,%%tmm5,%%tmm3\ndec %0\njnz 1b\n"        \
                   : "+r"(n)                                                                          \
                   :                                                                                  \
                   : "cc");                                                                           \
    });                                                                                               \
    asm volatile("tilerelease");                                                                      \
    return 4 * kRounds / seconds / clock;                                                             \
  }

}  // namespace

Ports measure_ports() {
  const double hz = clock_rate();
  const bool tiles = has_tiles();  // every processor that has those of bytes has those of bf16
  return {hz,
          count_ones_rate(hz),
          multiply_rate(hz),
          tiles ? COARSEGRAD_TILE_RATE("tdpbusd")(hz) : 0,
          tiles ? COARSEGRAD_TILE_RATE("tdpbf16ps")(hz) : 0,
          ymm_ports(hz),
          zmm_ports(hz)};
}

#else

Ports measure_ports() { return {std::nan(""), 0, 0, 0, 0, {}, {}}; }

#endif

double float_peak(const Ports& p, bool wide) { return 2 * p.hz * (wide ? 16 * p.zmm.fma : 8 * p.ymm.fma); }

void print_ports(const Ports& p) {
  std::printf("clock %.2f GHz\n", p.hz / 1e9);
  const auto line = [](const char* name, double rate) {
    if (rate > 0)
      std::printf("port %s: %.2f a cycle\n", name, rate);
    else
      std::printf("skipped: port %s, which this processor has not\n", name);
  };
  line("popcnt", p.count_ones);
  line("imul", p.multiply);
  for (const auto& [width, v] : {std::pair<std::string, const VectorPorts&>{"ymm", p.ymm}, {"zmm", p.zmm}})
    for (const auto& [name, rate] : {std::pair{"logic", v.logic},
                                     {"vpaddb", v.add},
                                     {"vpshufb, vpaddb and logic mixed", v.mixed},
                                     {"vpshufb and shifts", v.shuffle},
                                     {"load", v.load},
                                     {"broadcast load", v.broadcast},
                                     {"vpopcntq", v.count_ones},
                                     {"vpmaddwd", v.multiply},
                                     {"vpdpbusd", v.dot},
                                     {"vfmadd231ps", v.fma},
                                     {"vdpbf16ps", v.dot_bf16},
                                     {"store", v.store}})
      line((width + " " + name).c_str(), rate);
  line("tdpbusd", p.tile);
  line("tdpbf16ps", p.tile_bf16);
}

}  // namespace coarsegrad::experiments
