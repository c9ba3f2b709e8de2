#pragma once
// What flows between the nodes of a packed model.
#include <cstdint>
#include <memory>

#include "core/base/memory.h"
#include "core/base/shape.h"

namespace coarsegrad::packed {

/// The value of a node for one batch: floats, or codes of one byte times a scale. Copies share the elements.
class Value {
 public:
  /// No value.
  Value() = default;
  /// Floats, not set yet. `shape` has the axis of the batch.
  static Value floats(const Shape& shape) { return Value(shape, sizeof(float)); }
  /// Codes, not set yet: 0 to 255, or, with a sign, -128 to 127.
  static Value coded(const Shape& shape, float scale, bool with_sign) {
    Value v(shape, 1);
    v.scale_ = scale;
    v.with_sign_ = with_sign;
    return v;
  }

  /// Whether there is a value.
  bool defined() const { return memory_ != nullptr; }
  /// Whether the elements are codes.
  bool is_coded() const { return coded_; }
  /// Whether codes have a sign.
  bool with_sign() const { return with_sign_; }
  /// What a code of 1 stands for.
  float scale() const { return scale_; }
  /// With the axis of the batch in front.
  const Shape& shape() const { return shape_; }
  /// Floats alone.
  float* data() const { return static_cast<float*>(memory_->data()); }
  /// Codes alone; those with a sign as their bytes.
  std::uint8_t* codes() const { return static_cast<std::uint8_t*>(memory_->data()); }

  /// The same elements under another shape of as many.
  Value reshaped(const Shape& shape) const {
    Value v = *this;
    v.shape_ = shape;
    return v;
  }
  /// The elements as floats: this value itself, or scale times codes.
  Value decoded() const;

 private:
  Value(const Shape& shape, std::size_t element)
      : shape_(shape),
        memory_(std::make_shared<MemoryBlock>(static_cast<std::size_t>(shape.numel()) * element)),
        coded_(element == 1) {}

  Shape shape_;
  std::shared_ptr<const MemoryBlock> memory_;
  bool coded_ = false, with_sign_ = false;
  float scale_ = 1;
};

/// The shape of a batch of samples.
Shape batch_of(std::int64_t samples, const Shape& sample);

}  // namespace coarsegrad::packed
