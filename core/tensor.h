#pragma once
// Tensors, which everything in this library is computed on.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <type_traits>
#include <vector>

#include "core/base/element_type.h"
#include "core/base/elements.h"
#include "core/base/memory.h"
#include "core/base/shape.h"
#include "core/deferred.h"
#include "core/real.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// The element type of real numbers.
constexpr ElementType kRealType = element_type_of<Real>();

/// A value: dense, contiguous, row-major, cheap to copy. A copy shares the buffer until one of the two is written to,
/// so that an optimizer can never change what a backward pass has saved. Elements are Real unless another type was
/// asked for. Mathematics is done with Real alone; tensors of whole numbers carry labels, bytes and codes, and whoever
/// reads them names the type.
class Tensor {
 public:
  /// No tensor: defined() is false, and everything else that asks for elements throws Error.
  Tensor() = default;
  /// All elements equal to `fill`.
  explicit Tensor(const Shape& shape, Real fill = 0);
  /// A tensor of these values. Throws Error unless values.size() == shape.numel().
  Tensor(const Shape& shape, const std::vector<Real>& values);
  /// Elements of another type. Throws Error unless values.size() == shape.numel().
  template <class T>
  static Tensor of(const Shape& shape, std::span<const T> values) {
    Tensor t = uninitialized(shape, element_type_of<T>());
    t.check_count(values.size());
    std::copy(values.begin(), values.end(), t.mutable_data_of<T>());
    return t;
  }
  template <class T>
  static Tensor of(const Shape& shape, std::initializer_list<T> values) {
    return of<T>(shape, std::span<const T>(values.begin(), values.size()));
  }
  /// Elements not set: every one must be written before it is read.
  static Tensor uninitialized(const Shape& shape, ElementType type = kRealType);
  /// Elements not set, in the buffer of `recycled` where that one is large enough and no other tensor shares it.
  static Tensor uninitialized(const Shape& shape, Tensor recycled, ElementType type = kRealType);
  /// One element, of shape ().
  static Tensor scalar(Real value) { return Tensor(Shape{}, value); }
  /// Elements that `source` makes when they are asked for.
  static Tensor deferred(const Shape& shape, std::shared_ptr<const Deferred> source);

  /// Whether there is a tensor.
  bool defined() const { return storage_ != nullptr || lazy_ != nullptr; }
  /// What the elements are.
  ElementType type() const { return type_; }
  /// The extents, outermost first.
  const Shape& shape() const { return shape_; }
  /// Number of elements; 0 for a tensor that is not defined.
  std::int64_t numel() const { return defined() ? shape_.numel() : 0; }
  /// Extent of axis i; negative i counts from the end.
  std::int64_t size(int i) const { return shape_[i]; }

  /// Reading: never copies. What a deferred tensor's first reader has made is kept for the others; null for a
  /// tensor that is not defined. Throws Error for elements that are no Real.
  const Real* data() const {
    return storage_ && type_ == kRealType ? static_cast<const Real*>(storage_->data()) : other_elements();
  }
  /// Reading elements of type T. Throws Error, naming both types, for those of another one.
  template <class T>
  const T* data_of() const {
    if constexpr (std::is_same_v<T, Real>) return data();
    check_type(element_type_of<T>());
    return storage_ ? static_cast<const T*>(storage_->data()) : nullptr;
  }
  /// The elements of type T as a span; throws as data_of() does.
  template <class T>
  std::span<const T> view_of() const {
    return {data_of<T>(), static_cast<std::size_t>(numel())};
  }
  /// For readers that can do with a piece at a time; null elements of a tensor that is not defined.
  Elements<Real> elements() const;
  /// Where the elements of a deferred tensor come from, or null.
  const Deferred* source() const { return shared_source().get(); }
  std::shared_ptr<const Deferred> shared_source() const;
  /// Makes the elements of a deferred tensor, for all its copies, by write(Real* all), which sets every one, and lets
  /// go of where they would have come from. False, and nothing happens, where they are there already. Nobody
  /// else may be reading them meanwhile.
  bool make_with(const std::function<void(Real* all)>& write) const;
  /// Lets the elements of a deferred tensor come from `source` from now on, for all its copies. False, and nothing
  /// happens, where they have been made already. Nobody else may be reading them meanwhile.
  bool replace_source(std::shared_ptr<const Deferred> source) const;
  /// The integers behind the elements, or null.
  const Coded* coded() const;
  /// The integers behind the elements as a tensor of this shape, of uint8 or, for signed codes, int8, which shares
  /// their memory; not defined where there are none.
  Tensor codes() const;
  /// The bytes of the elements, whatever their type.
  const void* raw_data() const { return storage_ ? storage_->data() : other_elements(); }
  /// The elements as a span; throws as data() does.
  std::span<const Real> view() const { return {data(), static_cast<std::size_t>(numel())}; }
  /// Element i in memory order, which is not checked.
  Real operator[](std::int64_t i) const { return data()[i]; }
  /// Writing: clones the buffer first if another tensor shares it. Codes are lost. Throws Error for elements that are
  /// no Real.
  Real* mutable_data() {
    check_type(kRealType);
    return static_cast<Real*>(mutable_raw_data());
  }
  /// Writing elements of type T. Throws Error, naming both types, for those of another one.
  template <class T>
  T* mutable_data_of() {
    check_type(element_type_of<T>());
    return static_cast<T*>(mutable_raw_data());
  }
  /// Writing the bytes of the elements, whatever their type.
  void* mutable_raw_data();
  /// mutable_data() as a span.
  std::span<Real> mut() { return {mutable_data(), static_cast<std::size_t>(numel())}; }

  /// The same elements in the same order under another shape; shares the buffer.
  /// Throws Error when the sizes differ.
  Tensor reshaped(const Shape& shape) const;
  /// The only element. Throws Error unless there is exactly one.
  Real item() const;

 private:
  struct Lazy;
  const Real* other_elements() const;
  std::size_t bytes() const { return static_cast<std::size_t>(shape_.numel()) * element_size(type_); }
  void check_type(ElementType wanted) const {
    if (type_ != wanted) refuse_type(wanted);
  }
  [[noreturn]] void refuse_type(ElementType wanted) const;
  void check_count(std::size_t values) const;

  Shape shape_;
  ElementType type_ = kRealType;
  std::shared_ptr<const MemoryBlock> storage_;  // this one, or, for deferred elements,
  std::shared_ptr<Lazy> lazy_;                  // this one, or none of the two
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
