#include "experiments/bench/bandwidth.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad::experiments {
namespace {

constexpr std::int64_t kChunk = 256, kMemoryBytes = std::int64_t{512} << 20;

struct Level {
  std::string name;
  std::int64_t bytes;  // of one core, or of all that share it
  bool shared;
};

std::string text_of(const std::string& path) {
  std::string text;
  std::getline(std::ifstream(path), text);
  return text;
}

// Caches of data of the first processor, as Linux describes them.
std::vector<Level> caches() {
  std::vector<Level> all;
  for (int i = 0; i < 8; ++i) {
    const std::string folder = cat("/sys/devices/system/cpu/cpu0/cache/index", i, '/');
    const std::string size = text_of(folder + "size"), kind = text_of(folder + "type");
    if (size.empty() || kind == "Instruction") continue;
    const std::int64_t level = std::atoll(text_of(folder + "level").c_str());
    all.push_back({cat('L', level), std::atoll(size.c_str()) << 10, level > 2});
  }
  return all;
}

#if defined(__x86_64__)

bool can_measure() { return __builtin_cpu_supports("avx2"); }

// All chunks of an array.
void read_all(const char* begin, std::int64_t bytes) {
  const char* const end = begin + bytes;
  asm volatile(
      "1:\nvmovdqa (%0),%%ymm0\nvmovdqa 32(%0),%%ymm1\nvmovdqa 64(%0),%%ymm2\nvmovdqa 96(%0),%%ymm3\n"
      "vmovdqa 128(%0),%%ymm4\nvmovdqa 160(%0),%%ymm5\nvmovdqa 192(%0),%%ymm6\nvmovdqa 224(%0),%%ymm7\n"
      "add $256,%0\ncmp %1,%0\njb 1b\nvzeroupper\n"
      : "+r"(begin)
      : "r"(end)
      : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "memory", "cc");
}

void write_all(char* begin, std::int64_t bytes) {
  char* const end = begin + bytes;
  asm volatile(
      "vpxor %%ymm0,%%ymm0,%%ymm0\n1:\nvmovdqa %%ymm0,(%0)\nvmovdqa %%ymm0,32(%0)\nvmovdqa %%ymm0,64(%0)\n"
      "vmovdqa %%ymm0,96(%0)\nvmovdqa %%ymm0,128(%0)\nvmovdqa %%ymm0,160(%0)\nvmovdqa %%ymm0,192(%0)\n"
      "vmovdqa %%ymm0,224(%0)\nadd $256,%0\ncmp %1,%0\njb 1b\nvzeroupper\n"
      : "+r"(begin)
      : "r"(end)
      : "xmm0", "memory", "cc");
}

#else

bool can_measure() { return false; }
void read_all(const char*, std::int64_t) {}
void write_all(char*, std::int64_t) {}

#endif

// Calls f(an array of one thread, its bytes) again and again on all threads; bytes per second of the fastest of some
// samples, of which each is as long as reading 64 MiB.
template <class F>
double rate(char* memory, std::int64_t bytes_per_thread, int threads, F f) {
  using Clock = std::chrono::steady_clock;
  const std::int64_t rounds = std::max((std::int64_t{64} << 20) / (bytes_per_thread * threads), std::int64_t{1});
  double best = std::numeric_limits<double>::infinity();
  for (int sample = 0; sample < 12; ++sample) {
    const auto start = Clock::now();
    parallel_for(threads, [&](std::int64_t t) {
      for (std::int64_t i = 0; i < rounds; ++i) f(memory + t * bytes_per_thread, bytes_per_thread);
    });
    best = std::min(best, std::chrono::duration<double>(Clock::now() - start).count());
  }
  return static_cast<double>(rounds * bytes_per_thread * threads) / best;
}

Bandwidth measured(const Level& level, int threads) {
  const std::int64_t all = level.shared ? level.bytes : level.bytes * threads;
  const std::int64_t own = std::max(std::min(all / 2, kMemoryBytes) / threads / kChunk, std::int64_t{2}) * kChunk;
  const Scratch<char> memory(static_cast<std::size_t>(own * threads));
  std::memset(memory.data(), 0, static_cast<std::size_t>(own * threads));
  return {level.name, all, rate(memory.data(), own, threads, read_all), rate(memory.data(), own, threads, write_all),
          rate(memory.data(), own, threads, [](char* array, std::int64_t bytes) {
            const std::int64_t half = bytes / 2;
            std::memcpy(array, array + half, static_cast<std::size_t>(half));
          })};
}

}  // namespace

std::vector<Bandwidth> measure_bandwidth(int threads) {
  std::vector<Bandwidth> levels;
  if (!can_measure()) return levels;
  for (const Level& level : caches()) levels.push_back(measured(level, threads));
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  levels.push_back(measured({"memory", 2 * kMemoryBytes, true}, threads));
  levels.back().holds = most;
  return levels;
}

void print_bandwidth(const std::vector<Bandwidth>& levels) {
  if (levels.empty()) std::printf("skipped: rates of caches and memory, which need x86-64 with AVX2\n");
  for (const Bandwidth& b : levels) {
    const std::string size = b.level == "memory" ? "" : cat(" of ", b.holds >> 10, " KiB for all threads");
    std::printf("%s%s: reads %.0f GB/s, writes %.0f, copies (both) %.0f\n", b.level.c_str(), size.c_str(), b.read / 1e9,
                b.write / 1e9, b.copy / 1e9);
  }
}

double seconds_to_move(const std::vector<Bandwidth>& levels, double bytes) {
  for (const Bandwidth& b : levels)
    if (bytes <= static_cast<double>(b.holds)) return bytes / std::max({b.read, b.copy, b.write});
  return 0;
}

}  // namespace coarsegrad::experiments
