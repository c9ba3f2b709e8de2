#pragma once
// For tests of convolutions: the three products of one layer, and the same from the definition, in double.
#include <cstdint>
#include <vector>

#include "core/compute/conv.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/sums_of_products.h"

namespace coarsegrad::testing {

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

}  // namespace coarsegrad::testing
