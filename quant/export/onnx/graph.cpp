#include "quant/export/onnx/graph.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "raw data are little-endian");

void set_value(AttributeProto& to, const Attribute& from) {
  to.set_name(from.first);
  if (const auto* i = std::get_if<std::int64_t>(&from.second)) {
    to.set_type(AttributeProto::INT);
    to.set_i(*i);
  } else if (const auto* f = std::get_if<float>(&from.second)) {
    to.set_type(AttributeProto::FLOAT);
    to.set_f(*f);
  } else if (const auto* s = std::get_if<std::string>(&from.second)) {
    to.set_type(AttributeProto::STRING);
    to.set_s(*s);
  } else {
    to.set_type(AttributeProto::INTS);
    for (const std::int64_t n : std::get<std::vector<std::int64_t>>(from.second)) to.add_ints(n);
  }
}

void set_type(ValueInfoProto& to, const std::string& name, std::int64_t batch, const Shape& sample) {
  to.set_name(name);
  TypeProto::Tensor& type = *to.mutable_type()->mutable_tensor_type();
  type.set_elem_type(TensorProto::FLOAT);
  TensorShapeProto& shape = *type.mutable_shape();
  if (batch == 0)
    shape.add_dim()->set_dim_param("N");
  else
    shape.add_dim()->set_dim_value(batch);
  for (const std::int64_t n : sample) shape.add_dim()->set_dim_value(n);
}

template <class T>
std::string bytes_of(std::span<const T> values) {
  std::string bytes(values.size_bytes(), '\0');
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), values.size_bytes());
  return bytes;
}

// Numbers of 4 bits, two in a byte, and of 8.
std::string packed_bytes(std::span<const int> values, bool nibbles) {
  std::string bytes(nibbles ? (values.size() + 1) / 2 : values.size(), '\0');
  for (std::size_t i = 0; i < values.size(); ++i) {
    const int shift = nibbles && i % 2 == 1 ? 4 : 0, mask = nibbles ? 15 : 255;
    char& byte = bytes[nibbles ? i / 2 : i];
    byte = static_cast<char>(static_cast<unsigned char>(byte) | (values[i] & mask) << shift);
  }
  return bytes;
}

}  // namespace

void Graph::input(const std::string& name, std::int64_t batch, const Shape& sample) {
  claim(name);
  set_type(*graph_.add_input(), name, batch, sample);
}

void Graph::output(const std::string& name, std::int64_t batch, const Shape& sample) {
  set_type(*graph_.add_output(), name, batch, sample);
}

std::string Graph::add(const char* op, std::span<const std::string> inputs, std::string output,
                       std::span<const Attribute> attributes, const char* domain) {
  claim(output);
  NodeProto& node = *graph_.add_node();
  node.set_op_type(op);
  node.set_name(output);
  if (*domain) node.set_domain(domain);
  for (const std::string& input : inputs) node.add_input(input);
  node.add_output(output);
  for (const Attribute& a : attributes) set_value(*node.add_attribute(), a);
  return output;
}

std::string Graph::floats(const std::string& name, const Shape& shape, std::span<const float> values) {
  constant(name, shape, TensorProto::FLOAT).set_raw_data(bytes_of(values));
  return name;
}

std::string Graph::indices(const std::string& name, std::span<const std::int64_t> values) {
  constant(name, {std::ssize(values)}, TensorProto::INT64).set_raw_data(bytes_of(values));
  return name;
}

std::string Graph::signed_integers(const std::string& name, const Shape& shape, std::span<const int> values) {
  return packed(name, shape, values, true);
}

std::string Graph::unsigned_integers(const std::string& name, const Shape& shape, std::span<const int> values) {
  return packed(name, shape, values, false);
}

std::string Graph::byte(const std::string& name, int value, bool with_sign) {
  constant(name, {}, with_sign ? TensorProto::INT8 : TensorProto::UINT8)
      .set_raw_data(packed_bytes(std::span(&value, 1), false));
  return name;
}

void Graph::claim(const std::string& name) {
  const bool is_new = names_.insert(name).second;
  check(is_new, "onnx: given the name ", in_quotes(name), " for two tensors");
}

TensorProto& Graph::constant(const std::string& name, const Shape& shape, TensorProto::DataType type) {
  claim(name);
  TensorProto& tensor = *graph_.add_initializer();
  tensor.set_name(name);
  tensor.set_data_type(type);
  for (const std::int64_t n : shape) tensor.add_dims(n);
  return tensor;
}

std::string Graph::packed(const std::string& name, const Shape& shape, std::span<const int> values, bool with_sign) {
  const auto fit = [&](int bits) {
    const int low = with_sign ? -(1 << (bits - 1)) : 0, high = low + (1 << bits) - 1;
    return std::ranges::all_of(values, [=](int v) { return low <= v && v <= high; });
  };
  const bool nibbles = fit(4);
  check(nibbles || fit(8), "onnx: given numbers of ", in_quotes(name), " that do not fit into a byte");
  const auto type = with_sign ? nibbles ? TensorProto::INT4 : TensorProto::INT8
                    : nibbles ? TensorProto::UINT4
                              : TensorProto::UINT8;
  constant(name, shape, type).set_raw_data(packed_bytes(values, nibbles));
  return name;
}

}  // namespace coarsegrad::onnx
