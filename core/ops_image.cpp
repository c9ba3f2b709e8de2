// Pooling: shapes are checked here, the work is done by core/compute/pool.h.
#include <algorithm>
#include <memory>
#include <utility>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/pool.h"
#include "core/kept.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

PoolShape pool_shape(const char* op, const Var& x, const PoolOptions& o) {
  check(x.shape().rank() == 4, op, ": given x ", x.shape(), ", expected (N, H, W, C)");
  const HeightWidth stride = o.stride.value_or(o.kernel);
  check(o.kernel.in_range(1) && stride.in_range(1) && o.padding.in_range(0), op,
        ": given a kernel or stride below 1, a padding below 0, or one of them above 2^31");
  const Shape& s = x.shape();
  return {s[0], s[1], s[2], s[3], o.kernel.h, o.kernel.w, stride.h, stride.w, o.padding.h, o.padding.w};
}

Attributes attributes_of(const PoolOptions& o) {
  return {{"kernel", o.kernel.extents()},
          {"stride", o.stride.value_or(o.kernel).extents()},
          {"padding", o.padding.extents()}};
}

Tensor pooled(const PoolShape& s) {
  return Tensor::uninitialized({s.batch, s.out_height(), s.out_width(), s.channels});
}

// A tensor of images that f(first image, images, their elements of x, where those of the result go) makes of those of x,
// some at a time: recipes are read, and what is kept as bfloat16 written, without all the Reals between.
template <class F>
Tensor image_by_image(const Shape& shape, ComputeType type, const Tensor& x, F&& f) {
  const std::int64_t batch = std::max<std::int64_t>(shape[0], 1), in = x.numel() / batch, out = shape.numel() / batch;
  const std::int64_t together = std::max<std::int64_t>(kTaskElements / std::max<std::int64_t>({in, out, 1}), 1);
  const Elements<Real> all = x.elements();
  return written(shape, type, [&](const ElementSink<Real>& y) {
    parallel_ranges(shape[0], together, [&](std::int64_t begin, std::int64_t end) {
      const ElementWindow<Real> some(all, begin * in, end * in);
      const SinkWindow<Real> to(y, begin * out, end * out);
      f(begin, end - begin, some.data(), to.data());
    });
  });
}

PoolShape with_batch(const PoolShape& s, std::int64_t images) {
  PoolShape some = s;
  some.batch = images;
  return some;
}

// The bytes of codes as the numbers that they are.
void read_codes(const Coded& x, std::int64_t begin, std::int64_t n, Real* numbers) {
  if (x.is_signed())
    real_kernels<Real>().projection.decode(n, x.signed_codes() + begin, 1, numbers);
  else
    real_kernels<Real>().activation.decode(n, x.codes() + begin, 1, numbers);
}

// Pools codes as the numbers that they are, image by image; the largest code is that of the largest value.
Tensor max_pooled_codes(const PoolShape& s, const Coded& x, std::uint16_t* place) {
  const Shape shape{s.batch, s.out_height(), s.out_width(), s.channels};
  const auto out = std::make_shared<Coded>(shape.numel(), x.bits(), x.sign(), std::vector<Real>{x.scales()[0]});
  std::uint8_t* const codes = out->codes();
  const std::int64_t in_image = s.height * s.width * s.channels,
                     out_image = shape.numel() / std::max<std::int64_t>(s.batch, 1);
  const PoolShape one = with_batch(s, 1);
  parallel_for(s.batch, [&](std::int64_t n) {
    const Scratch<Real> numbers(static_cast<std::size_t>(in_image)), largest(static_cast<std::size_t>(out_image));
    read_codes(x, n * in_image, in_image, numbers.data());
    max_pool_forward<Real>(one, numbers.data(), largest.data(), place + n * out_image);
    std::transform(largest.data(), largest.data() + out_image, codes + n * out_image,
                   [](Real code) { return static_cast<std::uint8_t>(static_cast<int>(code)); });
  });
  return Tensor::deferred(shape, out);
}

Tensor max_pooled(const PoolShape& s, const Tensor& x, std::uint16_t* place) {
  s.validate();
  if (const Coded* coded = x.coded(); coded && coded->scales().size() == 1) return max_pooled_codes(s, *coded, place);
  const Shape shape{s.batch, s.out_height(), s.out_width(), s.channels};
  return image_by_image(shape, compute_type(), x, [&](std::int64_t n, std::int64_t images, const Real* in, Real* out) {
    max_pool_forward<Real>(with_batch(s, images), in, out, place + n * shape.numel() / s.batch);
  });
}

// The pixels of one subsampling, image by image.
struct Subsample {
  std::int64_t batch, height, width, channels, stride_h, stride_w, out_channels, before;

  std::int64_t out_height() const { return (height + stride_h - 1) / stride_h; }
  std::int64_t out_width() const { return (width + stride_w - 1) / stride_w; }
  std::int64_t image() const { return height * width * channels; }
  std::int64_t out_image() const { return out_height() * out_width() * out_channels; }
  Shape out_shape() const { return {batch, out_height(), out_width(), out_channels}; }

  /// Calls f(offset of a pixel in its image of x, offset of its copy in the image of y, zeros in front passed).
  template <class F>
  void for_each_pixel(F&& f) const {
    for (std::int64_t y = 0; y < out_height(); ++y)
      for (std::int64_t x = 0; x < out_width(); ++x)
        f((y * stride_h * width + x * stride_w) * channels, (y * out_width() + x) * out_channels + before);
  }
  template <class T>
  void forward(const T* x, T* y) const {
    std::fill_n(y, out_image(), T(0));
    for_each_pixel([&](std::int64_t from, std::int64_t to) { std::copy_n(x + from, channels, y + to); });
  }
  void backward(const Real* dy, Real* dx) const {
    std::fill_n(dx, image(), Real(0));
    for_each_pixel([&](std::int64_t to, std::int64_t from) { std::copy_n(dy + from, channels, dx + to); });
  }
};

// The pixels that are left of an image in memory, read from there.
class Subsampled : public Deferred {
 public:
  Subsampled(const Subsample& s, Tensor x) : s_(s), x_(std::move(x)) {}

  void read(std::int64_t begin, std::int64_t end, Real* out) const override {
    for (std::int64_t pixel = begin / granule(); pixel < end / granule(); ++pixel, out += granule()) {
      const std::int64_t row = pixel / s_.out_width(), n = row / s_.out_height();
      const std::int64_t y = row % s_.out_height() * s_.stride_h, x = pixel % s_.out_width() * s_.stride_w;
      const Real* const from = x_.data() + n * s_.image() + (y * s_.width + x) * s_.channels;
      std::fill_n(out, granule(), Real(0));
      std::copy_n(from, s_.channels, out + s_.before);
    }
  }
  std::int64_t granule() const override { return std::max<std::int64_t>(s_.out_channels, 1); }

 private:
  const Subsample s_;
  const Tensor x_;
};

Tensor subsampled(const Subsample& s, const Tensor& x) {
  if (const Coded* coded = x.coded(); coded && coded->scales().size() == 1) {
    const int bits = coded->is_signed() && s.out_channels > s.channels ? std::max(coded->bits(), 2) : coded->bits();
    const auto y =
        std::make_shared<Coded>(s.out_shape().numel(), bits, coded->sign(), std::vector<Real>{coded->scales()[0]});
    std::uint8_t* const codes = y->codes();
    parallel_for(s.batch,
                 [&](std::int64_t n) { s.forward(coded->codes() + n * s.image(), codes + n * s.out_image()); });
    return Tensor::deferred(s.out_shape(), y);
  }
  if (!x.source()) return Tensor::deferred(s.out_shape(), std::make_shared<const Subsampled>(s, x));
  Tensor y = Tensor::uninitialized(s.out_shape());
  Real* out = y.mutable_data();
  const Elements<Real> in = x.elements();
  parallel_for(s.batch, [&](std::int64_t n) {
    s.forward(ElementWindow<Real>(in, n * s.image(), (n + 1) * s.image()).data(), out + n * s.out_image());
  });
  return y;
}

}  // namespace

Var max_pool2d(const Var& x, const PoolOptions& o) {
  const PoolShape s = pool_shape("max_pool2d", x, o);
  // Which place of its window each output came from: all that backward needs.
  const auto place = std::make_shared<Scratch<std::uint16_t>>(
      static_cast<std::size_t>(s.batch * s.out_height() * s.out_width() * s.channels));
  const Tensor y = max_pooled(s, x.value(), place->data());
  const Shape in = x.shape();
  const ComputeType type = compute_type();
  return record(
      "max_pool2d", y, {x},
      [=](const Tensor& g) -> Gradients {
        return {image_by_image(in, type, g, [&](std::int64_t n, std::int64_t images, const Real* dy, Real* dx) {
          max_pool_backward<Real>(with_batch(s, images), dy, place->data() + n * g.numel() / s.batch, dx);
        })};
      },
      [&o] { return attributes_of(o); });
}

Var avg_pool2d(const Var& x, const PoolOptions& o) {
  const PoolShape s = pool_shape("avg_pool2d", x, o);
  Tensor y = pooled(s);
  average_pool_forward<Real>(s, x.value().data(), true, y.mutable_data());
  const Shape in = x.shape();
  return record(
      "avg_pool2d", y, {x},
      [=](const Tensor& g) -> Gradients {
        Tensor dx = Tensor::uninitialized(in);
        average_pool_backward<Real>(s, g.data(), true, dx.mutable_data());
        return {dx};
      },
      [&o] { return attributes_of(o); });
}

Var global_avg_pool2d(const Var& x) {
  check(x.shape().rank() == 4, "global_avg_pool2d: given x ", x.shape(), ", expected (N, H, W, C)");
  const Shape in = x.shape();
  check(in[1] * in[2] > 0, "global_avg_pool2d: given x ", in, ", expected images with pixels");
  const Tensor y = image_by_image({in[0], in[3]}, ComputeType::real, x.value(),
                                  [&](std::int64_t, std::int64_t images, const Real* some, Real* means) {
                                    global_average_pool_forward<Real>(images, in[1] * in[2], in[3], some, means);
                                  });
  return record("global_avg_pool2d", y, {x}, [in, type = compute_type()](const Tensor& g) -> Gradients {
    return {image_by_image(in, type, g, [&](std::int64_t, std::int64_t images, const Real* dy, Real* dx) {
      global_average_pool_backward<Real>(images, in[1] * in[2], in[3], dy, dx);
    })};
  });
}

Var subsample2d(const Var& x, HeightWidth stride, std::int64_t channels, std::int64_t before) {
  check(x.shape().rank() == 4 && stride.in_range(1) && channels >= 0, "subsample2d: given x ", x.shape(), ", strides ",
        stride.h, " and ", stride.w, ", ", channels,
        " channels more, expected (N, H, W, C), at least 1 and at least 0");
  check(before >= 0 && before <= channels, "subsample2d: given ", before, " of ", channels,
        " channels in front, expected 0 to all");
  const Shape in = x.shape();
  const Subsample s{in[0], in[1], in[2], in[3], stride.h, stride.w, in[3] + channels, before};
  auto backward = [=](const Tensor& g) -> Gradients {
    Tensor dx = Tensor::uninitialized(in);
    Real* out = dx.mutable_data();
    const Real* dy = g.data();
    parallel_for(s.batch, [&](std::int64_t n) { s.backward(dy + n * s.out_image(), out + n * s.image()); });
    return {dx};
  };
  return record("subsample2d", subsampled(s, x.value()), {x}, std::move(backward), [&] {
    return Attributes{{"stride", stride.extents()}, {"channels", channels}, {"before", before}};
  });
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
