#pragma once
// How fast are convolutions and products of bits, beside what the ports of the processor allow, and beside bytes?
#include <string>

#include "experiments/bench/ports.h"

namespace coarsegrad::experiments {

/// Times layers of bits on one thread, in every table that this processor runs, and prints a line for each:
///   bits WEIGHTSxACTIVATIONS SHAPE OUTPUT TABLE: mac_per_cycle=X gmac_per_second=Y bound=Z
/// Only those whose line starts with a text that contains `filter`. The bound, in products per cycle, counts the
/// instructions of a tile's inner loop (core/kernels/README.md) over the ports; loops, tails, preparing the images and
/// writing the results come on top.
void time_bit_layers(const Ports& ports, const std::string& filter);

/// Times layers on codes of a byte each, as a training has them, to scaled floats, on planes of bits and on bytes, with
/// weights that were packed before, on one thread and in every table but the scalar one. A line for each:
///   product of WEIGHTSxACTIVATIONS SHAPE TABLE: bits_mac_per_cycle=X bytes_mac_per_cycle=Y bits_over_bytes=Z chosen=K
/// The limits of fastest_code_kernel() (core/compute/code_kernel.h) are set by them. Only those whose line starts with a
/// text that contains `filter`.
void compare_bits_and_bytes(const Ports& ports, const std::string& filter);

}  // namespace coarsegrad::experiments
