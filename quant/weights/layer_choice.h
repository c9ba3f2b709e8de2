#pragma once
// Which layers of a network a rule quantizes.
#include <vector>

namespace coarsegrad {

/// Takes the first and the last of `layers`, which are in the order of the network, out of it unless they are
/// wanted. A single layer is both.
template <class Layer>
void drop_ends(std::vector<Layer>& layers, bool keep_first, bool keep_last) {
  if (!keep_last && !layers.empty()) layers.pop_back();
  if (!keep_first && !layers.empty()) layers.erase(layers.begin());
}

}  // namespace coarsegrad
