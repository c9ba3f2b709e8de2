#pragma once
// The entry points of each instruction set, one constant per family. Only dispatch.cpp puts them into tables.
#include "core/kernels/activation.h"
#include "core/kernels/elementwise.h"
#include "core/kernels/math.h"
#include "core/kernels/matmul.h"
#include "core/kernels/matmul_codes.h"
#include "core/kernels/norm.h"
#include "core/kernels/pool.h"
#include "core/kernels/projection.h"
#include "core/kernels/sampling.h"
#include "core/kernels/stochastic.h"
#include "core/kernels/two_layer.h"
#include "core/kernels/update.h"
#include "core/kernels/winograd.h"

namespace coarsegrad::kernels {
namespace scalar {
extern const Activation<float> activation;
extern const Activation<double> activation_f64;
extern const Elementwise<float> elementwise;
extern const Elementwise<double> elementwise_f64;
extern const Math<float> math;
extern const Math<double> math_f64;
extern const Matmul<float> matmul;
extern const Matmul<double> matmul_f64;
extern const Norm<float> norm;
extern const Norm<double> norm_f64;
extern const Pool<float> pool;
extern const Pool<double> pool_f64;
extern const Projection<float> projection;
extern const Projection<double> projection_f64;
extern const Stochastic<float> stochastic;
extern const Stochastic<double> stochastic_f64;
extern const Update<float> update;
extern const Update<double> update_f64;
extern const MatmulCodes matmul_codes;
extern const Sampling sampling;
extern const TwoLayer two_layer;
extern const Winograd winograd;
}  // namespace scalar
namespace avx2 {
extern const Activation<float> activation;
extern const Elementwise<float> elementwise;
extern const Math<float> math;
extern const Matmul<float> matmul;
extern const Norm<float> norm;
extern const Pool<float> pool;
extern const Projection<float> projection;
extern const Stochastic<float> stochastic;
extern const Update<float> update;
extern const MatmulCodes matmul_codes;
extern const Sampling sampling;
extern const TwoLayer two_layer;
extern const Winograd winograd;
}  // namespace avx2
namespace avx512 {
extern const Activation<float> activation;
extern const Elementwise<float> elementwise;
extern const Math<float> math;
extern const Matmul<float> matmul;
extern const Norm<float> norm;
extern const Pool<float> pool;
extern const Projection<float> projection;
extern const Stochastic<float> stochastic;
extern const Update<float> update;
extern const MatmulCodes matmul_codes;
extern const Sampling sampling;
extern const TwoLayer two_layer;
extern const Winograd winograd;
}  // namespace avx512
namespace avx512vnni {  // what has instructions of its own; the rest of this table is that of avx512
extern const MatmulCodes matmul_codes;
}  // namespace avx512vnni
}  // namespace coarsegrad::kernels
