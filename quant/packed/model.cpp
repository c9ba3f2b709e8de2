#include "quant/packed/model.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/short_text.h"
#include "core/compute/activation.h"
#include "core/compute/conv.h"
#include "core/compute/pool.h"

namespace coarsegrad::packed {
namespace {

constexpr std::string_view kNames[] = {"input",        "conv2d", "linear",    "norm",   "quantize", "levels",
                                       "unit_tanh",    "relu",   "abs",       "clamp",  "add",      "max_pool",
                                       "average_pool", "mean",   "subsample", "reshape"};
static_assert(std::size(kNames) == std::variant_size_v<Operation>);

constexpr std::int64_t kMostElements = std::int64_t{1} << 28, kMostPixels = std::int64_t{1} << 20;

std::size_t inputs_of(const Operation& operation) {
  return std::holds_alternative<Input>(operation) ? 0 : std::holds_alternative<Add>(operation) ? 2 : 1;
}

bool in_range(const Extents& e, std::int64_t least) {
  return e.h >= least && e.w >= least && e.h <= kMostPixels && e.w <= kMostPixels;
}

void expect_finite(const std::vector<float>& numbers) {
  check(std::ranges::all_of(numbers, [](float v) { return std::isfinite(v); }), "given a number that is not finite");
}

// Numbers for each of so many channels, or none where they may be left out.
void expect_channels(const char* what, const std::vector<float>& numbers, std::int64_t channels, bool optional) {
  check(std::ssize(numbers) == channels || (optional && numbers.empty()), "given ", numbers.size(), " of ", what,
        ", expected one for each of ", channels, " channels");
  expect_finite(numbers);
}

// The shape of an operation's value from those of its inputs.
class OutputShape {
 public:
  explicit OutputShape(std::vector<Shape> inputs) : inputs_(std::move(inputs)) {}

  Shape operator()(const Input& o) const {
    check(o.sample.rank() >= 1, "given a sample of shape ", o.sample, ", expected an axis or more");
    check(std::isfinite(o.scale) && (o.scale == 0 || o.scale >= std::numeric_limits<float>::min()), "given the scale ",
          o.scale, " of pixels, expected a positive number, or 0 for floats");
    return o.sample;
  }
  Shape operator()(const Conv2d& o) const {
    const Shape x = image();
    check_weight(o.weight);
    check(o.weight.shape.rank() == 4, "given a weight of shape ", o.weight.shape, ", expected (out, kh, kw, in)");
    check(in_range(o.stride, 1) && in_range(o.dilation, 1) && in_range(o.padding, 0) && o.groups >= 1 &&
              o.groups <= x[2] && o.weight.shape[3] * o.groups == x[2] && o.weight.shape[0] % o.groups == 0,
          "given a stride, padding or dilation out of range, or ", o.groups, " groups and a weight of ", o.weight.shape,
          " for ", x, ", expected as many channels as the input has");
    expect_channels("bias", o.bias, o.weight.shape[0], true);
    const ConvShape s = conv_shape(o, 1, x);
    s.validate("conv2d");
    return {s.out_height(), s.out_width(), s.out_channels};
  }
  Shape operator()(const Linear& o) const {
    check_weight(o.weight);
    check(inputs_[0].rank() == 1 && o.weight.shape.rank() == 2 && o.weight.shape[1] == inputs_[0][0],
          "given a weight of ", o.weight.shape, " for ", inputs_[0], ", expected (out, in) and (in)");
    expect_channels("bias", o.bias, o.weight.shape[0], true);
    return {o.weight.shape[0]};
  }
  Shape operator()(const Norm& o) const {
    const std::int64_t channels = inputs_[0][-1];
    expect_channels("mean", o.mean, channels, false);
    expect_channels("factor", o.factor, channels, false);
    expect_channels("shift", o.shift, channels, true);
    return inputs_[0];
  }
  Shape operator()(const Quantize& o) const {
    check_quantizer(o.quantizer);
    check(o.bits >= 1 && o.bits <= 8 && o.quantizer.levels < 1 << o.bits, "given ", o.quantizer.levels,
          " levels above 0 with ", o.bits, " bits, expected less than 2^bits");
    return inputs_[0];
  }
  Shape operator()(const Levels& o) const {
    const auto count = std::ssize(o.sizes);
    check(count >= 1 && count <= kMostLinear && (!o.binary || count == 1), "given ", count,
          " sizes of levels, expected 1 to 4, and 1 without a level of 0");
    expect_finite(o.sizes);
    check(o.sizes.front() > 0 && std::ranges::is_sorted(o.sizes), "given sizes of levels that do not ascend from 0");
    return inputs_[0];
  }
  Shape operator()(const Clamp& o) const {
    check(std::isfinite(o.lower) && std::isfinite(o.upper) && o.lower <= o.upper, "given bounds ", o.lower, " and ",
          o.upper, ", expected finite ones in order");
    return inputs_[0];
  }
  Shape operator()(const Add&) const {
    check(inputs_[0] == inputs_[1], "given ", inputs_[0], " and ", inputs_[1], ", expected equal shapes");
    return inputs_[0];
  }
  Shape operator()(const MaxPool& o) const { return pooled(o); }
  Shape operator()(const AveragePool& o) const { return pooled(o); }
  Shape operator()(const GlobalAveragePool&) const { return {image()[2]}; }
  Shape operator()(const Subsample& o) const {
    const Shape x = image();
    check(in_range(o.stride, 1) && o.channels >= 0 && o.channels <= kMostPixels && o.before >= 0 &&
              o.before <= o.channels,
          "given strides ", o.stride.h, " and ", o.stride.w, " and ", o.before, " of ", o.channels,
          " channels in front, expected strides from 1 on and 0 to all");
    return {(x[0] + o.stride.h - 1) / o.stride.h, (x[1] + o.stride.w - 1) / o.stride.w, x[2] + o.channels};
  }
  Shape operator()(const Reshape& o) const {
    check(o.sample.rank() >= 1 && o.sample.numel() == inputs_[0].numel(), "given ", inputs_[0], " for ", o.sample,
          ", expected as many elements");
    return o.sample;
  }
  Shape operator()(const UnitTanh&) const { return inputs_[0]; }
  Shape operator()(const Relu&) const { return inputs_[0]; }
  Shape operator()(const Abs&) const { return inputs_[0]; }

 private:
  Shape image() const {
    check(inputs_[0].rank() == 3, "given ", inputs_[0], ", expected (H, W, C)");
    return inputs_[0];
  }
  Shape pooled(const Window& o) const {
    const Shape x = image();
    check(in_range(o.kernel, 1) && in_range(o.stride, 1) && in_range(o.padding, 0) &&
              o.kernel.h * o.kernel.w <= 65536 && 2 * o.padding.h <= o.kernel.h && 2 * o.padding.w <= o.kernel.w,
          "given a window of ", o.kernel.h, " x ", o.kernel.w,
          ", expected 1 to 65536 places, strides from 1 on and at most half of it as padding");
    const PoolShape s = pool_shape(o, 1, x);
    check(s.out_height() > 0 && s.out_width() > 0, "given a window that does not fit into ", x);
    return {s.out_height(), s.out_width(), x[2]};
  }

  const std::vector<Shape> inputs_;
};

void check_name(const std::string& name, std::set<std::string>& names) {
  const bool is_new = names.insert(name).second;
  check(is_new, "given a name that another node has");
  check(!name.empty() && name.size() <= kMostNameBytes && name[0] != '.' &&
            name.find_first_of(" \n,=") == std::string::npos,
        "given such a name, expected 1 to ", kMostNameBytes,
        " bytes without blanks, line breaks, commas and '=', and no dot in front");
}

Shape shape_of(const Node& node, int number, const std::vector<Shape>& shapes) {
  check(node.inputs.size() == inputs_of(node.operation), "given ", node.inputs.size(), " inputs, expected ",
        inputs_of(node.operation));
  check((number == 0) == std::holds_alternative<Input>(node.operation),
        "given an input at another place than the first, or another node there");
  std::vector<Shape> inputs;
  for (const int from : node.inputs) {
    check(from >= 0 && from < number, "given the input number ", from, ", expected an earlier node");
    inputs.push_back(shapes[static_cast<std::size_t>(from)]);
  }
  const Shape shape = std::visit(OutputShape(std::move(inputs)), node.operation);
  check(shape.rank() < Shape::kMaxRank && shape.numel() >= 1 && shape.numel() <= kMostElements, "given a value of ",
        shape, ", expected 1 to ", kMostElements, " elements and an axis for the batch");
  return shape;
}

}  // namespace

ConvShape conv_shape(const Conv2d& o, std::int64_t batch, const Shape& x) {
  const Shape& w = o.weight.shape;
  return {batch,      x[0],       x[1],        x[2],        w[0],         w[1],         w[2],
          o.stride.h, o.stride.w, o.padding.h, o.padding.w, o.dilation.h, o.dilation.w, o.groups};
}

PoolShape pool_shape(const Window& o, std::int64_t batch, const Shape& x) {
  return {batch, x[0], x[1], x[2], o.kernel.h, o.kernel.w, o.stride.h, o.stride.w, o.padding.h, o.padding.w};
}

std::string_view name_of(const Operation& operation) { return kNames[operation.index()]; }

Operation operation_named(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  check(found != std::end(kNames), "given the operation ", in_quotes(name), ", which is unknown");
  const auto wanted = static_cast<std::size_t>(found - std::begin(kNames));
  Operation operation;
  [&]<std::size_t... i>(std::index_sequence<i...>) {
    (static_cast<void>(i == wanted && (operation.emplace<i>(), true)), ...);
  }
  (std::make_index_sequence<std::variant_size_v<Operation>>());
  return operation;
}

const Weight* weight_of(const Operation& operation) {
  if (const auto* conv = std::get_if<Conv2d>(&operation)) return &conv->weight;
  if (const auto* linear = std::get_if<Linear>(&operation)) return &linear->weight;
  return nullptr;
}

std::vector<Shape> check_model(const Model& model) {
  check(model.nodes.size() >= 2 && std::ssize(model.nodes) <= kMostNodes, "packed model: given ", model.nodes.size(),
        " nodes, expected an input, an output and at most ", kMostNodes);
  std::vector<Shape> shapes;
  std::set<std::string> names;
  for (const Node& node : model.nodes) try {
      check_name(node.name, names);
      shapes.push_back(shape_of(node, static_cast<int>(shapes.size()), shapes));
    } catch (const Error& e) {
      throw Error(cat("packed model: ", name_of(node.operation), " ", in_quotes(node.name), ": ", e.what()));
    }
  return shapes;
}

}  // namespace coarsegrad::packed
