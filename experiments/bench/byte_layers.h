#pragma once
// How fast are convolutions and products of codes as bytes, by dot products or on tiles, beside what the ports of the
// processor allow?
#include <string>

#include "experiments/bench/ports.h"

namespace coarsegrad::experiments {

/// Times layers of bytes on one thread, weights packed beforehand, in every table that this processor runs, and
/// prints a line for each:
///   bytes u8xs8|s8xs8 SHAPE to floats|to levels TABLE: mac_per_cycle=X gmac_per_second=Y bound=Z
/// Only those whose line starts with a text that contains `filter`. The bound, in products per cycle, counts the
/// instructions of a tile's inner loop (core/kernels/README.md) over the ports; loops, tails and writing the results
/// come on top. Tables that this processor does not run are named in a line that begins with `skipped`.
void time_byte_layers(const Ports& ports, const std::string& filter);

}  // namespace coarsegrad::experiments
