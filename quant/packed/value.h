#pragma once
// What flows between the nodes of a packed model.
#include <cstdint>
#include <memory>

#include "core/base/memory.h"
#include "core/base/shape.h"
#include "core/compute/bit_planes.h"

namespace coarsegrad::packed {

/// How the elements of a value lie in memory.
enum class Form : std::uint8_t {
  floats,  ///< numbers
  bytes,   ///< a code in each byte, with a sign where the code has values below 0
  planes   ///< planes of bits (core/compute/bit_planes.h) of the pixels, whose channels are the last axis
};

/// "floats", "bytes", "planes".
const char* name_of(Form form);

/// What a value is made of.
struct Kind {
  Form form = Form::floats;                  ///< how elements lie in memory
  BitCode code = BitCode::unsigned_bits(8);  ///< what codes there are, in bytes and planes
  float scale = 1;                           ///< what a code of 1 stands for

  /// Whether elements are codes.
  bool is_coded() const { return form != Form::floats; }
  /// The same codes in another form.
  Kind in(Form other) const { return {other, code, scale}; }
};
/// Bytes that elements of this kind and shape take.
std::int64_t size_of(const Kind& kind, const Shape& shape);

/// The value of a node for one batch. Copies share the elements.
class Value {
 public:
  /// No value.
  Value() = default;
  /// Elements that are not set yet, at `place`, which outlives the value, or, where that is null, in memory of its own.
  /// `shape` has the axis of the batch.
  Value(const Shape& shape, const Kind& kind, void* place = nullptr);

  /// Whether there is a value.
  bool defined() const { return elements_ != nullptr; }
  /// What it is made of.
  const Kind& kind() const { return kind_; }
  /// Whether the elements are codes.
  bool is_coded() const { return kind_.is_coded(); }
  /// With the axis of the batch in front.
  const Shape& shape() const { return shape_; }
  /// Pixels, and channels of each: the last axis.
  std::int64_t channels() const { return shape_[-1]; }
  std::int64_t pixels() const { return shape_.numel() / channels(); }
  /// Floats alone.
  float* data() const { return static_cast<float*>(elements_); }
  /// Bytes alone.
  std::uint8_t* codes() const { return static_cast<std::uint8_t*>(elements_); }
  /// Planes alone.
  std::uint64_t* planes() const { return static_cast<std::uint64_t*>(elements_); }

  /// The same elements under another shape of as many. Planes keep their pixels, or have one plane and whole words.
  Value reshaped(const Shape& shape) const;
  /// The elements in another form: this value itself where it has that, else a copy at `place`, or in memory of its own.
  /// Floats have no other form.
  Value as(Form form, void* place = nullptr) const;
  /// The elements as floats: this value itself, or scale times codes.
  Value decoded() const { return as(Form::floats); }

 private:
  Shape shape_;
  Kind kind_;
  std::shared_ptr<const MemoryBlock> own_;  // null where the elements lie elsewhere
  void* elements_ = nullptr;
};

/// Calls f with the codes of a value of bytes as what they are, unsigned or signed.
template <class F>
void with_codes(const Value& x, F f) {
  if (x.kind().code.low < 0)
    f(reinterpret_cast<const std::int8_t*>(x.codes()));
  else
    f(static_cast<const std::uint8_t*>(x.codes()));
}

/// Elements [begin, end) of a value of bytes as floats.
void decode(const Value& x, std::int64_t begin, std::int64_t end, float* out);

/// Where a value is to be put that was planned to be of some kind.
struct Target {
  Kind kind = {};         ///< the planned one
  void* place = nullptr;  ///< room for it; null: in memory of its own

  /// A value of that kind, or of another one, which gets memory of its own.
  Value value(const Shape& shape, const Kind& actual) const {
    return {shape, actual, actual.form == kind.form ? place : nullptr};
  }
  /// Codes in the planned form.
  Value of(const Value& codes) const { return codes.as(kind.form, place); }
};

/// The shape of a batch of samples, and that of one of its samples.
Shape batch_of(std::int64_t samples, const Shape& sample);
Shape sample_of(const Shape& batch);

}  // namespace coarsegrad::packed
