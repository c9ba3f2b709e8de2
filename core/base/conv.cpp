#include "core/base/conv.h"

#include <type_traits>

#include "core/base/check.h"
#include "core/base/conv_columns.h"
#include "core/base/conv_direct.h"

namespace coarsegrad {
namespace {

void check_shape(const char* op, const ConvShape& s) {
  check(s.out_height() >= 0 && s.out_width() >= 0, op, ": given an image of ", s.height, "x", s.width,
        " and a kernel of ", s.kernel_h, "x", s.kernel_w, ", expected an output of at least 0x0");
  check(s.groups > 0 && s.in_channels % s.groups == 0 && s.out_channels % s.groups == 0, op, ": given ",
        s.groups, " groups, expected a divisor of ", s.in_channels, " and ", s.out_channels, " channels");
}

std::int64_t image_size(const ConvShape& s) { return s.height * s.width * s.in_channels; }

}  // namespace

template <class T>
void conv2d_forward(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* weight, const T* bias,
                    T* y) {
  check_shape("conv2d_forward", s);
  if constexpr (std::is_same_v<T, float>)
    if (direct::covers(s)) return direct::forward(s, x, weight, bias, y);
  columns::forward(s, Window<T>(x, 0, s.batch * image_size(s)).data(), weight, bias, y);
}

template <class T>
void conv2d_backward_data(const ConvShape& s, const T* dy, const T* weight, T* dx) {
  check_shape("conv2d_backward_data", s);
  if constexpr (std::is_same_v<T, float>)
    if (direct::covers(s)) return direct::backward_data(s, dy, weight, dx);
  columns::backward_data(s, dy, weight, dx);
}

template <class T>
void conv2d_backward_weight(const ConvShape& s, std::type_identity_t<Elements<T>> x, const T* dy,
                            T* dweight) {
  check_shape("conv2d_backward_weight", s);
  if constexpr (std::is_same_v<T, float>)
    if (direct::covers(s)) return direct::backward_weight(s, x, dy, dweight);
  columns::backward_weight(s, Window<T>(x, 0, s.batch * image_size(s)).data(), dy, dweight);
}

template void conv2d_forward(const ConvShape&, Elements<float>, const float*, const float*, float*);
template void conv2d_forward(const ConvShape&, Elements<double>, const double*, const double*, double*);
template void conv2d_backward_data(const ConvShape&, const float*, const float*, float*);
template void conv2d_backward_data(const ConvShape&, const double*, const double*, double*);
template void conv2d_backward_weight(const ConvShape&, Elements<float>, const float*, float*);
template void conv2d_backward_weight(const ConvShape&, Elements<double>, const double*, double*);

}  // namespace coarsegrad
