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
std::int64_t image_size(const ConvShape& s) { return s.height * s.width * s.in_channels; }
}  // namespace

template <class T>
void conv2d_forward(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* weight, const T* bias, T* y) {
  s.validate("conv2d_forward");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers(s)) return winograd::forward(s, x, weight, bias, y);
    if (direct::covers(s)) return direct::forward(s, x, weight, bias, y);
  }
  columns::forward(s, ElementWindow<T>(x, 0, s.batch * image_size(s)).data(), weight, bias, y);
}

template <class T>
void conv2d_backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx) {
  s.validate("conv2d_backward_data");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers(s)) return winograd::backward_data(s, dy, weight, dx);
    if (direct::covers(s)) return direct::backward_data(s, dy, weight, dx);
  }
  columns::backward_data(s, dy, weight, dx);
}

template <class T>
void conv2d_backward_weight(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* dy, T* dweight) {
  s.validate("conv2d_backward_weight");
  if constexpr (std::is_same_v<T, float>) {
    if (winograd::covers(s)) return winograd::backward_weight(s, x, dy, dweight);
    if (direct::covers(s)) return direct::backward_weight(s, x, dy, dweight);
  }
  columns::backward_weight(s, ElementWindow<T>(x, 0, s.batch * image_size(s)).data(), dy, dweight);
}

template void conv2d_forward(const ConvShape&, Elements<float>, const float*, const float*, float*);
template void conv2d_forward(const ConvShape&, Elements<double>, const double*, const double*, double*);
template void conv2d_backward_data(const ConvShape&, const float*, const float*, float*);
template void conv2d_backward_data(const ConvShape&, const double*, const double*, double*);
template void conv2d_backward_weight(const ConvShape&, Elements<float>, const float*, float*);
template void conv2d_backward_weight(const ConvShape&, Elements<double>, const double*, double*);

}  // namespace coarsegrad
