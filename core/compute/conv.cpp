#include "core/compute/conv.h"

#include <type_traits>

#include "core/base/check.h"
#include "core/compute/conv_columns.h"
#include "core/compute/conv_direct.h"
#include "core/compute/conv_winograd.h"

namespace coarsegrad {

void ConvShape::validate(const char* op) const {
  check(out_height() >= 0 && out_width() >= 0, op, ": given an image of ", height, "x", width, " and a kernel of ",
        kernel_h, "x", kernel_w, ", expected an output of at least 0x0");
  check(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0, op, ": given ", groups,
        " groups, expected a divisor of ", in_channels, " and ", out_channels, " channels");
}

namespace {

std::int64_t inputs(const ConvShape& s) { return s.batch * s.height * s.width * s.in_channels; }
std::int64_t outputs(const ConvShape& s) { return s.batch * s.out_height() * s.out_width() * s.out_channels; }

}  // namespace

template <class T>
void conv2d_forward(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* weight, const T* bias,
                    std::type_identity_t<ElementSink<T>> y) {
  s.validate("conv2d_forward");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers(s)) return winograd::forward(s, x, weight, bias, y);
    if (direct::covers(s)) return direct::forward(s, x, weight, bias, y);
  }
  const ElementWindow<T> in(x, 0, inputs(s));
  const SinkWindow<T> out(y, 0, outputs(s));
  columns::forward(s, in.data(), weight, bias, out.data());
}

template <class T>
void conv2d_backward_data(const ConvShape& s, std::type_identity_t<Elements<T>> dy, const T* weight,
                          std::type_identity_t<ElementSink<T>> dx) {
  s.validate("conv2d_backward_data");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers(s)) return winograd::backward_data(s, dy, weight, dx);
    if (direct::covers(s)) return direct::backward_data(s, dy, weight, dx);
  }
  const ElementWindow<T> gradients(dy, 0, outputs(s));
  const SinkWindow<T> out(dx, 0, inputs(s));
  columns::backward_data(s, gradients.data(), weight, out.data());
}

template <class T>
void conv2d_backward_weight(const ConvShape& s, std::type_identity_t<Elements<T>> x,
                            std::type_identity_t<Elements<T>> dy, T* dweight) {
  s.validate("conv2d_backward_weight");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers_weight(s)) return winograd::backward_weight(s, x, dy, dweight);
    if (direct::covers(s)) return direct::backward_weight(s, x, dy, dweight);
  }
  const ElementWindow<T> in(x, 0, inputs(s)), gradients(dy, 0, outputs(s));
  columns::backward_weight(s, in.data(), gradients.data(), dweight);
}

#define COARSEGRAD_INSTANTIATE(T)                                                                  \
  template void conv2d_forward(const ConvShape&, Elements<T>, const T*, const T*, ElementSink<T>); \
  template void conv2d_backward_data(const ConvShape&, Elements<T>, const T*, ElementSink<T>);     \
  template void conv2d_backward_weight(const ConvShape&, Elements<T>, Elements<T>, T*);
COARSEGRAD_INSTANTIATE(float)
COARSEGRAD_INSTANTIATE(double)
#undef COARSEGRAD_INSTANTIATE

}  // namespace coarsegrad
