#pragma once
// The graph of a network.
//   const nn::Graph g = nn::trace(net, {{1, 32, 32, 3}});
//   for (const auto& node : g.nodes) std::cout << node.module << " " << node.op << " " << node.shape << "\n";
#include <string>
#include <vector>

#include "core/attributes.h"
#include "core/base/shape.h"
#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// What a network computes, as plain data. Who reads it asks no module for its type, and sees what is computed outside
/// of layers, too: functional ops, several inputs, one module at several places.
struct Graph {
  /// Stands in place of a node's number for an optional input that was not given, and for no value.
  static constexpr int kNone = -1;

  /// A value and the op that it comes from.
  struct Node {
    /// The name that record() was given ("conv2d"), or where a value comes in: "input" of the network, "parameter",
    /// "constant".
    std::string op = {};
    std::vector<int> inputs = {};  ///< numbers of earlier nodes, in the order of the op's arguments
    Shape shape = {};              ///< of the value; its elements are Real
    Attributes attributes = {};    ///< what the op says of itself; "value", a Tensor, of a constant
    int call = kNone;              ///< number of the innermost call that the op belongs to; kNone where there is none
    std::string module = {};       ///< path of that call's module, or of the one that owns the parameter
    std::string parameter = {};    ///< dotted name of a parameter; empty for other nodes
  };

  /// One call of a module.
  struct Call {
    std::string module = {};       ///< dotted path below the network; empty for the network itself
    std::string kind = {};         ///< Module::kind(): the type, without namespaces
    Attributes attributes = {};    ///< Module::attributes()
    std::vector<int> inputs = {};  ///< numbers of nodes
    int output = kNone;            ///< number of a node; kNone where an exception ended the call
    int begin = 0,                 ///< number of its first node, calls within it included
        end = 0;                   ///< behind the number of its last node
  };

  std::vector<Node> nodes;  ///< in the order of execution; a node's number is its place
  std::vector<Call> calls;  ///< in the order of their beginnings; the first one is that of the network
  std::vector<int> inputs;  ///< numbers of the nodes that come in
  int output = kNone;       ///< number of the node that comes out

  /// How often the module with this path is called.
  int uses(const std::string& module) const;
  /// Dotted names of the parameters that a node reads, in the order of its inputs.
  std::vector<std::string> parameters(const Node& node) const;
};

/// Carries the network out once on zeros of these shapes (batches of images: (N, H, W, C)), in evaluation mode
/// without a history and with the float copies of its weights, and writes down what happens. The network is
/// left as it was: modes, parameters, buffers and random streams. A module that is not registered below the
/// network counts as a part of the one that calls it, a parameter that is not as a constant. Throws Error when
/// the network does not take the inputs.
Graph trace(Module& net, const std::vector<Shape>& inputs);
/// trace() of a network for images, on one of shape (H, W, C). Throws Error for a shape of another rank, too.
Graph trace_image(Module& net, const Shape& image);

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
