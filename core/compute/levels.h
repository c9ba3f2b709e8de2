#pragma once
// Integers behind elements whose levels need not be multiples of one number: what the products of the backward pass
// on codes read (core/compute/conv_codes_backward.h).
#include <cstdint>
#include <vector>

namespace coarsegrad {

/// A uniform grid: code k, a byte, stands for step (k - zero) + rest.
struct Levels {
  double step;  ///< distance of neighbouring levels
  int zero;     ///< the code of the level `rest`
  double rest;  ///< 0 where 0 is a level
};

/// A tensor as its codes. Refers to them, and owns the levels.
struct LeveledCodes {
  const std::uint8_t* codes;   ///< one byte per element
  bool is_signed;              ///< whether a byte is read as -128 to 127, else as 0 to 255
  std::vector<Levels> levels;  ///< one, or one for each slice of the first axis
};

}  // namespace coarsegrad
