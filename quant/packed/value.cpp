#include "quant/packed/value.h"

#include <algorithm>
#include <vector>

#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::packed {
namespace {

// From levels to values of a code, in place.
void to_values(const BitCode& code, std::int64_t n, std::uint8_t* levels) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::transform(levels + begin, levels + end, levels + begin,
                   [&code](std::uint8_t level) { return static_cast<std::uint8_t>(code.low + code.step * level); });
  });
}

}  // namespace

const char* name_of(Form form) {
  constexpr const char* names[] = {"floats", "bytes", "planes"};
  return names[static_cast<std::size_t>(form)];
}

std::int64_t size_of(const Kind& kind, const Shape& shape) {
  if (kind.form == Form::planes)
    return packed_words(kind.code.bits, shape.numel() / shape[-1], shape[-1]) *
           static_cast<std::int64_t>(sizeof(std::uint64_t));
  return shape.numel() * (kind.form == Form::bytes ? 1 : static_cast<std::int64_t>(sizeof(float)));
}

Value::Value(const Shape& shape, const Kind& kind, void* place) : shape_(shape), kind_(kind), elements_(place) {
  if (place) return;
  own_ = std::make_shared<MemoryBlock>(static_cast<std::size_t>(size_of(kind, shape)));
  elements_ = own_->data();
}

Value Value::reshaped(const Shape& shape) const {
  Value v = *this;
  v.shape_ = shape;
  return v;
}

Value Value::as(Form form, void* place) const {
  if (form == kind_.form || !is_coded()) return *this;
  if (form == Form::bytes) {
    Value y(shape_, kind_.in(form), place);
    unpack_planes(kind_.code.bits, pixels(), channels(), planes(), y.codes());
    to_values(kind_.code, shape_.numel(), y.codes());
    return y;
  }
  if (kind_.form == Form::planes) return as(Form::bytes).as(form, place);
  Value y(shape_, kind_.in(form), place);
  if (form == Form::planes)
    pack_values(kind_.code, pixels(), channels(), reinterpret_cast<const std::int8_t*>(codes()), y.planes());
  else
    parallel_ranges(shape_.numel(), kTaskElements,
                    [&](std::int64_t begin, std::int64_t end) { decode(*this, begin, end, y.data() + begin); });
  return y;
}

void decode(const Value& x, std::int64_t begin, std::int64_t end, float* out) {
  const std::uint8_t* const codes = x.codes() + begin;
  if (x.kind().code.low < 0)
    real_kernels<float>().projection.decode(end - begin, reinterpret_cast<const std::int8_t*>(codes), x.kind().scale,
                                            out);
  else
    real_kernels<float>().activation.decode(end - begin, codes, x.kind().scale, out);
}

Shape batch_of(std::int64_t samples, const Shape& sample) {
  std::vector<std::int64_t> extents{samples};
  extents.insert(extents.end(), sample.begin(), sample.end());
  return {extents.data(), static_cast<int>(extents.size())};
}

Shape sample_of(const Shape& batch) { return {batch.begin() + 1, batch.rank() - 1}; }

}  // namespace coarsegrad::packed
