#pragma once
// Weights for and from PyTorch. The entries of the state dicts correspond one to one; what differs:
//   weights of a convolution    (O, kh, kw, I) here, (O, I, kh, kw) there
//   a dense layer behind Flatten   its inputs are numbered (H, W, C) here, (C, H, W) there
//   batch normalisation         scale, shift here, weight, bias there; running_mean and running_var in both
// PyTorch's counter num_batches_tracked has no counterpart; it may be missing or there.
#include <string>
#include <vector>

#include "experiments/support/tensor_file.h"
#include "nn/graph.h"
#include "quant/weights/weight_rule.h"

namespace coarsegrad::experiments {

/// One parameter or buffer and its counterpart.
struct PyTorchEntry {
  std::string name,   ///< in the state dict here
      pytorch_name;   ///< in PyTorch's state dict
  Shape shape,        ///< here
      pytorch_shape;  ///< in PyTorch
  /// The elements as (O, H, W, I), which PyTorch has in the order (O, I, H, W); rank 0: both have one order.
  Shape channels_last;
};

/// The entries of the state dict of `net`, layer by layer as PyTorch orders them. The graph of the network says which
/// op reads a parameter: a convolution, a dense layer behind a flattened image, a normalisation. Throws Error for a
/// parameter of two axes or more that none reads.
std::vector<PyTorchEntry> pytorch_entries(nn::Module& net, const nn::Graph& graph);

/// How entries of a file are recognised: by their names, or one layer after another in the order of the file
/// (which has to be the order of the model), whatever they are called.
enum class PyTorchMatching { names, order };

/// The values of the state dict, float copies of quantized weights, in PyTorch's names and layouts. `image` is the (H,
/// W, C) that the network takes. Throws Error when it does not take it.
TensorFile to_pytorch(nn::Module& net, const Shape& image);
/// The values that the network computes with, in PyTorch's names and layouts: quantized weights as the weight rule,
/// which may be null, deploys them. Beside them, each of shape () unless said:
///   quantization/WEIGHT/bits, quantization/WEIGHT/scale   of each weight of the rule; its values are whole
///       multiples of the scale, one or (O) of them; no scale where the projection has no codes
///   quantization/ACT/bits, quantization/ACT/alpha, quantization/ACT/levels   of each module that puts its
///       output on a uniform grid, whose values are 0, alpha, ..., levels * alpha
/// from_pytorch() passes over these. The weight rule is left deployed. Throws Error for an image (H, W, C) that the
/// network does not take.
TensorFile to_pytorch(nn::Module& net, const Shape& image, quant::WeightRule* rule);
/// Fills a network, which takes `image` (H, W, C), with the tensors of a file in PyTorch's names and layouts. Throws
/// Error "from_pytorch: ...", naming the entry, when one is missing, unknown or of another shape; nothing is changed
/// then.
void from_pytorch(const TensorFile& file, nn::Module& net, const Shape& image,
                  PyTorchMatching matching = PyTorchMatching::names);

}  // namespace coarsegrad::experiments
