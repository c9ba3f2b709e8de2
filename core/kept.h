#pragma once
// Tensors of Real that are kept as bfloat16 (core/autocast.h): half the bytes between two ops. To all who do not ask they
// are ordinary tensors, whose elements are made by the first data().
#include <memory>
#include <type_traits>

#include "core/autocast.h"
#include "core/base/elements.h"
#include "core/kernels/bfloat16.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Elements of 16 bits.
class Bfloat16Values : public Deferred {
 public:
  /// `size` of them, not set yet.
  explicit Bfloat16Values(std::int64_t size);

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  const Bfloat16* bfloat16() const override { return data(); }

  /// All of them.
  const Bfloat16* data() const { return static_cast<const Bfloat16*>(values_.data()); }
  /// All of them, to be written.
  Bfloat16* data() { return static_cast<Bfloat16*>(values_.data()); }

 private:
  MemoryBlock values_;
};

/// The elements as they are kept, where that is as bfloat16, else null.
const Bfloat16* bfloat16_of(const Tensor& t);

/// Whether the elements lie in memory, as Real or as bfloat16.
bool is_kept(const Tensor& t);

/// f(elements) for elements as they are kept: f(const Bfloat16*) or f(const Real*), which makes those of a recipe.
template <class F>
decltype(auto) with_kept(const Tensor& t, F&& f) {
  if constexpr (std::is_same_v<Real, float>)
    if (const Bfloat16* const values = bfloat16_of(t)) return f(values);
  return f(t.data());
}

/// The same elements, kept as `type` wants: `t` itself for Real, and where it is kept as bfloat16 already.
Tensor kept_as(const Tensor& t, ComputeType type);

// For code that is a template over how elements are kept: as Real or as Bfloat16.

/// A tensor that write(Kept* elements) has written all elements of.
template <class Kept, class F>
Tensor written_as(const Shape& shape, F&& write) {
  if constexpr (std::is_same_v<Kept, Real>) {
    Tensor t = Tensor::uninitialized(shape);
    write(t.mutable_data());
    return t;
  } else {
    const auto values = std::make_shared<Bfloat16Values>(shape.numel());
    write(values->data());
    return Tensor::deferred(shape, values);
  }
}

/// Tensor::make_with() for elements of type Kept.
template <class Kept, class F>
bool make_as(const Tensor& t, F&& write) {
  if constexpr (std::is_same_v<Kept, Real>) {
    return t.make_with(write);
  } else {
    if (t.elements().there()) return false;
    const auto values = std::make_shared<Bfloat16Values>(t.numel());
    write(values->data());
    return t.replace_source(values);
  }
}

/// `t`, or its elements anew where it is kept otherwise.
template <class Kept>
Tensor kept_like(const Tensor& t) {
  return kept_as(t, std::is_same_v<Kept, Real> ? ComputeType::real : ComputeType::bfloat16);
}

/// The elements of what kept_like<Kept>() has returned.
template <class Kept>
const Kept* elements_of(const Tensor& t) {
  if constexpr (std::is_same_v<Kept, Real>)
    return t.data();
  else
    return bfloat16_of(t);
}

// For all other code.

/// Where Reals are rounded into `values`.
ElementSink<Real> rounded_sink(Bfloat16* values);

/// A tensor that write(ElementSink<Real>) has written all elements of, kept as `type` wants.
template <class F>
Tensor written(const Shape& shape, ComputeType type, F&& write) {
  if (type == ComputeType::real) return written_as<Real>(shape, [&](Real* y) { write(ElementSink<Real>(y)); });
  return written_as<Bfloat16>(shape, [&](Bfloat16* y) { write(rounded_sink(y)); });
}

/// a + b, element by element, kept as bfloat16; recipes are read piece by piece.
Tensor sum_as_bfloat16(const Tensor& a, const Tensor& b);

/// The elements as what computes with `type` sees them: rounded for bfloat16; `t` itself where that changes nothing.
Tensor rounded_for(ComputeType type, const Tensor& t);

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
