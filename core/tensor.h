#pragma once
// Tensor: a value. Dense, contiguous, row-major, cheap to copy; a copy shares the buffer until one of the two
// is written to. What a backward pass has saved can therefore never be changed by an optimizer.
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/base/elements.h"
#include "core/base/memory.h"
#include "core/base/shape.h"
#include "core/deferred.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

class Tensor {
 public:
  /// No tensor: defined() is false, and everything else that asks for elements throws Error.
  Tensor() = default;
  /// All elements equal to `fill`.
  explicit Tensor(const Shape& shape, Real fill = 0);
  /// Throws Error unless values.size() == shape.numel().
  Tensor(const Shape& shape, const std::vector<Real>& values);
  /// Elements not set: every one must be written before it is read.
  static Tensor uninitialized(const Shape& shape);
  /// As above, in the buffer of `recycled` when that one is large enough and no other tensor shares it.
  static Tensor uninitialized(const Shape& shape, Tensor recycled);
  static Tensor scalar(Real value) { return Tensor(Shape{}, value); }
  /// Elements that `source` makes when they are asked for.
  static Tensor deferred(const Shape& shape, std::shared_ptr<const Deferred> source);

  bool defined() const { return storage_ != nullptr || lazy_ != nullptr; }
  const Shape& shape() const { return shape_; }
  std::int64_t numel() const { return defined() ? shape_.numel() : 0; }
  /// Extent of axis i; negative i counts from the end.
  std::int64_t size(int i) const { return shape_[i]; }

  /// Reading: never copies. What a deferred tensor's first reader has made is kept for the others; null for a
  /// tensor that is not defined.
  const Real* data() const { return storage_ ? static_cast<const Real*>(storage_->data()) : made_elements(); }
  /// For readers that can do with a piece at a time; null elements of a tensor that is not defined.
  Elements<Real> elements() const;
  /// Where the elements of a deferred tensor come from, or null.
  const Deferred* source() const;
  /// The integers behind the elements, or null.
  const Coded* coded() const;
  /// Whether the elements are kept, and by another tensor as well.
  bool shared() const { return storage_ && storage_.use_count() > 1; }
  std::span<const Real> view() const { return {data(), static_cast<std::size_t>(numel())}; }
  Real operator[](std::int64_t i) const { return data()[i]; }
  /// Writing: clones the buffer first if another tensor shares it. Codes are lost.
  Real* mutable_data();
  std::span<Real> mut() { return {mutable_data(), static_cast<std::size_t>(numel())}; }

  /// The same elements in the same order under another shape; shares the buffer.
  /// Throws Error when the sizes differ.
  Tensor reshaped(const Shape& shape) const;
  /// The only element. Throws Error unless there is exactly one.
  Real item() const;

 private:
  struct Lazy;
  const Real* made_elements() const;

  Shape shape_;
  std::shared_ptr<MemoryBlock> storage_;  // this one, or, for deferred elements,
  std::shared_ptr<Lazy> lazy_;      // this one, or none of the two
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
