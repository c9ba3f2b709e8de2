#pragma once
// What happens in a network while it looks at one image: each module in the order of its calls.
#include <functional>
#include <string>

#include "nn/module.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// Called after each forward pass of a module below the network, or of the network itself, whose name is
/// empty.
using Visit =
    std::function<void(const std::string& name, Module& module, const Var& input, const Var& output)>;

/// Feeds a zero image (H,W,C), a batch of one, through the network in evaluation mode without a history; its
/// mode is restored. A module that is used twice is visited twice. Throws Error when the network does not
/// take the image.
void trace(Module& net, const Shape& image, const Visit& visit);

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
