#include "core/base/conv.h"

#include <doctest/doctest.h>

#include <ostream>
#include <string>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "tests/support/sums_of_products.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::string name(const ConvShape& s) {
  return cat("batch ", s.batch, " image ", s.height, "x", s.width, "x", s.in_channels, " to ", s.out_channels,
             " kernel ", s.kernel_h, "x", s.kernel_w, " stride ", s.stride_h, ",", s.stride_w, " pad ",
             s.pad_h, ",", s.pad_w, " dilation ", s.dilation_h, ",", s.dilation_w, " groups ", s.groups);
}

std::int64_t x_size(const ConvShape& s) { return s.batch * s.height * s.width * s.in_channels; }
std::int64_t y_size(const ConvShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }
std::int64_t weight_size(const ConvShape& s) {
  return s.out_channels * s.kernel_h * s.kernel_w * s.in_channels / s.groups;
}

// The definition: calls f(index in x, index in weight, index in y) for every product that the convolution
// sums.
template <class F>
void for_each_product(const ConvShape& s, F&& f) {
  const std::int64_t ci = s.in_channels / s.groups, co = s.out_channels / s.groups;
  for (std::int64_t n = 0; n < s.batch; ++n)
    for (std::int64_t oy = 0; oy < s.out_height(); ++oy)
      for (std::int64_t ox = 0; ox < s.out_width(); ++ox)
        for (std::int64_t ky = 0; ky < s.kernel_h; ++ky)
          for (std::int64_t kx = 0; kx < s.kernel_w; ++kx) {
            const std::int64_t iy = oy * s.stride_h - s.pad_h + ky * s.dilation_h;
            const std::int64_t ix = ox * s.stride_w - s.pad_w + kx * s.dilation_w;
            if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
            for (std::int64_t o = 0; o < s.out_channels; ++o)
              for (std::int64_t c = 0; c < ci; ++c)
                f(((n * s.height + iy) * s.width + ix) * s.in_channels + o / co * ci + c,
                  ((o * s.kernel_h + ky) * s.kernel_w + kx) * ci + c,
                  ((n * s.out_height() + oy) * s.out_width() + ox) * s.out_channels + o);
          }
}

template <class T>
double at(const std::vector<T>& values, std::int64_t i) {
  return static_cast<double>(values[static_cast<std::size_t>(i)]);
}

template <class T>
struct Case {
  ConvShape s;
  std::vector<T> x, weight, bias, dy;

  Case(const ConvShape& shape, Fill fill)
      : s(shape),
        x(filled<T>(x_size(s), fill, 1)),
        weight(filled<T>(weight_size(s), fill, 2)),
        bias(filled<T>(s.out_channels, fill, 3)),
        dy(filled<T>(y_size(s), fill, 4)) {}

  std::vector<T> forward(bool with_bias) const {
    std::vector<T> y(dy.size(), T{77});
    conv2d_forward(s, x.data(), weight.data(), with_bias ? bias.data() : nullptr, y.data());
    return y;
  }
  std::vector<T> backward_data() const {
    std::vector<T> dx(x.size(), T{77});
    conv2d_backward_data(s, dy.data(), weight.data(), dx.data());
    return dx;
  }
  std::vector<T> backward_weight() const {
    std::vector<T> dweight(weight.size(), T{77});
    conv2d_backward_weight(s, x.data(), dy.data(), dweight.data());
    return dweight;
  }

  ReferenceSums reference_forward(bool with_bias) const {
    ReferenceSums sums(y_size(s));
    for (std::int64_t i = 0; with_bias && i < y_size(s); ++i) sums.add(i, at(bias, i % s.out_channels), 1);
    for_each_product(s, [&](auto ix, auto iw, auto iy) { sums.add(iy, at(x, ix), at(weight, iw)); });
    return sums;
  }
  ReferenceSums reference_backward_data() const {
    ReferenceSums sums(x_size(s));
    for_each_product(s, [&](auto ix, auto iw, auto iy) { sums.add(ix, at(dy, iy), at(weight, iw)); });
    return sums;
  }
  ReferenceSums reference_backward_weight() const {
    ReferenceSums sums(weight_size(s));
    for_each_product(s, [&](auto ix, auto iw, auto iy) { sums.add(iw, at(x, ix), at(dy, iy)); });
    return sums;
  }
};

template <class T>
void check_convolution(const ConvShape& s) {
  for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
    INFO(name(s), fill == Fill::kIntegers ? ", integers" : ", reals");
    const Case<T> c(s, fill);
    CHECK(worst_error(c.forward(false), c.reference_forward(false)) <= allowed_error(fill));
    CHECK(worst_error(c.forward(true), c.reference_forward(true)) <= allowed_error(fill));
    CHECK(worst_error(c.backward_data(), c.reference_backward_data()) <= allowed_error(fill));
    CHECK(worst_error(c.backward_weight(), c.reference_backward_weight()) <= allowed_error(fill));
  }
}

// One thread while it lives: thousands of small convolutions are not worth waking threads, least of all on a
// machine that is busy with other tests. The cut into tasks is the same.
struct OneThread {
  int before = num_threads();
  OneThread() { set_num_threads(1); }
  ~OneThread() { set_num_threads(before); }
};

template <class F>
void with_each_table(F&& f) {
  for (const Kernels* table : all_kernels()) {
    INFO("kernels ", std::string(table->name));
    use_kernels(table->name);
    f();
  }
  use_kernels("auto");
}

template <class T, class From, class Map>
std::vector<T> mapped(const std::vector<From>& from, Map map) {
  std::vector<T> to;
  for (const From& v : from) to.push_back(static_cast<T>(map(v)));
  return to;
}

// The convolution in double stands in for the definition, which is slow on large layers: of the values, and
// of the magnitudes that errors are measured by.
void check_layer(const ConvShape& s) {
  const Case<float> c(s, Fill::kReals);
  Case<double> value(ConvShape{}, Fill::kReals), magnitude = value;
  for (Case<double>* reference : {&value, &magnitude}) {
    const auto map = [&](float v) { return reference == &value ? static_cast<double>(v) : std::abs(v); };
    reference->s = s;
    reference->x = mapped<double>(c.x, map);
    reference->weight = mapped<double>(c.weight, map);
    reference->bias = mapped<double>(c.bias, map);
    reference->dy = mapped<double>(c.dy, map);
  }
  const auto sums = [](std::vector<double> values, std::vector<double> magnitudes) {
    ReferenceSums both(0);
    both.value = std::move(values);
    both.magnitude = std::move(magnitudes);
    return both;
  };
  const ReferenceSums y = sums(value.forward(true), magnitude.forward(true));
  const ReferenceSums dx = sums(value.backward_data(), magnitude.backward_data());
  const ReferenceSums dweight = sums(value.backward_weight(), magnitude.backward_weight());
  with_each_table([&] {
    INFO(name(s));
    CHECK(worst_error(c.forward(true), y) <= allowed_error(Fill::kReals));
    CHECK(worst_error(c.backward_data(), dx) <= allowed_error(Fill::kReals));
    CHECK(worst_error(c.backward_weight(), dweight) <= allowed_error(Fill::kReals));
  });
}

ConvShape square(std::int64_t batch, std::int64_t size, std::int64_t in, std::int64_t out,
                 std::int64_t kernel, std::int64_t stride, std::int64_t pad) {
  return {.batch = batch,
          .height = size,
          .width = size,
          .in_channels = in,
          .out_channels = out,
          .kernel_h = kernel,
          .kernel_w = kernel,
          .stride_h = stride,
          .stride_w = stride,
          .pad_h = pad,
          .pad_w = pad};
}

// Every combination of channels, kernel, stride and padding, on images that change from one to the next.
template <class F>
void for_each_ordinary_shape(F&& f) {
  int turn = 0;
  for (std::int64_t in : {1, 3, 5, 16, 17, 33})
    for (std::int64_t out : {1, 3, 5, 16, 17, 33})
      for (std::int64_t kernel : {1, 2, 3, 4, 5})
        for (std::int64_t stride : {1, 2, 3})
          for (std::int64_t pad : {0, 1, 2, 3}) {
            const int t = turn++;
            if (in * out > 100 && t % 5 != 0) continue;  // the naive reference is slow there
            ConvShape s = square(t % 7 ? t % 3 : 3, 1, in, out, kernel, stride, pad);
            s.height = 1 + t % 11, s.width = 1 + t % 8;
            if (s.out_height() >= 0 && s.out_width() >= 0) f(s);
          }
}

// Rows and columns differ in everything; groups and dilation.
template <class F>
void for_each_unusual_shape(F&& f) {
  for (std::int64_t i = 0; i < 120; ++i) {
    const std::int64_t groups = i % 4 + 1;
    const ConvShape s{.batch = i % 3,
                      .height = 3 + i % 7,
                      .width = 2 + i % 9,
                      .in_channels = groups * (1 + i % 5),
                      .out_channels = groups * (1 + i % 6),
                      .kernel_h = 1 + i % 4,
                      .kernel_w = 1 + i % 3,
                      .stride_h = 1 + i % 3,
                      .stride_w = 1 + i / 2 % 3,
                      .pad_h = i % 5,
                      .pad_w = i / 3 % 4,
                      .dilation_h = 1 + i / 4 % 3,
                      .dilation_w = 1 + i / 5 % 2,
                      .groups = groups};
    if (s.out_height() >= 0 && s.out_width() >= 0) f(s);
  }
}

const std::initializer_list<ConvShape> kCorners = {
    square(2, 1, 1, 1, 1, 1, 0),  // one element
    square(1, 1, 1, 1, 1, 1, 3),  // nothing but padding around one element
    square(2, 2, 3, 5, 3, 1, 5),  // padding larger than the image and than the kernel reaches
    square(2, 1, 5, 3, 2, 2, 1), square(3, 0, 3, 4, 1, 1, 1),  // an image without pixels
    square(0, 5, 3, 4, 3, 1, 1), square(1, 5, 3, 4, 1, 4, 0),  // a stride that skips input
    square(2, 9, 2, 3, 2, 5, 1),
};

// Layers of the networks of the papers, the batch large enough for several tasks.
const std::initializer_list<ConvShape> kLayers = {
    square(9, 28, 1, 32, 5, 1, 0),   square(9, 12, 32, 64, 5, 1, 0),  square(3, 32, 3, 16, 3, 1, 1),
    square(3, 32, 16, 16, 3, 1, 1),  square(3, 32, 16, 32, 3, 2, 1),  square(5, 16, 32, 32, 3, 1, 1),
    square(5, 16, 32, 64, 3, 2, 1),  square(5, 8, 64, 64, 3, 1, 1),   square(3, 32, 16, 32, 1, 2, 0),
    square(3, 8, 128, 256, 3, 1, 1), square(5, 4, 256, 512, 3, 1, 1), square(17, 2, 512, 512, 3, 1, 1)};

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("convolutions in float: integers exactly, reals within the bound, on every kernel table") {
    const OneThread one;
    with_each_table([] {
      for_each_ordinary_shape(check_convolution<float>);
      for_each_unusual_shape(check_convolution<float>);
      for (const ConvShape& s : kCorners) check_convolution<float>(s);
    });
  }

  TEST_CASE("convolutions in double: integers exactly, reals within the bound") {
    const OneThread one;
    for_each_unusual_shape(check_convolution<double>);
    for (const ConvShape& s : kCorners) check_convolution<double>(s);
    for_each_ordinary_shape([turn = 0](const ConvShape& s) mutable {
      if (turn++ % 7 == 0) check_convolution<double>(s);
    });
  }

  TEST_CASE("convolutions of the networks' layers agree with those in double, on every kernel table") {
    for (const ConvShape& s : kLayers) check_layer(s);
  }

  TEST_CASE("convolutions of the networks' layers give the same bits with 1 and with 2 threads") {
    const int before = num_threads();
    with_each_table([] {
      for (const ConvShape& s : kLayers) {
        INFO(name(s));
        const Case<float> c(s, Fill::kReals);
        set_num_threads(1);
        const auto y = c.forward(true), dx = c.backward_data(), dweight = c.backward_weight();
        set_num_threads(2);
        CHECK(c.forward(true) == y);
        CHECK(c.backward_data() == dx);
        CHECK(c.backward_weight() == dweight);
      }
    });
    set_num_threads(before);
  }

  TEST_CASE("a kernel that does not fit into the padded image, and groups that do not divide, are errors") {
    float nothing = 0;
    const ConvShape large_kernel = square(1, 1, 1, 1, 4, 2, 1), room_for_stride = square(1, 1, 1, 1, 2, 2, 0);
    ConvShape uneven = square(1, 3, 4, 6, 1, 1, 0);
    uneven.groups = 4;
    for (const ConvShape& s : {large_kernel, room_for_stride, uneven}) {
      INFO(name(s));
      CHECK_THROWS_AS(conv2d_forward(s, &nothing, &nothing, &nothing, &nothing), Error);
      CHECK_THROWS_AS(conv2d_backward_data(s, &nothing, &nothing, &nothing), Error);
      CHECK_THROWS_AS(conv2d_backward_weight(s, &nothing, &nothing, &nothing), Error);
    }
  }

  TEST_CASE("the comparison catches one product too few in one output") {
    for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
      const Case<float> c(square(2, 6, 17, 5, 3, 1, 1), fill);
      ReferenceSums y = c.reference_forward(true), dx = c.reference_backward_data();
      ReferenceSums dweight = c.reference_backward_weight();
      y.add(y_size(c.s) - 1, 1, 1);
      dx.add(x_size(c.s) - 1, 1, 1);
      dweight.add(weight_size(c.s) - 1, 1, 1);
      CHECK(worst_error(c.forward(true), y) > allowed_error(fill));
      CHECK(worst_error(c.backward_data(), dx) > allowed_error(fill));
      CHECK(worst_error(c.backward_weight(), dweight) > allowed_error(fill));
    }
  }
}
