#include "core/tensor.h"

#include <algorithm>
#include <atomic>
#include <mutex>

#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

// Shared by the copies of a tensor: whoever asks first makes the elements for all.
struct Tensor::Lazy {
  std::shared_ptr<const Deferred> source;
  std::int64_t size;
  std::once_flag once;
  MemoryBlock values;
  std::atomic<bool> made = false;

  Lazy(std::shared_ptr<const Deferred> from, std::int64_t n) : source(std::move(from)), size(n) {}

  const Real* all() {
    std::call_once(once, [this] {
      values = MemoryBlock(static_cast<std::size_t>(size) * sizeof(Real));
      const std::int64_t granule = std::max<std::int64_t>(source->granule(), 1);
      const std::int64_t step = (kTaskElements + granule - 1) / granule * granule;
      parallel_ranges(size, step, [this](std::int64_t begin, std::int64_t end) {
        source->read(begin, end, static_cast<Real*>(values.data()) + begin);
      });
      made = true;
    });
    return static_cast<const Real*>(values.data());
  }
};

Tensor Tensor::deferred(const Shape& shape, std::shared_ptr<const Deferred> source) {
  Tensor t;
  t.shape_ = shape;
  t.lazy_ = std::make_shared<Lazy>(std::move(source), shape.numel());
  return t;
}

const Real* Tensor::made_elements() const { return lazy_ ? lazy_->all() : nullptr; }

Elements<Real> Tensor::elements() const {
  if (!lazy_ || lazy_->made) return data();
  return {lazy_->source.get(), [](const void* source, std::int64_t begin, std::int64_t end, Real* out) {
            static_cast<const Deferred*>(source)->read(begin, end, out);
          }};
}

const Deferred* Tensor::source() const { return lazy_ ? lazy_->source.get() : nullptr; }

const Coded* Tensor::coded() const { return lazy_ ? lazy_->source->coded() : nullptr; }

Tensor Tensor::uninitialized(const Shape& shape) {
  Tensor t;
  t.shape_ = shape;
  t.storage_ = std::make_shared<MemoryBlock>(static_cast<std::size_t>(shape.numel()) * sizeof(Real));
  return t;
}

Tensor Tensor::uninitialized(const Shape& shape, Tensor recycled) {
  const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * sizeof(Real);
  const bool usable =
      recycled.storage_ && recycled.storage_.use_count() == 1 && recycled.storage_->capacity() >= bytes;
  if (!usable) return uninitialized(shape);
  std::atomic_thread_fence(
      std::memory_order_acquire);  // the last other owner may have lived in another thread
  recycled.shape_ = shape;
  return recycled;
}

Tensor::Tensor(const Shape& shape, Real fill) : Tensor(uninitialized(shape)) {
  std::fill_n(static_cast<Real*>(storage_->data()), numel(), fill);
}

Tensor::Tensor(const Shape& shape, const std::vector<Real>& values) : Tensor(uninitialized(shape)) {
  check(static_cast<std::int64_t>(values.size()) == numel(), "tensor: given ", values.size(),
        " values for shape ", shape);
  std::copy(values.begin(), values.end(), static_cast<Real*>(storage_->data()));
}

Real* Tensor::mutable_data() {
  if (!defined()) return nullptr;
  if (storage_.use_count() != 1) {
    Tensor copy = uninitialized(shape_);
    std::copy_n(data(), numel(), static_cast<Real*>(copy.storage_->data()));
    storage_ = std::move(copy.storage_);
    lazy_.reset();
  }
  return static_cast<Real*>(storage_->data());
}

Tensor Tensor::reshaped(const Shape& shape) const {
  check(defined() && shape.numel() == numel(), "reshape: given ", shape_, ", expected as many elements as ",
        shape);
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Real Tensor::item() const {
  check(defined() && numel() == 1, "item: given a tensor of shape ", shape_,
        ", expected exactly one element");
  return data()[0];
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
