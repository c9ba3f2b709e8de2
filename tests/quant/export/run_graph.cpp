#include "tests/quant/export/run_graph.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <span>

#include "core/base/check.h"

namespace coarsegrad::testing {
namespace {

using onnx::AttributeProto;
using onnx::NodeProto;
using onnx::TensorProto;
using Inputs = std::vector<const Array*>;

Shape shape_of(const std::vector<std::int64_t>& extents) { return {extents.data(), static_cast<int>(extents.size())}; }
std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// The attributes of a node. Each has to be asked for.
class Attributes {
 public:
  explicit Attributes(const NodeProto& node) {
    for (const AttributeProto& a : node.attribute()) all_[a.name()] = &a;
  }
  std::int64_t integer(const char* name) { return take(name, AttributeProto::INT).i(); }
  std::int64_t integer_or(const char* name, std::int64_t otherwise) {
    return all_.contains(name) ? integer(name) : otherwise;
  }
  float number(const char* name) { return take(name, AttributeProto::FLOAT).f(); }
  std::string text(const char* name) { return take(name, AttributeProto::STRING).s(); }
  std::vector<std::int64_t> integers(const char* name) {
    const auto& ints = take(name, AttributeProto::INTS).ints();
    return {ints.begin(), ints.end()};
  }
  void expect_none() const {
    check(all_.empty(), "given the attribute ", all_.empty() ? "" : all_.begin()->first, ", which is unknown");
  }

 private:
  const AttributeProto& take(const char* name, AttributeProto::AttributeType type) {
    const auto entry = all_.extract(name);
    check(!entry.empty() && entry.mapped()->type() == type, "given no attribute ", name, " of the type ", type);
    return *entry.mapped();
  }
  std::map<std::string, const AttributeProto*> all_;
};

// Place of element i of an array of shape `to` in one of shape `from` that is stretched to it.
std::size_t place(const Shape& from, const Shape& to, std::int64_t i) {
  std::int64_t index = 0, pitch = 1;
  for (int axis = -1; axis >= -to.rank(); --axis) {
    const std::int64_t k = i % to[axis];
    i /= to[axis];
    if (-axis > from.rank()) continue;
    if (from[axis] > 1) index += k * pitch;
    pitch *= from[axis];
  }
  return at(index);
}

// f of the elements at equal places.
Array each(const Inputs& x, const std::function<float(const float*)>& f) {
  Shape shape;
  for (const Array* a : x) shape = broadcast_shape("run_graph", shape, a->shape);
  Array y{shape, std::vector<float>(at(shape.numel()))};
  std::vector<float> v(x.size());
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    for (std::size_t k = 0; k < x.size(); ++k) v[k] = x[k]->values[place(x[k]->shape, shape, i)];
    y.values[at(i)] = f(v.data());
  }
  return y;
}

// A number for each channel, along an axis of an array of that rank.
Array along(const Array& numbers, std::int64_t axis, int rank) {
  if (numbers.shape.rank() != 1) return numbers;
  std::vector<std::int64_t> extents(at(rank), 1);
  extents[at(axis)] = numbers.shape[0];
  return {shape_of(extents), numbers.values};
}

// Where a window of so many places at position o begins, and whether its k-th place is inside.
struct Axis {
  std::int64_t in, kernel, stride, before, after, dilation;
  std::int64_t out() const { return (in + before + after - dilation * (kernel - 1) - 1) / stride + 1; }
  std::int64_t position(std::int64_t o, std::int64_t k) const { return o * stride - before + k * dilation; }
};
std::pair<Axis, Axis> axes(Attributes& a, const Array& x, bool dilated) {
  const auto kernel = a.integers("kernel_shape"), strides = a.integers("strides"), pads = a.integers("pads");
  const auto dilations = dilated ? a.integers("dilations") : std::vector<std::int64_t>{1, 1};
  return {{x.shape[2], kernel[0], strides[0], pads[0], pads[2], dilations[0]},
          {x.shape[3], kernel[1], strides[1], pads[1], pads[3], dilations[1]}};
}

// y[n][c][i][j] = f(the places of x in the window, in order: their offset in a plane, or -1 outside).
Array windows(const Array& x, std::int64_t channels, const Axis& h, const Axis& w,
              const std::function<float(std::int64_t n, std::int64_t c, const std::vector<std::int64_t>&)>& f) {
  Array y{{x.shape[0], channels, h.out(), w.out()}, {}};
  std::vector<std::int64_t> places;
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t c = 0; c < channels; ++c)
      for (std::int64_t i = 0; i < h.out(); ++i)
        for (std::int64_t j = 0; j < w.out(); ++j) {
          places.clear();
          for (std::int64_t k = 0; k < h.kernel; ++k)
            for (std::int64_t l = 0; l < w.kernel; ++l) {
              const std::int64_t row = h.position(i, k), column = w.position(j, l);
              const bool inside = row >= 0 && row < h.in && column >= 0 && column < w.in;
              places.push_back(inside ? row * w.in + column : -1);
            }
          y.values.push_back(f(n, c, places));
        }
  return y;
}

Array conv(const Inputs& in, Attributes& a) {
  const Array &x = *in[0], &weight = *in[1];
  const auto [h, w] = axes(a, x, true);
  const std::int64_t groups = a.integer("group"), out = weight.shape[0], depth = weight.shape[1];
  check(depth * groups == x.shape[1] && h.kernel == weight.shape[2] && w.kernel == weight.shape[3],
        "Conv: given a weight of ", weight.shape, " for ", x.shape);
  const std::int64_t plane = h.in * w.in, taps = h.kernel * w.kernel;
  return windows(x, out, h, w, [&](std::int64_t n, std::int64_t o, const std::vector<std::int64_t>& places) {
    float sum = 0;
    const std::int64_t first = o / (out / groups) * depth;
    for (std::int64_t c = 0; c < depth; ++c)
      for (std::int64_t t = 0; t < taps; ++t)
        if (places[at(t)] >= 0)
          sum += x.values[at((n * x.shape[1] + first + c) * plane + places[at(t)])] *
                 weight.values[at((o * depth + c) * taps + t)];
    return in.size() > 2 ? sum + in[2]->values[at(o)] : sum;
  });
}

Array gemm(const Inputs& in, Attributes& a) {
  check(a.number("alpha") == 1 && a.number("beta") == 1 && a.integer("transA") == 0 && a.integer("transB") == 1,
        "Gemm: expected x weight^T + bias");
  const Array &x = *in[0], &w = *in[1];
  Array y{{x.shape[0], w.shape[0]}, {}};
  for (std::int64_t n = 0; n < x.shape[0]; ++n)
    for (std::int64_t o = 0; o < w.shape[0]; ++o) {
      float sum = 0;
      for (std::int64_t i = 0; i < w.shape[1]; ++i)
        sum += x.values[at(n * w.shape[1] + i)] * w.values[at(o * w.shape[1] + i)];
      y.values.push_back(in.size() > 2 ? sum + in[2]->values[at(o)] : sum);
    }
  return y;
}

Array pool(const Array& x, Attributes& a, bool average) {
  const auto [h, w] = axes(a, x, false);
  check(a.integer("ceil_mode") == 0 && (!average || a.integer("count_include_pad") == 1), "pool: unknown mode");
  const std::int64_t plane = x.shape[2] * x.shape[3];
  return windows(x, x.shape[1], h, w, [&](std::int64_t n, std::int64_t c, const std::vector<std::int64_t>& places) {
    float sum = 0, largest = -std::numeric_limits<float>::infinity();
    for (const std::int64_t p : places) {
      if (p < 0) continue;
      const float v = x.values[at((n * x.shape[1] + c) * plane + p)];
      sum += v;
      largest = std::max(largest, v);
    }
    return average ? sum / static_cast<float>(places.size()) : largest;
  });
}

Array means(const Array& x) {
  const std::int64_t plane = x.shape[2] * x.shape[3];
  Array y{{x.shape[0], x.shape[1], 1, 1}, {}};
  for (std::int64_t i = 0; i < x.shape[0] * x.shape[1]; ++i) {
    double sum = 0;
    for (std::int64_t p = 0; p < plane; ++p) sum += static_cast<double>(x.values[at(i * plane + p)]);
    y.values.push_back(static_cast<float>(sum / static_cast<double>(plane)));
  }
  return y;
}

// y[place] = x at the place that from() says, 0 where that is -1.
Array gathered(const Shape& shape, const Array& x,
               const std::function<std::int64_t(const std::vector<std::int64_t>&)>& from) {
  Array y{shape, {}};
  std::vector<std::int64_t> index(at(shape.rank()));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    std::int64_t rest = i;
    for (int axis = shape.rank() - 1; axis >= 0; --axis) {
      index[at(axis)] = rest % shape[axis];
      rest /= shape[axis];
    }
    const std::int64_t p = from(index);
    y.values.push_back(p < 0 ? 0 : x.values[at(p)]);
  }
  return y;
}
std::int64_t offset(const Shape& shape, const std::vector<std::int64_t>& index) {
  std::int64_t sum = 0;
  for (int axis = 0; axis < shape.rank(); ++axis) sum = sum * shape[axis] + index[at(axis)];
  return sum;
}

Array transpose(const Array& x, const std::vector<std::int64_t>& perm) {
  std::vector<std::int64_t> extents;
  for (const std::int64_t axis : perm) extents.push_back(x.shape[static_cast<int>(axis)]);
  return gathered(shape_of(extents), x, [&](const std::vector<std::int64_t>& index) {
    std::vector<std::int64_t> from(index.size());
    for (std::size_t k = 0; k < perm.size(); ++k) from[at(perm[k])] = index[k];
    return offset(x.shape, from);
  });
}

// Slice with starts, ends, axes and steps.
Array slice(const Inputs& in) {
  const Array& x = *in[0];
  std::vector<std::int64_t> extents(x.shape.begin(), x.shape.end()), first(extents.size(), 0), step(extents.size(), 1);
  for (std::size_t k = 0; k < in[3]->values.size(); ++k) {
    const auto axis = static_cast<std::size_t>(in[3]->values[k]);
    first[axis] = static_cast<std::int64_t>(in[1]->values[k]);
    step[axis] = static_cast<std::int64_t>(in[4]->values[k]);
    extents[axis] = (static_cast<std::int64_t>(in[2]->values[k]) - first[axis] + step[axis] - 1) / step[axis];
  }
  return gathered(shape_of(extents), x, [&](const std::vector<std::int64_t>& index) {
    std::vector<std::int64_t> from = index;
    for (std::size_t k = 0; k < from.size(); ++k) from[k] = first[k] + index[k] * step[k];
    return offset(x.shape, from);
  });
}

Array pad(const Inputs& in) {
  const Array& x = *in[0];
  const auto rank = at(x.shape.rank());
  check(in[2]->values[0] == 0, "Pad: expected zeros");
  std::vector<std::int64_t> extents, before;
  for (std::size_t k = 0; k < rank; ++k) {
    before.push_back(static_cast<std::int64_t>(in[1]->values[k]));
    extents.push_back(x.shape[static_cast<int>(k)] + before[k] + static_cast<std::int64_t>(in[1]->values[rank + k]));
  }
  return gathered(shape_of(extents), x, [&](const std::vector<std::int64_t>& index) {
    std::vector<std::int64_t> from = index;
    for (std::size_t k = 0; k < rank; ++k) {
      from[k] -= before[k];
      if (from[k] < 0 || from[k] >= x.shape[static_cast<int>(k)]) return std::int64_t{-1};
    }
    return offset(x.shape, from);
  });
}

Array reshape(const Array& x, const std::vector<float>& wanted) {
  std::vector<std::int64_t> extents;
  std::int64_t known = 1;
  for (const float n : wanted) {
    extents.push_back(static_cast<std::int64_t>(n));
    if (n > 0) known *= extents.back();
  }
  for (std::int64_t& n : extents)
    if (n < 0) n = x.shape.numel() / known;
  return {shape_of(extents), x.values};
}

float rounded(float x, const std::string& mode) {
  check(mode == "CEIL" || mode == "ROUND", "Quant: given rounding ", mode);
  return mode == "CEIL" ? std::ceil(x) : std::nearbyint(x);
}

Array quant(const Inputs& in, Attributes& a) {
  const bool with_sign = a.integer("signed") == 1, narrow = a.integer("narrow") == 1;
  const std::string mode = a.text("rounding_mode");
  return each(in, [&](const float* v) {
    const float half = std::exp2(v[3] - 1), low = with_sign ? (narrow ? 1 - half : -half) : 0;
    const float high = with_sign ? half - 1 : 2 * half - (narrow ? 2 : 1);
    return (rounded(std::clamp(v[0] / v[1] + v[2], low, high), mode) - v[2]) * v[1];
  });
}

Array multi_threshold(const Inputs& in, Attributes& a) {
  const Array &x = *in[0], &t = *in[1];
  const float factor = a.number("out_scale"), bias = a.number("out_bias");
  const std::string layout = a.text("data_layout"), type = a.text("out_dtype");
  check(!type.empty() && static_cast<int>(layout.size()) == x.shape.rank(), "MultiThreshold: given the layout ",
        layout);
  const int axis = static_cast<int>(layout.find('C'));
  std::int64_t pitch = 1;
  for (int k = axis + 1; k < x.shape.rank(); ++k) pitch *= x.shape[k];
  Array y{x.shape, {}};
  for (std::int64_t i = 0; i < x.shape.numel(); ++i) {
    const std::int64_t row = t.shape[0] == 1 ? 0 : i / pitch % x.shape[axis], levels = t.shape[1];
    const auto first = t.values.begin() + row * levels;
    const auto count =
        std::count_if(first, first + levels, [&](float threshold) { return x.values[at(i)] >= threshold; });
    y.values.push_back(factor * static_cast<float>(count) + bias);
  }
  return y;
}

Array result(const NodeProto& node, const Inputs& in) {
  const std::string& op = node.op_type();
  Attributes a(node);
  const auto done = [&](Array y) {
    a.expect_none();
    return y;
  };
  const bool custom = op == "Quant" || op == "BipolarQuant" || op == "MultiThreshold";
  check(node.domain() == (custom ? "qonnx.custom_op.general" : ""), op, ": given the domain ", node.domain());
  if (op == "Add") return done(each(in, [](const float* v) { return v[0] + v[1]; }));
  if (op == "Sub") return done(each(in, [](const float* v) { return v[0] - v[1]; }));
  if (op == "Mul") return done(each(in, [](const float* v) { return v[0] * v[1]; }));
  if (op == "Div") return done(each(in, [](const float* v) { return v[0] / v[1]; }));
  if (op == "GreaterOrEqual") return done(each(in, [](const float* v) { return v[0] >= v[1] ? 1.f : 0.f; }));
  if (op == "Where") return done(each(in, [](const float* v) { return v[0] != 0 ? v[1] : v[2]; }));
  if (op == "Ceil") return done(each(in, [](const float* v) { return std::ceil(*v); }));
  if (op == "Round") return done(each(in, [](const float* v) { return std::nearbyint(*v); }));
  if (op == "Abs") return done(each(in, [](const float* v) { return std::abs(*v); }));
  if (op == "Sign") return done(each(in, [](const float* v) { return *v > 0 ? 1.f : *v < 0 ? -1.f : 0.f; }));
  if (op == "Relu") return done(each(in, [](const float* v) { return std::max(*v, 0.f); }));
  if (op == "Clip") return done(each(in, [](const float* v) { return std::clamp(v[0], v[1], v[2]); }));
  if (op == "Identity") return done(*in[0]);
  if (op == "QuantizeLinear") {
    const float least = in[2]->with_sign ? -128 : 0;
    return done(each(
        in, [least](const float* v) { return std::clamp(std::nearbyint(v[0] / v[1]) + v[2], least, least + 255); }));
  }
  if (op == "DequantizeLinear") {
    const Array scale = along(*in[1], a.integer_or("axis", 1), in[0]->shape.rank());
    return done(each({in[0], &scale}, [](const float* v) { return v[0] * v[1]; }));
  }
  if (op == "Cast") {
    check(a.integer("to") == TensorProto::INT64, "Cast: expected whole numbers");
    return done(*in[0]);
  }
  if (op == "Gather") {
    check(a.integer("axis") == 0 && in[0]->shape.rank() == 1, "Gather: expected a list");
    return done(each({in[1]}, [&](const float* v) { return in[0]->values.at(static_cast<std::size_t>(*v)); }));
  }
  if (op == "Conv") return done(conv(in, a));
  if (op == "Gemm") return done(gemm(in, a));
  if (op == "MaxPool" || op == "AveragePool") return done(pool(*in[0], a, op == "AveragePool"));
  if (op == "GlobalAveragePool") return done(means(*in[0]));
  if (op == "Flatten") {
    check(a.integer("axis") == 1, "Flatten: expected the axis 1");
    return done({{in[0]->shape[0], in[0]->shape.numel() / in[0]->shape[0]}, in[0]->values});
  }
  if (op == "Transpose") return done(transpose(*in[0], a.integers("perm")));
  if (op == "Reshape") {
    check(a.integer("allowzero") == 0, "Reshape: expected no zeros");
    return done(reshape(*in[0], in[1]->values));
  }
  if (op == "Slice") return done(slice(in));
  if (op == "Pad") {
    check(a.text("mode") == "constant", "Pad: expected a constant");
    return done(pad(in));
  }
  if (op == "Quant") return done(quant(in, a));
  if (op == "BipolarQuant") return done(each(in, [](const float* v) { return v[0] >= 0 ? v[1] : -v[1]; }));
  if (op == "MultiThreshold") return done(multi_threshold(in, a));
  throw Error(cat("given the operator ", op, ", which is unknown"));
}

}  // namespace

Array array_of(const TensorProto& tensor) {
  Array y{shape_of({tensor.dims().begin(), tensor.dims().end()}), {}};
  const std::string& raw = tensor.raw_data();
  const auto n = at(y.shape.numel());
  const auto expect_bytes = [&](std::size_t bytes) {
    check(raw.size() == bytes, tensor.name(), ": given ", raw.size(), " bytes, expected ", bytes);
  };
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(raw[i]); };
  y.values.resize(n);
  switch (tensor.data_type()) {
    case TensorProto::FLOAT:
      expect_bytes(4 * n);
      std::memcpy(y.values.data(), raw.data(), raw.size());
      break;
    case TensorProto::INT64:
      expect_bytes(8 * n);
      for (std::size_t i = 0; i < n; ++i) {
        std::int64_t value;
        std::memcpy(&value, raw.data() + 8 * i, 8);
        y.values[i] = static_cast<float>(value);
      }
      break;
    case TensorProto::INT8:
    case TensorProto::UINT8:
      expect_bytes(n);
      y.with_sign = tensor.data_type() == TensorProto::INT8;
      for (std::size_t i = 0; i < n; ++i) {
        const int v = byte(i);
        y.values[i] = static_cast<float>(y.with_sign && v > 127 ? v - 256 : v);
      }
      break;
    case TensorProto::INT4:
    case TensorProto::UINT4:
      expect_bytes((n + 1) / 2);
      for (std::size_t i = 0; i < n; ++i) {
        const int v = byte(i / 2) >> (i % 2 == 0 ? 0 : 4) & 15;
        y.values[i] = static_cast<float>(tensor.data_type() == TensorProto::INT4 && v > 7 ? v - 16 : v);
      }
      break;
    default:
      throw Error(cat(tensor.name(), ": given the type ", tensor.data_type(), ", which is unknown"));
  }
  return y;
}

std::map<std::string, Array> run_graph(const onnx::GraphProto& graph, const Array& input) {
  std::map<std::string, Array> all;
  for (const TensorProto& tensor : graph.initializer()) all[tensor.name()] = array_of(tensor);
  check(graph.input_size() == 1, "given ", graph.input_size(), " inputs, expected 1");
  all[graph.input(0).name()] = input;
  for (const NodeProto& node : graph.node()) {
    Inputs in;
    for (const std::string& name : node.input()) in.push_back(&all.at(name));
    all[node.output(0)] = result(node, in);
  }
  return all;
}

}  // namespace coarsegrad::testing
