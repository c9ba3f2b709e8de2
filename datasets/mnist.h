#pragma once
// MNIST: 60,000 + 10,000 grey images of handwritten digits, 28 x 28 (LeCun, Bottou, Bengio, Haffner:
// Gradient-based learning applied to document recognition, Proc. IEEE 86(11), 1998).
#include <filesystem>

#include "datasets/images.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// Reads the four IDX files in `root`/mnist, each packed (.gz) or plain. Throws Error when one is missing (it
/// says which, where, and the command that gets it), damaged, or not the published one.
TrainTest load_mnist(const std::filesystem::path& root, Verify verify = Verify::checksums);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
