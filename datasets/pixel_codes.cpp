#include "datasets/pixel_codes.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

PixelCodes::PixelCodes(std::shared_ptr<const Dataset> data) : data_(std::move(data)) {
  check(data_ != nullptr, "pixel codes: given no data set, expected one");
}

Description PixelCodes::description() const {
  Description d = data_->description();
  for (Field& f : d.fields) f.as_codes = f.is_image();
  return d;
}

std::shared_ptr<Coded> pixel_code_room(std::int64_t count) {
  return std::make_shared<Coded>(count, 8, Coded::Sign::two_s_complement, std::vector<Real>{kPixelScale});
}

Tensor pixel_codes(const Tensor& values) {
  const auto coded = pixel_code_room(values.numel());
  std::ranges::transform(values.view(), coded->signed_codes(), [](Real v) {
    check(!std::isnan(v), "pixel codes: given NaN, expected numbers");
    return static_cast<std::int8_t>(std::clamp(std::nearbyint(v / kPixelScale), Real(-128), Real(127)));
  });
  return Tensor::deferred(values.shape(), coded);
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
