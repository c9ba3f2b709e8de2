#pragma once
// Real: the scalar of everything that computes with tensors. The sources are compiled twice, into
// `coarsegrad` (float, what one trains with) and `coarsegrad_f64` (double, what gradients are checked in).
// The inline namespace keeps the two apart at link time; a translation unit sees one of them.
#if defined(COARSEGRAD_DOUBLE)
#define COARSEGRAD_REAL f64
#else
#define COARSEGRAD_REAL f32
#endif

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
#if defined(COARSEGRAD_DOUBLE)
/// What tensors compute with.
using Real = double;
#else
/// What tensors compute with.
using Real = float;
#endif
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
