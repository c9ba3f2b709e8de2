#include "quant/packed/operations.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "core/compute/norm.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::packed {
namespace {

Shape sample_of(const Shape& batch) { return {batch.begin() + 1, batch.rank() - 1}; }

// y[i] = f(x[i]).
template <class F>
Value map(const Value& x, F f) {
  const Value from = x.decoded();
  Value y = Value::floats(x.shape());
  parallel_ranges(x.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::transform(from.data() + begin, from.data() + end, y.data() + begin, f);
  });
  return y;
}

// Codes of levels, and whether there is a NaN. A level is a multiple of the least one, and its code that multiple.
bool encode_levels(const Levels& o, const Value& x, Value& y) {
  std::atomic<bool> any_nan = false;
  parallel_ranges(x.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    auto* const codes = reinterpret_cast<std::int8_t*>(y.codes()) + begin;
    double total;  // NaN where an element is
    std::int64_t squares;
    real_kernels<float>().projection.encode(end - begin, x.data() + begin, static_cast<int>(o.sizes.size()),
                                            o.sizes.data(), codes, &total, &squares);
    if (std::isnan(total)) any_nan = true;
    std::transform(codes, codes + (end - begin), codes, [&o](std::int8_t k) {
      const int power = k == 0 ? 0 : 1 << (std::abs(k) - 1);
      return static_cast<std::int8_t>(o.binary ? (k > 0 ? 1 : -1) : k < 0 ? -power : power);
    });
  });
  return any_nan;
}

Value pooled(const Window& o, const Value& x) {
  const PoolShape s = pool_shape(o, x.shape()[0], sample_of(x.shape()));
  return Value::floats({s.batch, s.out_height(), s.out_width(), s.channels});
}

// Copies the pixels that are left, between zeros.
template <class T>
void copy_pixels(const Subsample& o, const Shape& in, const Shape& out, const T* x, T* y) {
  std::fill_n(y, out.numel(), T(0));
  for (std::int64_t n = 0; n < in[0]; ++n)
    for (std::int64_t row = 0; row < out[1]; ++row)
      for (std::int64_t column = 0; column < out[2]; ++column)
        std::copy_n(x + ((n * in[1] + row * o.stride.h) * in[2] + column * o.stride.w) * in[3], in[3],
                    y + ((n * out[1] + row) * out[2] + column) * out[3] + o.before);
}

}  // namespace

Value normalized(const Norm& o, const Value& x) {
  const Value from = x.decoded();
  Value y = Value::floats(x.shape());
  const std::int64_t channels = x.shape()[-1];
  batch_norm_apply<float>(x.shape().numel() / channels, channels, from.data(),
                          {o.mean.data(), o.factor.data(), nullptr, o.shift.empty() ? nullptr : o.shift.data()},
                          y.data());
  return y;
}

Value quantized(const Quantize& o, const Value& x) {
  const Value from = x.decoded();
  const std::int64_t n = x.shape().numel();
  Value y = Value::coded(x.shape(), o.quantizer.scale(), o.quantizer.rounding == kernels::Rounding::sign);
  if (!quantize_forward<float>(n, from.data(), o.quantizer, {}, nullptr, y.codes(), nullptr)) return y;
  y = Value::floats(x.shape());
  quantize_forward<float>(n, from.data(), o.quantizer, {}, y.data(), nullptr, nullptr);
  return y;
}

Value on_levels(const Levels& o, const Value& x) {
  const Value from = x.decoded();
  Value y = Value::coded(x.shape(), std::ldexp(1.f, 1 - static_cast<int>(o.sizes.size())), true);
  if (!encode_levels(o, from, y)) return y;
  y = y.decoded();
  for (std::int64_t i = 0; i < x.shape().numel(); ++i)
    if (std::isnan(from.data()[i])) y.data()[i] = from.data()[i];
  return y;
}

Value rectified(const Value& x) {
  const Value from = x.decoded();
  Value y = Value::floats(x.shape());
  relu_forward<float>(x.shape().numel(), from.data(), y.data());
  return y;
}

Value absolute(const Value& x) {
  return map(x, [](float v) { return std::abs(v); });
}

Value clamped(const Clamp& o, const Value& x) {
  return map(x, [&o](float v) { return v < o.lower ? o.lower : v > o.upper ? o.upper : v; });
}

Value sum(const Value& a, const Value& b) {
  const Value p = a.decoded(), q = b.decoded();
  Value y = Value::floats(a.shape());
  parallel_ranges(a.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::transform(p.data() + begin, p.data() + end, q.data() + begin, y.data() + begin,
                   [](float u, float v) { return u + v; });
  });
  return y;
}

Value max_pooled(const Window& o, const Value& x) {
  const bool codes = x.is_coded() && !x.with_sign();
  const PoolShape s = pool_shape(o, x.shape()[0], sample_of(x.shape()));
  Value largest = pooled(o, x);
  if (!codes) {
    max_pool_forward<float>(s, x.decoded().data(), largest.data(), nullptr);
    return largest;
  }
  Value numbers = Value::floats(x.shape());
  parallel_ranges(x.shape().numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    real_kernels<float>().activation.decode(end - begin, x.codes() + begin, 1, numbers.data() + begin);
  });
  max_pool_forward<float>(s, numbers.data(), largest.data(), nullptr);
  Value y = Value::coded(largest.shape(), x.scale(), false);
  std::transform(largest.data(), largest.data() + y.shape().numel(), y.codes(),
                 [](float code) { return static_cast<std::uint8_t>(code); });
  return y;
}

Value average_pooled(const Window& o, const Value& x) {
  Value y = pooled(o, x);
  average_pool_forward<float>(pool_shape(o, x.shape()[0], sample_of(x.shape())), x.decoded().data(), true, y.data());
  return y;
}

Value channel_means(const Value& x) {
  const Shape& s = x.shape();
  Value y = Value::floats({s[0], s[3]});
  global_average_pool_forward<float>(s[0], s[1] * s[2], s[3], x.decoded().data(), y.data());
  return y;
}

Value subsampled(const Subsample& o, const Value& x) {
  const Shape& in = x.shape();
  const Shape out{in[0], (in[1] + o.stride.h - 1) / o.stride.h, (in[2] + o.stride.w - 1) / o.stride.w,
                  in[3] + o.channels};
  Value y = x.is_coded() ? Value::coded(out, x.scale(), x.with_sign()) : Value::floats(out);
  if (x.is_coded())
    copy_pixels(o, in, out, x.codes(), y.codes());
  else
    copy_pixels(o, in, out, x.data(), y.data());
  return y;
}

}  // namespace coarsegrad::packed
