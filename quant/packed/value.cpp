#include "quant/packed/value.h"

#include <vector>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::packed {

Value Value::decoded() const {
  if (!coded_) return *this;
  Value all = floats(shape_);
  parallel_ranges(shape_.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    if (with_sign_)
      real_kernels<float>().projection.decode(end - begin, reinterpret_cast<const std::int8_t*>(codes()) + begin,
                                              scale_, all.data() + begin);
    else
      real_kernels<float>().activation.decode(end - begin, codes() + begin, scale_, all.data() + begin);
  });
  return all;
}

Shape batch_of(std::int64_t samples, const Shape& sample) {
  std::vector<std::int64_t> extents{samples};
  extents.insert(extents.end(), sample.begin(), sample.end());
  return {extents.data(), static_cast<int>(extents.size())};
}

}  // namespace coarsegrad::packed
