#include "core/tensor.h"

#include <algorithm>
#include <atomic>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

Tensor Tensor::uninitialized(const Shape& shape) {
  Tensor t;
  t.shape_ = shape;
  t.storage_ = std::make_shared<Block>(static_cast<std::size_t>(shape.size()) * sizeof(Real));
  return t;
}

Tensor Tensor::uninitialized(const Shape& shape, Tensor recycled) {
  const std::size_t bytes = static_cast<std::size_t>(shape.size()) * sizeof(Real);
  const bool usable =
      recycled.defined() && recycled.storage_.use_count() == 1 && recycled.storage_->capacity() >= bytes;
  if (!usable) return uninitialized(shape);
  std::atomic_thread_fence(std::memory_order_acquire);  // the last other owner may have lived in another thread
  recycled.shape_ = shape;
  return recycled;
}

Tensor::Tensor(const Shape& shape, Real fill) : Tensor(uninitialized(shape)) {
  std::fill_n(static_cast<Real*>(storage_->data()), size(), fill);
}

Tensor::Tensor(const Shape& shape, const std::vector<Real>& values) : Tensor(uninitialized(shape)) {
  check(static_cast<std::int64_t>(values.size()) == size(), "tensor: given ", values.size(),
        " values for shape ", shape);
  std::copy(values.begin(), values.end(), static_cast<Real*>(storage_->data()));
}

Real* Tensor::mutable_data() {
  if (!defined()) return nullptr;
  if (storage_.use_count() > 1) {
    Tensor copy = uninitialized(shape_);
    std::copy_n(data(), size(), static_cast<Real*>(copy.storage_->data()));
    storage_ = std::move(copy.storage_);
  }
  return static_cast<Real*>(storage_->data());
}

Tensor Tensor::reshaped(const Shape& shape) const {
  check(defined() && shape.size() == size(), "reshape: given ", shape_, ", expected as many elements as ",
        shape);
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Real Tensor::item() const {
  check(defined() && size() == 1, "item: given a tensor of shape ", shape_, ", expected exactly one element");
  return data()[0];
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
