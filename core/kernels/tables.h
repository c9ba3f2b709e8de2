#pragma once
// The entry points of each instruction set, one constant per family. Only dispatch.cpp puts them into tables.
#include "core/kernels/kernels.h"

namespace coarsegrad::kernels {
namespace scalar {
#define REAL_FAMILY(Type, name)  \
  extern const Type<float> name; \
  extern const Type<double> name##_f64;
#define FAMILY(Type, name) extern const Type name;
#include "core/kernels/families.inc"
}  // namespace scalar
namespace avx2 {
#define REAL_FAMILY(Type, name) extern const Type<float> name;
#define FAMILY(Type, name) extern const Type name;
#include "core/kernels/families.inc"
}  // namespace avx2
namespace avx512 {
#define REAL_FAMILY(Type, name) extern const Type<float> name;
#define FAMILY(Type, name) extern const Type name;
#include "core/kernels/families.inc"
}  // namespace avx512
namespace avx512vnni {  // the families that have instructions of their own; the others are those of avx512
extern const MatmulCodes matmul_codes;
}  // namespace avx512vnni
namespace avx512vpopcntdq {  // likewise; the others are those of avx512vnni
extern const Bits bits;
}  // namespace avx512vpopcntdq
namespace avx512bf16 {  // likewise
extern const MatmulBfloat16 matmul_bfloat16;
}  // namespace avx512bf16
namespace amx {  // likewise
extern const MatmulBfloat16 matmul_bfloat16;
extern const MatmulCodes matmul_codes;
}  // namespace amx
namespace plain_tiles {  // the loops of amx over tiles in plain C++; the others are those of scalar
extern const MatmulBfloat16 matmul_bfloat16;
extern const MatmulCodes matmul_codes;
}  // namespace plain_tiles
}  // namespace coarsegrad::kernels
