#pragma once
// Arrays of bfloat16 behind the interfaces of floats: whoever reads and writes floats some at a time can do without the
// array of them.
#include <cstdint>

#include "core/base/elements.h"
#include "core/kernels/bfloat16.h"

namespace coarsegrad {

/// The elements of `values`, as floats.
Elements<float> widened(const Bfloat16* values);
/// Where floats are rounded into `values`.
ElementSink<float> rounded_into(Bfloat16* values);

/// The elements of `x`, each as the nearest bfloat16. Refers to `x` itself.
Elements<float> rounded_elements(const Elements<float>& x);

}  // namespace coarsegrad
