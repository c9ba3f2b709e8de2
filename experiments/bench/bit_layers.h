#pragma once
// How fast are convolutions and products of bits, beside what the ports of the processor allow?
#include <string>

namespace coarsegrad::experiments {

/// Times layers of bits on one thread, in every table that this processor runs, and prints a line for each:
///   bits WEIGHTSxACTIVATIONS SHAPE OUTPUT TABLE: mac_per_cycle=X gmac_per_second=Y bound=Z
/// Only those whose line starts with a text that contains `filter`. The bound, in products per cycle, counts the
/// instructions of a tile's inner loop (core/kernels/README.md) over the ports, which are measured first; loops, tails,
/// preparing the images and writing the results come on top.
void time_bit_layers(const std::string& filter);

}  // namespace coarsegrad::experiments
