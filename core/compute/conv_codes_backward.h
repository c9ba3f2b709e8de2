#pragma once
// Backward pass of convolutions and dense layers (1x1 images) on codes: the gradient of the output, the weight and the
// input are bytes on uniform grids (core/compute/levels.h), and their products are summed as integers. Bitwise the same
// for any number of threads, and on every kernel table.
//
// With g = step_g (k - zero_g) + rest_g for an element of the gradient, and w and x multiples of their steps,
//   sum of g w = step_g step_w I + rest_g step_w W,  I = sum of (k - zero_g) (w / step_w), W = sum of w / step_w,
// over what meets no padding; I and W are exact integers, likewise for x. So the result is that of the float
// convolutions on the same elements but for the roundings of these: elements are rounded to float by half an epsilon
// each, and the sum by up to four roundings here. The two differ by at most 20 epsilons of the sum of the magnitudes of
// the products, and by 4 more than what conv.h states for Winograd's algorithm where that is used.
#include <cstdint>

#include "core/compute/conv.h"
#include "core/compute/levels.h"

namespace coarsegrad {

/// Whether conv2d_backward_data_codes() takes these: no groups, no dilation, at most 33025 products for an element of
/// dx, whose sum fits into 32 bits; unsigned codes of dy with one grid, or one for each image; one grid for the weight
/// with 0 among its levels.
bool backward_data_on_codes(const ConvShape& s, const LeveledCodes& dy, const LeveledCodes& weight);
/// dx = a I + b W with a = step_g step_w and b = rest_g step_w of the image, both rounded to float; I, W, their
/// products with a and b and the sum are rounded to float, too. Layouts as in conv2d_backward_data. Throws Error unless
/// backward_data_on_codes().
void conv2d_backward_data_codes(const ConvShape& s, const LeveledCodes& dy, const LeveledCodes& weight,
                                ElementSink<float> dx);

/// Whether conv2d_backward_weight_codes() takes these: no groups, no dilation, up to 2^23 images; unsigned codes of dy
/// with one grid; codes of x, signed or not, with one grid whose code 0 is the level 0, as padding is.
bool backward_weight_on_codes(const ConvShape& s, const LeveledCodes& x, const LeveledCodes& dy);
/// dweight = step_g step_x I + rest_g step_x X in double, with X the sum of x / step_x, rounded once. I is summed in
/// pieces of 32 bits, the pieces in 64: images may have any size. Layouts as in conv2d_backward_weight. Throws Error
/// unless backward_weight_on_codes().
void conv2d_backward_weight_codes(const ConvShape& s, const LeveledCodes& x, const LeveledCodes& dy, float* dweight);

}  // namespace coarsegrad
