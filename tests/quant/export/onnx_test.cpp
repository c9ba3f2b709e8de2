// Exported models, read back field by field.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "quant/export/onnx/export.h"
#include "quant/packed/plan.h"
#include "tests/quant/export/run_graph.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using onnx::AttributeProto;
using onnx::Form;
using onnx::TensorProto;

namespace {

packed::Weight signs(const Shape& shape, std::vector<float> scales) {
  std::vector<std::int8_t> codes(static_cast<std::size_t>(shape.numel()));
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = i % 3 == 0 ? -1 : 1;
  return packed::packed_integers(shape, codes, std::move(scales));
}

packed::Quantize grid(float alpha, int bits, kernels::Rounding rounding) {
  return {{alpha, (1 << bits) - 1, rounding}, bits};
}

// Two convolutions, the second one on codes with a scale for each channel, and a dense layer.
packed::Model small_model(kernels::Rounding rounding = kernels::Rounding::up) {
  std::vector<std::int8_t> codes(4 * 3 * 3 * 2);
  for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = static_cast<std::int8_t>(i % 16) - 8;
  packed::Model m{.metadata = {{"dataset", "mnist"}}};
  m.nodes = {
      {"images", packed::Input{{4, 6, 1}}, {}},
      {"conv1", packed::Conv2d{.weight = packed::packed_values({2, 1, 1, 1}, std::vector<float>{0.5f, -2})}, {0}},
      {"act1", grid(0.75f, 4, rounding), {1}},
      {"conv2",
       packed::Conv2d{.weight = packed::packed_integers({4, 3, 3, 2}, codes, {1, 0.3f, 2, 0.5f}),
                      .bias = {1, 2, 3, 4},
                      .stride = {2, 1},
                      .padding = {1, 0}},
       {2}},
      {"norm2", packed::Norm{{1, 2, 3, 4}, {1, -1, 0, 2}, {0, 1, 0, 1}}, {3}},
      {"act2", grid(1, 1, kernels::Rounding::sign), {4}},
      {"flatten", packed::Reshape{{2 * 4 * 4}}, {5}},
      {"fc", packed::Linear{.weight = signs({3, 32}, {0.25f})}, {6}}};
  return m;
}

onnx::ModelProto exported(const packed::Model& model, const onnx::ExportOptions& options = {}) {
  onnx::ModelProto file;
  REQUIRE(file.ParseFromString(onnx::onnx_bytes(model, options)));
  return file;
}

const onnx::NodeProto& node(const onnx::ModelProto& m, const std::string& name) {
  for (const auto& n : m.graph().node())
    if (n.name() == name) return n;
  throw Error("no node " + name);
}
const TensorProto& constant(const onnx::ModelProto& m, const std::string& name) {
  for (const auto& t : m.graph().initializer())
    if (t.name() == name) return t;
  throw Error("no constant " + name);
}
const AttributeProto& attribute(const onnx::NodeProto& n, const std::string& name) {
  for (const auto& a : n.attribute())
    if (a.name() == name) return a;
  throw Error("no attribute " + name);
}

template <class Range>
std::string joined(const Range& all) {
  std::string text;
  for (const auto& x : all) text += cat(text.empty() ? "" : " ", x);
  return text;
}
std::string operators(const onnx::ModelProto& m) {
  std::vector<std::string> all;
  for (const auto& n : m.graph().node()) all.push_back(n.op_type());
  return joined(all);
}
std::string shape(const onnx::ValueInfoProto& value) {
  std::string text;
  for (const auto& d : value.type().tensor_type().shape().dim())
    text += d.has_dim_param() ? d.dim_param() + " " : cat(d.dim_value(), ' ');
  return text;
}

}  // namespace

TEST_CASE("onnx: a file has versions, a producer, the model's metadata, one input and one output, channels first") {
  const onnx::ModelProto m = exported(small_model());
  CHECK(m.ir_version() == 10);
  CHECK(m.producer_name() == "CoarseGrad");
  REQUIRE(m.opset_import_size() == 1);
  CHECK(m.opset_import(0).domain().empty());
  CHECK(m.opset_import(0).version() == 21);
  REQUIRE(m.metadata_props_size() == 1);
  CHECK(m.metadata_props(0).key() == "dataset");
  CHECK(m.metadata_props(0).value() == "mnist");
  REQUIRE((m.graph().input_size() == 1 && m.graph().output_size() == 1));
  CHECK(m.graph().input(0).name() == "images");
  CHECK(m.graph().input(0).type().tensor_type().elem_type() == TensorProto::FLOAT);
  CHECK(shape(m.graph().input(0)) == "N 1 4 6 ");
  CHECK(m.graph().output(0).name() == "fc");
  CHECK(shape(m.graph().output(0)) == "N 3 ");
  CHECK(shape(exported(small_model(), {Form::onnx, 5}).graph().output(0)) == "5 3 ");
}

TEST_CASE("onnx: what rounds up is Div, Ceil, Clip; codes are multiplied as whole numbers, scale and bias follow") {
  const onnx::ModelProto m = exported(small_model());
  CHECK(operators(m) ==
        "Conv Div Ceil Clip DequantizeLinear Conv Mul Add Sub Mul Add GreaterOrEqual Where Transpose Reshape "
        "DequantizeLinear Gemm Mul");
  CHECK(array_of(constant(m, "act1.alpha")).values == std::vector<float>{0.75f});
  CHECK(array_of(constant(m, "act1.levels")).values == std::vector<float>{15});
  CHECK(joined(node(m, "conv2.sums").input()) == "act1.codes conv2.weight.codes");
  CHECK(array_of(constant(m, "conv2.factors")).values == std::vector<float>{0.75f, 0.75f * 0.3f, 1.5f, 0.375f});
  CHECK(joined(constant(m, "conv2.factors").dims()) == "4 1 1");
  CHECK(joined(node(m, "conv2").input()) == "conv2.scaled conv2.bias");
  CHECK(array_of(constant(m, "fc.factors")).values == std::vector<float>{0.25f, 0.25f, 0.25f});
}

TEST_CASE("onnx: attributes of a convolution and of a dense layer are all written, with their types") {
  const onnx::ModelProto m = exported(small_model());
  const onnx::NodeProto& conv = node(m, "conv2.sums");
  const auto ints = [&](const char* name) {
    CHECK(attribute(conv, name).type() == AttributeProto::INTS);
    return joined(attribute(conv, name).ints());
  };
  CHECK(ints("kernel_shape") == "3 3");
  CHECK(ints("strides") == "2 1");
  CHECK(ints("pads") == "1 0 1 0");
  CHECK(ints("dilations") == "1 1");
  CHECK(attribute(conv, "group").type() == AttributeProto::INT);
  CHECK(attribute(conv, "group").i() == 1);
  const onnx::NodeProto& fc = node(m, "fc.sums");
  CHECK(attribute(fc, "alpha").type() == AttributeProto::FLOAT);
  CHECK(attribute(fc, "alpha").f() == 1);
  CHECK(attribute(fc, "transB").i() == 1);
}

TEST_CASE("onnx: weights are INT4 where they fit, in the order (out, in, kh, kw), the first of two in the low bits") {
  const onnx::ModelProto m = exported(small_model());
  const TensorProto& w = constant(m, "conv2.weight");
  CHECK(w.data_type() == TensorProto::INT4);
  CHECK(joined(w.dims()) == "4 2 3 3");
  REQUIRE(w.raw_data().size() == 36);
  // Codes i % 16 - 8 at (o, kh, kw, in): of the first filter's first channel -8, -6, -4, ...
  CHECK(static_cast<unsigned char>(w.raw_data()[0]) == (0x8 | 0xa << 4));
  const Array values = array_of(w);
  const packed::Model model = small_model();
  const auto codes = packed::weight_codes(std::get<packed::Conv2d>(model.nodes[3].operation).weight).codes;
  for (int o = 0; o < 4; ++o)
    for (int i = 0; i < 2; ++i)
      for (int p = 0; p < 9; ++p)
        CHECK(values.values[static_cast<std::size_t>((o * 2 + i) * 9 + p)] ==
              static_cast<float>(codes[static_cast<std::size_t>((o * 9 + p) * 2 + i)]));
}

TEST_CASE("onnx: weights of more than 4 bits are INT8, powers and tables are places in a list, floats are floats") {
  const auto layer = [](packed::Weight w) {
    packed::Model m;
    m.nodes = {{"x", packed::Input{{4}}, {}}, {"fc", packed::Linear{.weight = std::move(w)}, {0}}};
    return exported(m);
  };
  const std::vector<std::int8_t> codes{100, -100, 3, 4, 5, 6, 7, -8};
  const onnx::ModelProto bytes = layer(packed::packed_integers({2, 4}, codes, {0.5f, 0.25f}));
  CHECK(constant(bytes, "fc.weight").data_type() == TensorProto::INT8);
  CHECK(attribute(node(bytes, "fc.weight.values"), "axis").i() == 0);
  CHECK(joined(constant(bytes, "fc.weight.scale").dims()) == "2");

  const std::vector<std::int8_t> powers{0, 1, -1, 6, -6, 2, 3, 4};
  const onnx::ModelProto list = layer(packed::packed_powers({2, 4}, powers, 6, 4, {3}));
  CHECK(operators(list) == "Cast Gather Mul Gemm");
  CHECK(constant(list, "fc.weight").data_type() == TensorProto::UINT4);
  CHECK(array_of(constant(list, "fc.weight.list")).values[15] == -0x1p-5f);

  const onnx::ModelProto small =
      layer(packed::packed_powers({2, 4}, std::vector<std::int8_t>{0, 1, -1, 4, -4, 2, 3, 4}, 4, 4, {3}));
  CHECK(constant(small, "fc.weight").data_type() == TensorProto::INT8);  // 8 is no number of 4 bits
  CHECK(array_of(constant(small, "fc.weight.scale")).values == std::vector<float>{0.375f});

  std::vector<float> two(32, 0.1f);
  two[3] = 7;
  packed::Model m;
  m.nodes = {{"x", packed::Input{{16}}, {}},
             {"fc", packed::Linear{.weight = packed::packed_values({2, 16}, two)}, {0}}};
  CHECK(operators(exported(m)) == "Cast Gather Gemm");
  const onnx::ModelProto floats = layer(packed::packed_values({2, 4}, std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8}));
  CHECK(operators(floats) == "Gemm");
  CHECK(constant(floats, "fc.weight").data_type() == TensorProto::FLOAT);
}

TEST_CASE("onnx: what rounds to the nearest is QuantizeLinear, with a Clip of bytes below 8 bits") {
  packed::Model model = small_model(kernels::Rounding::nearest);
  const onnx::ModelProto m = exported(model);
  CHECK(contains(operators(m), "Conv QuantizeLinear Clip DequantizeLinear DequantizeLinear Conv"));
  CHECK(constant(m, "act1.levels").data_type() == TensorProto::UINT8);
  CHECK(array_of(constant(m, "act1.levels")).values == std::vector<float>{15});
  model.nodes[2].operation = grid(0.75f, 8, kernels::Rounding::nearest);
  CHECK(contains(operators(exported(model)), "Conv QuantizeLinear DequantizeLinear DequantizeLinear Conv"));
}

TEST_CASE("qonnx: quantizers are Quant and BipolarQuant, every attribute is written, rounding up is CEIL") {
  const onnx::ModelProto m = exported(small_model(), {Form::qonnx, 1});
  CHECK(m.ir_version() == 8);
  REQUIRE(m.opset_import_size() == 2);
  CHECK(m.opset_import(1).domain() == "qonnx.custom_op.general");
  CHECK(m.opset_import(1).version() == 1);
  CHECK(operators(m) == "Conv Quant Quant Conv Sub Mul Add BipolarQuant Transpose Reshape BipolarQuant Gemm");
  const onnx::NodeProto& act = node(m, "act1");
  CHECK(act.domain() == "qonnx.custom_op.general");
  CHECK(joined(act.input()) == "conv1 act1.scale act1.zero act1.bits");
  CHECK(array_of(constant(m, "act1.bits")).values == std::vector<float>{4});
  CHECK(array_of(constant(m, "act1.scale")).values == std::vector<float>{0.75f});
  CHECK(attribute(act, "signed").i() == 0);
  CHECK(attribute(act, "narrow").i() == 0);
  CHECK(attribute(act, "rounding_mode").s() == "CEIL");
  CHECK(attribute(act, "rounding_mode").type() == AttributeProto::STRING);
  const onnx::NodeProto& weight = node(m, "conv2.weight.quantized");
  CHECK(attribute(weight, "signed").i() == 1);
  CHECK(attribute(weight, "narrow").i() == 0);  // -8 occurs
  CHECK(attribute(weight, "rounding_mode").s() == "ROUND");
  CHECK(joined(constant(m, "conv2.weight.scale").dims()) == "4 1 1 1");
  CHECK(attribute(node(exported(small_model(kernels::Rounding::nearest), {Form::qonnx, 1}), "act1"), "rounding_mode")
            .s() == "ROUND");
}

TEST_CASE("qonnx: thresholds are one row for each channel where sums are whole, and one row for all elsewhere") {
  const packed::Model model = small_model();
  const onnx::ModelProto m = exported(model, {Form::thresholds, 1});
  CHECK(operators(m) == "Conv MultiThreshold Quant Conv Mul MultiThreshold Transpose Reshape BipolarQuant Gemm Mul");
  const auto act2 = std::ranges::find(model.nodes, std::string("act2"), &packed::Node::name) - model.nodes.begin();
  const packed::Plan plan(model, check_model(model));
  const packed::Thresholds found = packed::levels_of_sums(plan.nodes, static_cast<int>(act2)).value().thresholds;
  const Array rows = array_of(constant(m, "act2.thresholds"));
  CHECK(rows.shape == Shape{4, 1});
  CHECK(std::equal(found.at.begin(), found.at.end(), rows.values.begin(), rows.values.end()));
  CHECK(array_of(constant(m, "act2.direction")).values == std::vector<float>{1, -1, 1, 1});
  const onnx::NodeProto& signs_of = node(m, "act2.codes");
  CHECK(attribute(signs_of, "out_dtype").s() == "BIPOLAR");
  CHECK(attribute(signs_of, "out_scale").f() == 2);
  CHECK(attribute(signs_of, "out_bias").f() == -1);
  CHECK(attribute(signs_of, "data_layout").s() == "NCHW");
  const onnx::NodeProto& act = node(m, "act1.codes");
  CHECK(attribute(act, "out_dtype").s() == "UINT4");
  CHECK(attribute(act, "out_scale").f() == 1);
  CHECK(attribute(act, "out_bias").f() == 0);
  const std::vector<float> steps = array_of(constant(m, "act1.thresholds")).values;
  REQUIRE(steps.size() == 15);
  CHECK(steps[0] == 0x1p-126f);  // the first level begins with the smallest float that is no denormal one
  for (std::size_t k = 1; k < 15; ++k)
    CHECK(steps[k] == std::nextafter(static_cast<float>(k) * 0.75f, std::numeric_limits<float>::infinity()));
}

TEST_CASE("onnx: channels are numbered as they are here behind a reshape of an image") {
  packed::Model model;
  model.nodes = {{"x", packed::Input{{2, 3, 2}}, {}},
                 {"flat", packed::Reshape{{12}}, {0}},
                 {"image", packed::Reshape{{3, 2, 2}}, {1}}};
  const onnx::ModelProto m = exported(model);
  CHECK(joined(attribute(node(m, "flat.last"), "perm").ints()) == "0 2 3 1");
  CHECK(joined(attribute(node(m, "image"), "perm").ints()) == "0 3 1 2");
  CHECK(shape(m.graph().output(0)) == "N 2 3 2 ");
}

TEST_CASE("onnx: a negative batch is refused, and so is a model that is not sound") {
  CHECK_SAYS(complaint_of([] { onnx::onnx_bytes(small_model(), {Form::onnx, -1}); }), "onnx: given a batch of -1");
  packed::Model model = small_model();
  model.nodes[4].inputs = {9};
  CHECK_SAYS(complaint_of([&] { onnx::onnx_bytes(model); }), "expected an earlier node");
  model = small_model();
  model.nodes[3].name = "act1.codes";
  CHECK_SAYS(complaint_of([&] { onnx::onnx_bytes(model); }), "onnx: given the name 'act1.codes' for two tensors");
}
