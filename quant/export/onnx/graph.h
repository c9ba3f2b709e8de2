#pragma once
// A graph of ONNX while it is written: constants, nodes and their attributes.
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/base/shape.h"
#include "quant/export/onnx/onnx.pb.h"

namespace coarsegrad::onnx {

/// The domain of the operators of QONNX.
inline constexpr const char* kQonnx = "qonnx.custom_op.general";

/// Name and value of an attribute of a node.
using Attribute = std::pair<const char*, std::variant<std::int64_t, float, std::string, std::vector<std::int64_t>>>;

/// Writes one graph. Names of tensors are unique: functions that make one throw Error for a name that there is already.
class Graph {
 public:
  /// Writes into `graph`, which outlives it.
  explicit Graph(GraphProto& graph) : graph_(graph) {}

  /// A float input or output of the graph. batch 0: any number of samples.
  void input(const std::string& name, std::int64_t batch, const Shape& sample);
  void output(const std::string& name, std::int64_t batch, const Shape& sample);

  /// A node with one output of the name `output`, which is returned, of the operators of ONNX or of QONNX.
  std::string add(const char* op, std::span<const std::string> inputs, std::string output,
                  std::span<const Attribute> attributes = {}, const char* domain = "");
  std::string add(const char* op, std::initializer_list<std::string> inputs, std::string output,
                  std::initializer_list<Attribute> attributes = {}, const char* domain = "") {
    return add(op, std::span(inputs.begin(), inputs.size()), std::move(output),
               std::span(attributes.begin(), attributes.size()), domain);
  }

  /// Constants of the name `name`, which is returned.
  std::string floats(const std::string& name, const Shape& shape, std::span<const float> values);
  std::string number(const std::string& name, float value) { return floats(name, {}, std::span(&value, 1)); }
  std::string indices(const std::string& name, std::span<const std::int64_t> values);
  /// Whole numbers, INT4 where they fit and INT8 otherwise. Throws Error for numbers that are no signed bytes.
  std::string signed_integers(const std::string& name, const Shape& shape, std::span<const int> values);
  /// Whole numbers, UINT4 where they fit and UINT8 otherwise. Throws Error for numbers that are no bytes.
  std::string unsigned_integers(const std::string& name, const Shape& shape, std::span<const int> values);
  /// One number, UINT8 or INT8.
  std::string byte(const std::string& name, int value, bool with_sign = false);

 private:
  void claim(const std::string& name);
  TensorProto& constant(const std::string& name, const Shape& shape, TensorProto::DataType type);
  std::string packed(const std::string& name, const Shape& shape, std::span<const int> values, bool with_sign);

  GraphProto& graph_;
  std::set<std::string> names_;
};

}  // namespace coarsegrad::onnx
