#pragma once
// Images as integers, for first layers that multiply codes: a byte b becomes the signed code b - 128 of 8 bits, which
// stands for (b - 128) * kPixelScale. So all channels have one mean, 128, and one deviation, 64; what the channels of a
// data set have besides is left to the first normalisation, which sees it as any other mean and deviation. Padding is
// the code 0, in training as in a packed model: the grey value 128.
#include <memory>

#include "core/tensor.h"
#include "datasets/dataset.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// What the code 1 of a pixel stands for: bytes become -2 to 127/64, all of them exact.
inline constexpr Real kPixelScale = Real(1) / 64;

/// Another data set whose images batches hold as codes: Field::as_codes.
class PixelCodes : public Dataset {
 public:
  /// Throws Error for null.
  explicit PixelCodes(std::shared_ptr<const Dataset> data);

  Description description() const override;
  std::int64_t size() const override { return data_->size(); }
  Sample sample(std::int64_t i) const override { return data_->sample(i); }
  void validate() const override { data_->validate(); }

 private:
  std::shared_ptr<const Dataset> data_;
};

/// Room for so many codes, which are not set yet.
std::shared_ptr<Coded> pixel_code_room(std::int64_t count);
/// Numbers as batches of PixelCodes hold them: the nearest multiples of kPixelScale that there are, with their codes.
/// Throws Error for NaN.
Tensor pixel_codes(const Tensor& values);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
