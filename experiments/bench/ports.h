#pragma once
// What the processor at hand can start in a cycle, measured: bounds of kernels follow from it, not from a table of
// another machine.
namespace coarsegrad::experiments {

/// Instructions per cycle of one core for vectors of one width: independent, operands in registers, loads from the
/// first-level cache. 0 where the processor has no such vectors or no such instruction.
struct VectorPorts {
  double logic,  ///< exclusive or
      add,       ///< addition of bytes
      mixed,  ///< shuffles, additions and exclusive ors in turn, one shuffle in four: all vector instructions together
      shuffle,     ///< of bytes by a register, and in turn with shifts, which share its pipes
      load,        ///< whole vectors
      broadcast,   ///< 16 bytes to every part of a vector
      count_ones,  ///< of 64-bit lanes
      multiply,    ///< pairs of 16 bits, added in pairs
      dot,         ///< four products of bytes, added to 32 bits
      fma,         ///< float multiply-adds
      dot_bf16,    ///< two products of bf16, added to floats
      store;       ///< whole vectors
};

/// The processor.
struct Ports {
  double hz,        ///< the clock under this load, from a chain of multiplications of three cycles each
      count_ones,   ///< of a 64-bit register, per cycle
      multiply,     ///< of 64-bit registers, per cycle
      tile,         ///< products of whole tiles of bytes, 16 x 16 x 64, per cycle; 0 where the table `amx` does not run
      tile_bf16;    ///< products of whole tiles of bf16, 16 x 16 x 32
  VectorPorts ymm,  ///< of 256 bits
      zmm;          ///< of 512 bits
};

/// Float operations per second of one core: two for each multiply-add of vectors of 512 (`wide`) or 256 bits.
double float_peak(const Ports& ports, bool wide);

/// Measures for about half a second, on the thread that calls; on other processors than x86-64 everything but hz is 0,
/// and hz is NaN.
Ports measure_ports();
/// Prints them, and a line that begins with `skipped` for each instruction that this processor lacks.
void print_ports(const Ports& ports);

}  // namespace coarsegrad::experiments
