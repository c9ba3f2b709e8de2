#pragma once
// The hand-written kernels: one table of entry points per instruction set, chosen at run time.
// Each family has a header here that states what its functions compute. `scalar/` holds the obviously right
// version, a template over float and double; `simd/` one source per family, compiled once for each vector
// instruction set.
#include <span>
#include <string_view>

#include "core/kernels/activation.h"
#include "core/kernels/bits.h"
#include "core/kernels/codes.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/math.h"
#include "core/kernels/matmul.h"
#include "core/kernels/matmul_bfloat16.h"
#include "core/kernels/matmul_codes.h"
#include "core/kernels/norm.h"
#include "core/kernels/pool.h"
#include "core/kernels/precision.h"
#include "core/kernels/projection.h"
#include "core/kernels/sampling.h"
#include "core/kernels/stochastic.h"
#include "core/kernels/two_layer.h"
#include "core/kernels/update.h"
#include "core/kernels/winograd.h"

namespace coarsegrad {

/// The families that compute with tensors: float in the tables, double from the reference templates.
template <class T>
struct RealKernels {
#define REAL_FAMILY(Type, name) kernels::Type<T> name;
#define FAMILY(Type, name)
#include "core/kernels/families.inc"
};

/// One table: the entry points of every family for one instruction set.
struct Kernels {
  const char* name;         ///< "scalar", "avx2", "avx512", "avx512vnni", "avx512vpopcntdq", "avx512bf16", "amx"
  RealKernels<float> real;  ///< the families that compute with tensors
#define REAL_FAMILY(Type, name)
#define FAMILY(Type, name) kernels::Type name;
#include "core/kernels/families.inc"
};

/// The table in use: the best one this CPU can run, or the one named by the environment variable
/// COARSEGRAD_KERNELS. Throws UsageError for a name that does not exist or that this CPU cannot run.
const Kernels& active_kernels();
/// Makes the table called `name` the active one; "auto" restores the choice made at start. Throws
/// UsageError for a name that does not exist or that this CPU cannot run. Not to be called while tasks run.
void use_kernels(std::string_view name);
/// The tables that this CPU can run, the scalar reference first, the best last.
std::span<const Kernels* const> all_kernels();
/// One more that every CPU runs and none needs: "plain_tiles", the scalar one whose products of codes and of bfloat16 go
/// through the loops of "amx" over tiles in plain C++, so that they are tested where there are no tiles.
const Kernels& plain_tiles_kernels();

/// The kernels for tensors of T: those of the active table for float, the scalar reference for double.
template <class T>
const RealKernels<T>& real_kernels();

}  // namespace coarsegrad
