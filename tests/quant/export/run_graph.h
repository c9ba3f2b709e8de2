#pragma once
// Runs a graph of ONNX or QONNX as the specifications of its operators have it, slowly: what an exported model
// computes, where no other runtime is at hand.
#include <map>
#include <string>
#include <vector>

#include "core/base/shape.h"
#include "quant/export/onnx/onnx.pb.h"

namespace coarsegrad::testing {

/// A tensor; whole numbers are floats, too.
struct Array {
  Shape shape = {};
  std::vector<float> values = {};
  bool with_sign = false;  ///< whether it is a constant of signed bytes
};

/// All tensors of a graph by name, constants included, for one input. Throws Error for an operator, an attribute or a
/// type that is not known.
std::map<std::string, Array> run_graph(const onnx::GraphProto& graph, const Array& input);

/// The numbers of a constant.
Array array_of(const onnx::TensorProto& tensor);

}  // namespace coarsegrad::testing
