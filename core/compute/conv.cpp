#include "core/compute/conv.h"

#include <type_traits>

#include "core/base/check.h"
#include "core/compute/conv_columns.h"
#include "core/compute/conv_direct.h"
#include "core/compute/conv_winograd.h"
#include "core/compute/float_weights.h"

namespace coarsegrad {

void ConvShape::validate(const char* op) const {
  check(out_height() >= 0 && out_width() >= 0, op, ": given an image of ", height, "x", width, " and a kernel of ",
        kernel_h, "x", kernel_w, ", expected an output of at least 0x0");
  check(groups > 0 && in_channels % groups == 0 && out_channels % groups == 0, op, ": given ", groups,
        " groups, expected a divisor of ", in_channels, " and ", out_channels, " channels");
}

template <class T>
void conv2d_forward(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* weight, const T* bias,
                    std::type_identity_t<ElementSink<T>> y) {
  if constexpr (std::is_same_v<T, float>) {
    FloatWeights(s, weight).forward(s.batch, x, bias, y);
  } else {
    s.validate("conv2d_forward");
    const ElementWindow<T> in(x, 0, s.inputs());
    const SinkWindow<T> out(y, 0, s.outputs());
    columns::forward(s, in.data(), weight, bias, out.data());
  }
}

template <class T>
void conv2d_backward_data(const ConvShape& s, std::type_identity_t<Elements<T>> dy, const T* weight,
                          std::type_identity_t<ElementSink<T>> dx) {
  s.validate("conv2d_backward_data");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers_data(s)) return winograd::backward_data(s, dy, weight, dx);
    if (direct::covers(s)) return direct::backward_data(s, dy, weight, dx);
  }
  const ElementWindow<T> gradients(dy, 0, s.outputs());
  const SinkWindow<T> out(dx, 0, s.inputs());
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
  const ElementWindow<T> in(x, 0, s.inputs()), gradients(dy, 0, s.outputs());
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
