#include "quant/packed/operations.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "core/compute/code_sweeps.h"
#include "core/compute/elementwise.h"
#include "core/compute/norm.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::packed {
namespace {

// y[i] = f(x[i]).
template <class F>
Value map(const Value& x, const Target& to, F f) {
  const Value from = x.decoded();
  Value y = to.value(x.shape(), {});
  parallel_ranges(x.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::transform(from.data() + begin, from.data() + end, y.data() + begin, f);
  });
  return y;
}

// Codes of levels, and whether there is a NaN. A level is a multiple of the least one, and its code that multiple.
bool encode_levels(const Levels& o, std::int64_t n, const float* x, std::int8_t* codes) {
  std::atomic<bool> any_nan = false;
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    double total;  // NaN where an element is
    std::int64_t squares;
    real_kernels<float>().projection.encode(end - begin, x + begin, static_cast<int>(o.sizes.size()), o.sizes.data(),
                                            codes + begin, &total, &squares);
    if (std::isnan(total)) any_nan = true;
    std::transform(codes + begin, codes + end, codes + begin, [&o](std::int8_t k) {
      const int power = k == 0 ? 0 : 1 << (std::abs(k) - 1);
      return static_cast<std::int8_t>(o.binary ? (k > 0 ? 1 : -1) : k < 0 ? -power : power);
    });
  });
  return any_nan;
}

// Bytes at the target where those are planned, in memory of their own otherwise.
Value bytes_for(const Shape& shape, const Kind& kind, const Target& to) {
  return to.value(shape, kind.in(Form::bytes));
}

Shape pooled_shape(const PoolShape& s) { return {s.batch, s.out_height(), s.out_width(), s.channels}; }

NormColumns<float> columns_of(const Norm& o) {
  return {o.mean.data(), o.factor.data(), nullptr, o.shift.empty() ? nullptr : o.shift.data()};
}

// The elements of a value that is to be added, made from codes piece by piece.
Elements<float> elements_of(const Value& x) {
  if (!x.is_coded()) return x.data();
  return {&x, [](const void* value, std::int64_t begin, std::int64_t end, float* out) {
            decode(*static_cast<const Value*>(value), begin, end, out);
          }};
}

// Copies the pixels that are left, between zeros.
template <class T>
void copy_pixels(const Subsample& o, const Shape& in, const Shape& out, const T* x, T* y) {
  parallel_for(in[0], [&](std::int64_t n) {
    const std::int64_t image = out.numel() / out[0];
    std::fill_n(y + n * image, image, T(0));
    for (std::int64_t row = 0; row < out[1]; ++row)
      for (std::int64_t column = 0; column < out[2]; ++column)
        std::copy_n(x + ((n * in[1] + row * o.stride.h) * in[2] + column * o.stride.w) * in[3], in[3],
                    y + ((n * out[1] + row) * out[2] + column) * out[3] + o.before);
  });
}

}  // namespace

Kind kind_of(const Input& o) { return o.scale == 0 ? Kind{} : Kind{Form::bytes, BitCode::signed_bits(8), o.scale}; }

Value taken_in(const Input& o, const Shape& batch, const float* samples) {
  if (o.scale == 0) return {batch, {}, const_cast<float*>(samples)};  // nobody writes there
  Value y(batch, kind_of(o));
  std::atomic<bool> any_nan = false;
  parallel_ranges(batch.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    bool nan = false;
    for (std::int64_t i = begin; i < end; ++i) {
      const float code = std::nearbyint(samples[i] / o.scale);
      nan |= std::isnan(code);
      y.codes()[i] = static_cast<std::uint8_t>(static_cast<std::int8_t>(std::fmax(-128.f, std::fmin(code, 127.f))));
    }
    if (nan) any_nan = true;
  });
  check(!any_nan, "packed model: given a pixel that is NaN, expected a number");
  return y;
}

Value taken_in(const Input& o, const Shape& batch, const std::uint8_t* pixels) {
  Value y(batch, kind_of(o));
  std::transform(pixels, pixels + batch.numel(), y.codes(),
                 [](std::uint8_t byte) { return static_cast<std::uint8_t>(byte - 128); });
  return y;
}

Kind kind_of(const Quantize& o) {
  const bool sign = o.quantizer.rounding == kernels::Rounding::sign;
  return {Form::bytes, sign ? BitCode::signs() : BitCode::unsigned_bits(o.bits), o.quantizer.scale()};
}
Kind kind_of(const Levels& o) {
  const int sizes = static_cast<int>(o.sizes.size());
  return {Form::bytes, o.binary ? BitCode::signs() : BitCode::signed_bits(sizes + 1), std::ldexp(1.f, 1 - sizes)};
}
int highest_code(const Quantize& o) { return o.quantizer.rounding == kernels::Rounding::sign ? 1 : o.quantizer.levels; }
int highest_code(const Levels& o) { return 1 << (o.sizes.size() - 1); }

void encode(const Quantize& o, std::int64_t n, const float* x, std::uint8_t* codes) {
  quantize_forward<float>(n, x, o.quantizer, {}, nullptr, codes, nullptr);
}
void encode(const Levels& o, std::int64_t n, const float* x, std::uint8_t* codes) {
  encode_levels(o, n, x, reinterpret_cast<std::int8_t*>(codes));
}

Value normalized(const Norm& o, const Value& x, const Target& to) {
  const Value from = x.decoded();
  Value y = to.value(x.shape(), {});
  batch_norm_apply<float>(x.pixels(), x.channels(), from.data(), columns_of(o), y.data());
  return y;
}

Value quantized(const Quantize& o, const Value& x, const Target& to) {
  const Value from = x.decoded();
  const std::int64_t n = x.shape().numel();
  const Value codes = bytes_for(x.shape(), kind_of(o), to);
  if (!quantize_forward<float>(n, from.data(), o.quantizer, {}, nullptr, codes.codes(), nullptr)) return to.of(codes);
  Value y(x.shape(), {});
  quantize_forward<float>(n, from.data(), o.quantizer, {}, y.data(), nullptr, nullptr);
  return y;
}

Value normalized_quantized(const Norm& norm, const Quantize& o, const Value& x, const Value* add, const Target& to) {
  const Value from = x.decoded();
  const Value other = !add ? Value() : add->kind().form == Form::planes ? add->as(Form::bytes) : *add;
  const Value codes = bytes_for(x.shape(), kind_of(o), to);
  const bool any_nan = batch_norm_quantize<float>(x.pixels(), x.channels(), from.data(), columns_of(norm),
                                                  add ? elements_of(other) : Elements<float>(nullptr), o.quantizer, {},
                                                  codes.codes(), nullptr);
  return any_nan ? Value() : to.of(codes);
}

Value on_levels(const Levels& o, const Value& x, const Target& to) {
  const Value from = x.decoded();
  const Value codes = bytes_for(x.shape(), kind_of(o), to);
  if (!encode_levels(o, x.shape().numel(), from.data(), reinterpret_cast<std::int8_t*>(codes.codes())))
    return to.of(codes);
  Value y = codes.decoded();
  for (std::int64_t i = 0; i < x.shape().numel(); ++i)
    if (std::isnan(from.data()[i])) y.data()[i] = from.data()[i];
  return y;
}

Value unit_tanh(const Value& x, const Target& to) {
  const Value from = x.decoded();
  const Value y(x.shape(), {});
  tanh_forward<float>(x.shape().numel(), from.data(), y.data());
  return map(y, to, [](float v) { return (v + 1) * 0.5f; });
}

Value rectified(const Value& x, const Target& to) {
  const Value from = x.decoded();
  Value y = to.value(x.shape(), {});
  relu_forward<float>(x.shape().numel(), from.data(), y.data());
  return y;
}

Value absolute(const Value& x, const Target& to) {
  return map(x, to, [](float v) { return std::abs(v); });
}

Value clamped(const Clamp& o, const Value& x, const Target& to) {
  return map(x, to, [&o](float v) { return v < o.lower ? o.lower : v > o.upper ? o.upper : v; });
}

Value sum(const Value& a, const Value& b, const Target& to) {
  const Value p = a.decoded(), q = b.decoded();
  Value y = to.value(a.shape(), {});
  parallel_ranges(a.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::transform(p.data() + begin, p.data() + end, q.data() + begin, y.data() + begin,
                   [](float u, float v) { return u + v; });
  });
  return y;
}

Value max_pooled(const Window& o, const Value& x, const Target& to) {
  const PoolShape s = pool_shape(o, x.shape()[0], sample_of(x.shape()));
  if (!x.is_coded()) {
    Value y = to.value(pooled_shape(s), {});
    max_pool_forward<float>(s, x.data(), y.data(), nullptr);
    return y;
  }
  Value y = to.value(pooled_shape(s), x.kind().in(to.kind.is_coded() ? to.kind.form : x.kind().form));
  const Value from = x.as(y.kind().form);
  if (y.kind().form == Form::planes)
    max_pool_planes(s, x.kind().code.bits, from.planes(), y.planes());
  else if (x.kind().code.low < 0)
    max_pool_codes(s, reinterpret_cast<const std::int8_t*>(from.codes()), reinterpret_cast<std::int8_t*>(y.codes()));
  else
    max_pool_codes(s, from.codes(), y.codes());
  return y;
}

Value average_pooled(const Window& o, const Value& x, const Target& to) {
  const PoolShape s = pool_shape(o, x.shape()[0], sample_of(x.shape()));
  Value y = to.value(pooled_shape(s), {});
  average_pool_forward<float>(s, x.decoded().data(), true, y.data());
  return y;
}

Value channel_means(const Value& x, const Target& to) {
  const Shape& s = x.shape();
  Value y = to.value({s[0], s[3]}, {});
  global_average_pool_forward<float>(s[0], s[1] * s[2], s[3], x.decoded().data(), y.data());
  return y;
}

BitCode subsampled_code(const Subsample& o, const BitCode& code) {
  return o.channels > 0 && code == BitCode::signs() ? BitCode::signed_bits(2) : code;
}

Value subsampled(const Subsample& o, const Value& x, const Target& to) {
  const Shape& in = x.shape();
  const Shape out{in[0], (in[1] + o.stride.h - 1) / o.stride.h, (in[2] + o.stride.w - 1) / o.stride.w,
                  in[3] + o.channels};
  if (!x.is_coded()) {
    Value y = to.value(out, {});
    copy_pixels(o, in, out, x.data(), y.data());
    return y;
  }
  const Value y = bytes_for(out, {Form::bytes, subsampled_code(o, x.kind().code), x.kind().scale}, to);
  copy_pixels(o, in, out, x.as(Form::bytes).codes(), y.codes());
  return to.of(y);
}

Value reshaped(const Value& x, const Shape& shape, const Target& to) {
  if (x.kind().form == Form::planes && to.kind.form != Form::planes) return x.as(Form::bytes, to.place).reshaped(shape);
  return to.kind.is_coded() ? to.of(x.reshaped(shape)) : x.reshaped(shape);
}

}  // namespace coarsegrad::packed
