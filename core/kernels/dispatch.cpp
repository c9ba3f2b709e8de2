#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>
#if defined(COARSEGRAD_X86)
#include <cpuid.h>
#endif
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "core/kernels/tables.h"

namespace coarsegrad {
namespace {

const Kernels& scalar_table() {
  using namespace kernels::scalar;
  static const Kernels table{
      "scalar",
      {
#define REAL_FAMILY(Type, name) name,
#define FAMILY(Type, name)
#include "core/kernels/families.inc"
      },
#define REAL_FAMILY(Type, name)
#define FAMILY(Type, name) name,
#include "core/kernels/families.inc"
  };
  return table;
}

#if defined(COARSEGRAD_X86)
const Kernels& avx2_table() {
  using namespace kernels::avx2;
  static const Kernels table{
      "avx2",
      {
#define REAL_FAMILY(Type, name) name,
#define FAMILY(Type, name)
#include "core/kernels/families.inc"
      },
#define REAL_FAMILY(Type, name)
#define FAMILY(Type, name) name,
#include "core/kernels/families.inc"
  };
  return table;
}

const Kernels& avx512_table() {
  using namespace kernels::avx512;
  static const Kernels table{
      "avx512",
      {
#define REAL_FAMILY(Type, name) name,
#define FAMILY(Type, name)
#include "core/kernels/families.inc"
      },
#define REAL_FAMILY(Type, name)
#define FAMILY(Type, name) name,
#include "core/kernels/families.inc"
  };
  return table;
}

const Kernels& avx512vnni_table() {
  static const Kernels table = [] {
    Kernels t = avx512_table();
    t.name = "avx512vnni";
    t.matmul_codes = kernels::avx512vnni::matmul_codes;
    return t;
  }();
  return table;
}

const Kernels& avx512vpopcntdq_table() {
  static const Kernels table = [] {
    Kernels t = avx512vnni_table();
    t.name = "avx512vpopcntdq";
    t.bits = kernels::avx512vpopcntdq::bits;
    return t;
  }();
  return table;
}

const Kernels& avx512bf16_table() {
  static const Kernels table = [] {
    Kernels t = avx512vpopcntdq_table();
    t.name = "avx512bf16";
    t.matmul_bfloat16 = kernels::avx512bf16::matmul_bfloat16;
    return t;
  }();
  return table;
}

const Kernels& amx_table() {
  static const Kernels table = [] {
    Kernels t = avx512vpopcntdq_table();
    t.name = "amx";
    t.matmul_codes = kernels::amx::matmul_codes;
    t.matmul_bfloat16 = kernels::amx::matmul_bfloat16;
    return t;
  }();
  return table;
}

// Whether the processor multiplies bfloat16 in vectors. (clang 14 has no name for this.)
bool has_bfloat16() {
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & 1u << 5);
}

// Whether it does so faster than floats. An Intel Emerald Rapids does not: 16 products a cycle and core against 32, as
// measured. Of AMD's it is assumed, and was not measured; bench_layers prints both rates.
bool bfloat16_is_faster() { return __builtin_cpu_is("amd"); }

// Whether the processor has tiles of bytes and of bfloat16, and the operating system saves them for this process: Linux
// does that for those who have asked. (clang 14 has no name for these features.)
bool tiles_are_granted() {
#if defined(__linux__)
  constexpr unsigned kTile = 1u << 24, kInt8 = 1u << 25, kBfloat16 = 1u << 22;
  constexpr long kRequestPermission = 0x1023, kTileData = 18;
  unsigned a, b, c, d;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (d & kTile) && (d & kInt8) && (d & kBfloat16) &&
         syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

void add_runnable(std::vector<const Kernels*>& tables) {
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    tables.push_back(&avx2_table());
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl")) {
    tables.push_back(&avx512_table());
    if (!__builtin_cpu_supports("avx512vnni")) return;
    tables.push_back(&avx512vnni_table());
    if (!__builtin_cpu_supports("avx512vpopcntdq")) return;
    tables.push_back(&avx512vpopcntdq_table());
    // The best table comes last.
    if (has_bfloat16()) tables.insert(tables.end() - (bfloat16_is_faster() ? 0 : 1), &avx512bf16_table());
    if (tiles_are_granted()) tables.push_back(&amx_table());
  }
}
#else
void add_runnable(std::vector<const Kernels*>&) {}
#endif

std::vector<const Kernels*> runnable() {
  std::vector<const Kernels*> tables{&scalar_table()};
  add_runnable(tables);
  return tables;
}

const Kernels* by_name(std::string_view name) {
  std::string known;
  for (const Kernels* table : all_kernels()) {
    if (name == table->name) return table;
    known += cat(" ", table->name);
  }
  if (name == plain_tiles_kernels().name) return &plain_tiles_kernels();
  throw UsageError(cat("kernels: given '", name, "', expected one that this CPU runs:", known));
}

const Kernels* choose() {
  const char* forced = std::getenv("COARSEGRAD_KERNELS");
  return forced && *forced ? by_name(forced) : all_kernels().back();
}

// The table, whose tiles threads give back from now on.
const Kernels* made_ready(const Kernels* table) {
  at_end_of_tasks(table->matmul_codes.release);
  return table;
}

std::atomic<const Kernels*>& active() {
  static std::atomic<const Kernels*> table{made_ready(choose())};
  return table;
}

}  // namespace

std::span<const Kernels* const> all_kernels() {
  static const std::vector<const Kernels*> tables = runnable();
  return tables;
}

const Kernels& active_kernels() { return *active().load(std::memory_order_relaxed); }

void use_kernels(std::string_view name) {
  std::atomic<const Kernels*>& table = active();  // made before the new one is made ready: it makes one ready itself
  table = made_ready(name == "auto" ? choose() : by_name(name));
}

const Kernels& plain_tiles_kernels() {
  static const Kernels table = [] {
    Kernels t = scalar_table();
    t.name = "plain_tiles";
    t.matmul_bfloat16 = kernels::plain_tiles::matmul_bfloat16;
    t.matmul_codes = kernels::plain_tiles::matmul_codes;
    return t;
  }();
  return table;
}

template <>
const RealKernels<float>& real_kernels<float>() {
  return active_kernels().real;
}

template <>
const RealKernels<double>& real_kernels<double>() {
  using namespace kernels::scalar;
  static const RealKernels<double> reference{
#define REAL_FAMILY(Type, name) name##_f64,
#define FAMILY(Type, name)
#include "core/kernels/families.inc"
  };
  return reference;
}

}  // namespace coarsegrad
