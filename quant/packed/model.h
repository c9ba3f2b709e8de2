#pragma once
// A frozen network as plain data: nodes in the order of execution, each an operation with its own numbers, and edges by
// the numbers of nodes. quant/packed/file.h keeps it in a file, quant/packed/runtime.h carries it out,
// quant/export/freeze.h makes it from a trained network.
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/shape.h"
#include "core/compute/conv.h"
#include "core/compute/pool.h"
#include "core/kernels/activation.h"
#include "quant/packed/weight.h"

namespace coarsegrad::packed {

/// Extents per axis.
struct Extents {
  std::int64_t h,  ///< vertical
      w;           ///< horizontal
  /// Whether both are equal.
  friend bool operator==(const Extents&, const Extents&) = default;
};

// The operations. What they compute is what the ops of these names in core/ops.h compute without a history.

/// Where samples come in: the first node, and no other.
struct Input {
  Shape sample = {};  ///< (H, W, C), or any shape without the axis of the batch
  float scale = 0;    ///< of pixels: signed codes of 8 bits stand for multiples of it; 0: floats come in
};
/// Cross-correlation with padding by zeros.
struct Conv2d {
  Weight weight = {};            ///< (out, kh, kw, in / groups)
  std::vector<float> bias = {};  ///< (out), or none
  Extents stride = {1, 1},       ///< pixels of the input from output to output
      padding = {0, 0},          ///< zeros on either side
      dilation = {1, 1};         ///< pixels of the input from tap to tap
  std::int64_t groups = 1;       ///< parts of the channels that do not mix
};
/// y = x weight^T + bias.
struct Linear {
  Weight weight = {};            ///< (out, in)
  std::vector<float> bias = {};  ///< (out), or none
};
/// y = (x - mean) * factor + shift, channel by channel.
struct Norm {
  std::vector<float> mean = {},  ///< (C)
      factor = {},               ///< (C), the scale divided by the standard deviation
      shift = {};                ///< (C), or none: 0
};
/// Onto a grid: codes, and a scale.
struct Quantize {
  kernels::Quantizer<float> quantizer = {1, 1};  ///< from values to codes
  int bits = 1;                                  ///< of a code, 1 to 8
};
/// Onto levels that are powers of two (AQE): the size of y is the k-th of 0, 2^(1-n), ..., 1/2, 1 where |x| reaches k
/// of n sizes.
struct Levels {
  std::vector<float> sizes = {};  ///< ascending, 1 to 4 of them
  bool binary = false;            ///< one size, 0 is left out: -1 where x does not reach it
};
/// (tanh(x) + 1) / 2.
struct UnitTanh {};
/// max(x, 0).
struct Relu {};
/// |x|.
struct Abs {};
/// min(max(x, lower), upper).
struct Clamp {
  float lower = 0,  ///< least value
      upper = 1;    ///< greatest value
};
/// The sum of two values.
struct Add {};
/// The windows of a pooling.
struct Window {
  Extents kernel = {2, 2},  ///< pixels of a window
      stride = {2, 2},      ///< pixels from window to window
      padding = {0, 0};     ///< at most half the kernel
};
/// The largest element of each window.
struct MaxPool : Window {};
/// The mean of each window, the padded zeros counted.
struct AveragePool : Window {};
/// The mean of each channel: (H, W, C) -> (C).
struct GlobalAveragePool {};
/// Every `stride`-th pixel, with zeros as additional channels.
struct Subsample {
  Extents stride = {1, 1};    ///< pixels of the input from output to output
  std::int64_t channels = 0,  ///< additional channels
      before = 0;             ///< of these in front of the others
};
/// The same elements under another shape.
struct Reshape {
  Shape sample = {};  ///< of the output, without the axis of the batch
};

/// What a node does.
using Operation = std::variant<Input, Conv2d, Linear, Norm, Quantize, Levels, UnitTanh, Relu, Abs, Clamp, Add, MaxPool,
                               AveragePool, GlobalAveragePool, Subsample, Reshape>;
/// "conv2d", "norm", ...: the name of the operation in a file.
std::string_view name_of(const Operation& operation);
/// The operation of that name, with nothing set. Throws Error for an unknown name.
Operation operation_named(std::string_view name);

/// Nodes of the largest model, and bytes of the longest name of a node.
inline constexpr std::int64_t kMostNodes = 1 << 14;
inline constexpr std::size_t kMostNameBytes = 256;

/// A value and the operation that it comes from.
struct Node {
  std::string name = {};         ///< unique; of the module, where it comes from one
  Operation operation = {};      ///< what it does
  std::vector<int> inputs = {};  ///< numbers of earlier nodes
};

/// A frozen network.
struct Model {
  std::vector<Node> nodes = {};                      ///< in the order of execution; the last one is the output
  std::map<std::string, std::string> metadata = {};  ///< free text
};

/// The weight of a convolution or a dense layer; null for other operations.
const Weight* weight_of(const Operation& operation);

/// The sizes of a convolution and of a pooling of so many samples of shape x, (H, W, C).
ConvShape conv_shape(const Conv2d& o, std::int64_t batch, const Shape& x);
PoolShape pool_shape(const Window& o, std::int64_t batch, const Shape& x);

/// The shape of every node's value without the axis of the batch. Throws Error, naming the node, unless the model is
/// sound: it has 2 to kMostNodes nodes; the operations have as many inputs as they take, all of them earlier nodes;
/// names are unique, have 1 to kMostNameBytes bytes, none of them blank, line break, comma or '=', and do not begin with
/// a dot; shapes, numbers and ranges fit together; every float is finite; and no value has more than 2^28 elements.
std::vector<Shape> check_model(const Model& model);

/// overloaded{...}: one function of several lambdas, for std::visit.
template <class... Functions>
struct overloaded : Functions... {
  using Functions::operator()...;
};
/// For clang before 17, which does not deduce the arguments of aggregates.
template <class... Functions>
overloaded(Functions...) -> overloaded<Functions...>;

}  // namespace coarsegrad::packed
