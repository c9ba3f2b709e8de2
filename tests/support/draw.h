#pragma once
// Numbers that tests draw.
#include <random>

namespace coarsegrad::testing {

class Draw {
 public:
  explicit Draw(unsigned seed) : engine_(seed) {}
  int integer(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  bool chance(int percent) { return integer(1, 100) <= percent; }

 protected:
  std::mt19937 engine_;
};

}  // namespace coarsegrad::testing
