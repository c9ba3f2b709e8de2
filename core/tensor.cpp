#include "core/tensor.h"

#include <algorithm>
#include <atomic>
#include <cstddef>
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
    make([this](Real* elements) {
      const std::int64_t granule = std::max<std::int64_t>(source->granule(), 1);
      const std::int64_t step = (kTaskElements + granule - 1) / granule * granule;
      parallel_ranges(size, step, [this, elements](std::int64_t begin, std::int64_t end) {
        source->read(begin, end, elements + begin);
      });
    });
    return static_cast<const Real*>(values.data());
  }

  template <class Write>
  void make(Write&& write) {
    std::call_once(once, [&] {
      values = MemoryBlock(static_cast<std::size_t>(size) * sizeof(Real));
      write(static_cast<Real*>(values.data()));
      made = true;
    });
  }
};

Tensor Tensor::deferred(const Shape& shape, std::shared_ptr<const Deferred> source) {
  Tensor t;
  t.shape_ = shape;
  t.lazy_ = std::make_shared<Lazy>(std::move(source), shape.numel());
  return t;
}

const Real* Tensor::other_elements() const {
  check_type(kRealType);
  return lazy_ ? lazy_->all() : nullptr;
}

void Tensor::refuse_type(ElementType wanted) const {
  throw Error(cat("tensor: given elements of ", element_type_name(type_), ", expected ", element_type_name(wanted)));
}

void Tensor::check_count(std::size_t values) const {
  check(static_cast<std::int64_t>(values) == numel(), "tensor: given ", values, " values for shape ", shape_);
}

Elements<Real> Tensor::elements() const {
  if (!lazy_ || lazy_->made) return data();
  return {lazy_->source.get(), [](const void* source, std::int64_t begin, std::int64_t end, Real* out) {
            static_cast<const Deferred*>(source)->read(begin, end, out);
          }};
}

std::shared_ptr<const Deferred> Tensor::shared_source() const { return lazy_ ? lazy_->source : nullptr; }

bool Tensor::make_with(const std::function<void(Real*)>& write) const {
  bool made = false;
  if (lazy_)
    lazy_->make([&](Real* all) {
      write(all);
      lazy_->source.reset();
      made = true;
    });
  return made;
}

bool Tensor::replace_source(std::shared_ptr<const Deferred> source) const {
  const bool open = lazy_ && !lazy_->made;
  if (open) lazy_->source = std::move(source);
  return open;
}

const Coded* Tensor::coded() const { return lazy_ && lazy_->source ? lazy_->source->coded() : nullptr; }

Tensor Tensor::codes() const {
  const Coded* const coded = this->coded();
  if (!coded) return {};
  Tensor t;
  t.shape_ = shape_;
  t.type_ = coded->is_signed() ? ElementType::int8 : ElementType::uint8;
  t.storage_ = {lazy_->source, &coded->block()};  // what holds the codes lives on with them
  return t;
}

Tensor Tensor::uninitialized(const Shape& shape, ElementType type) {
  Tensor t;
  t.shape_ = shape;
  t.type_ = type;
  t.storage_ = std::make_shared<const MemoryBlock>(t.bytes());
  return t;
}

Tensor Tensor::uninitialized(const Shape& shape, Tensor recycled, ElementType type) {
  const std::size_t bytes = static_cast<std::size_t>(shape.numel()) * element_size(type);
  const bool usable = recycled.storage_ && recycled.storage_.use_count() == 1 && recycled.storage_->capacity() >= bytes;
  if (!usable) return uninitialized(shape, type);
  std::atomic_thread_fence(std::memory_order_acquire);  // the last other owner may have lived in another thread
  recycled.shape_ = shape;
  recycled.type_ = type;
  return recycled;
}

Tensor::Tensor(const Shape& shape, Real fill) : Tensor(uninitialized(shape)) {
  std::fill_n(static_cast<Real*>(storage_->data()), numel(), fill);
}

Tensor::Tensor(const Shape& shape, const std::vector<Real>& values) : Tensor(uninitialized(shape)) {
  check_count(values.size());
  std::copy(values.begin(), values.end(), static_cast<Real*>(storage_->data()));
}

void* Tensor::mutable_raw_data() {
  if (!defined()) return nullptr;
  if (lazy_ && lazy_.use_count() == 1) {  // what was made for this tensor alone becomes its own
    lazy_->all();
    std::atomic_thread_fence(std::memory_order_acquire);  // the last other owner may have lived in another thread
    storage_ = std::make_shared<const MemoryBlock>(std::move(lazy_->values));
    lazy_.reset();
  } else if (storage_.use_count() != 1) {
    Tensor copy = uninitialized(shape_, type_);
    const void* const from = lazy_ ? lazy_->all() : storage_->data();
    std::copy_n(static_cast<const std::byte*>(from), bytes(), static_cast<std::byte*>(copy.storage_->data()));
    storage_ = std::move(copy.storage_);
    lazy_.reset();
  }
  return storage_->data();
}

Tensor Tensor::reshaped(const Shape& shape) const {
  check(defined() && shape.numel() == numel(), "reshape: given ", shape_, ", expected as many elements as ", shape);
  Tensor t = *this;
  t.shape_ = shape;
  return t;
}

Real Tensor::item() const {
  check(defined() && numel() == 1, "item: given a tensor of shape ", shape_, ", expected exactly one element");
  return data()[0];
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
