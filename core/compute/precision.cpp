#include "core/compute/precision.h"

#include "core/kernels/kernels.h"

namespace coarsegrad {

Elements<float> widened(const Bfloat16* values) {
  return {values, [](const void* array, std::int64_t begin, std::int64_t end, float* out) {
            active_kernels().precision.widen(end - begin, static_cast<const Bfloat16*>(array) + begin, out);
          }};
}

ElementSink<float> rounded_into(Bfloat16* values) {
  return {values, [](void* array, std::int64_t begin, std::int64_t end, const float* from) {
            active_kernels().precision.round(end - begin, from, static_cast<Bfloat16*>(array) + begin);
          }};
}

Elements<float> rounded_elements(const Elements<float>& x) {
  return {&x, [](const void* array, std::int64_t begin, std::int64_t end, float* out) {
            const auto& all = *static_cast<const Elements<float>*>(array);
            if (!all.there()) all.read(begin, end, out);
            active_kernels().precision.round_values(end - begin, all.there() ? all.values() + begin : out, out);
          }};
}

}  // namespace coarsegrad
