#pragma once
// Weights for and from PyTorch. Entries of a state dict correspond one to one; what differs:
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
  std::string name, pytorch_name;
  Shape shape, pytorch_shape;
  /// (O, H, W, I): as what the elements are seen to be put into the order (O, I, H, W); rank 0: as they lie.
  Shape channels_last;
};

/// Of the state dict of `net`, layer by layer as PyTorch orders them. The graph of the network says which op
/// reads a parameter: a convolution, a dense layer behind a flattened image, a normalisation. Throws Error for
/// a parameter of two axes or more that none reads.
std::vector<PyTorchEntry> pytorch_entries(nn::Module& net, const nn::Graph& graph);

/// How entries of a file are recognised: by their names, or one layer after another in the order of the file
/// (which has to be the order of the model), whatever they are called.
enum class PyTorchMatching { names, order };

/// The values of the state dict: of quantized weights the float copies. `image` (H,W,C) is what the net takes,
/// here and below; Error when it does not.
TensorFile to_pytorch(nn::Module& net, const Shape& image);
/// What the network computes with: quantized weights as the rule, which may be null, deploys them. Beside
/// them, each of shape () unless said:
///   quantization/WEIGHT/bits, quantization/WEIGHT/scale   of each weight of the rule; its values are whole
///       multiples of the scale, one or (O) of them; no scale where the projection has no codes
///   quantization/ACT/bits, quantization/ACT/alpha, quantization/ACT/levels   of each module that puts its
///       output on a uniform grid, whose values are 0, alpha, ..., levels * alpha
/// from_pytorch() passes over these. The rule is left deployed.
TensorFile to_pytorch(nn::Module& net, const Shape& image, quant::WeightRule* rule);
/// Fills the network. Throws Error "from_pytorch: ...", naming the entry, when one is missing, unknown or of
/// another shape; nothing is changed then.
void from_pytorch(const TensorFile& file, nn::Module& net, const Shape& image,
                  PyTorchMatching matching = PyTorchMatching::names);

}  // namespace coarsegrad::experiments
