#pragma once
// How fast memory is, level by level, as all threads of a run find it.
#include <cstdint>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// One level of the caches, or memory.
struct Bandwidth {
  std::string level;   ///< "L1", "L2", "L3" or "memory"
  std::int64_t holds;  ///< bytes that it holds for all threads together; of memory the largest number
  double read,         ///< bytes per second, of an array that half fills the level
      write,           ///< the same for writing
      copy;            ///< bytes read and written per second
};

/// Measures each level that Linux names, with so many threads, for about a second altogether. Empty on other processors
/// than x86-64 with AVX2.
std::vector<Bandwidth> measure_bandwidth(int threads);
/// Prints them.
void print_bandwidth(const std::vector<Bandwidth>& levels);

/// The least seconds that so many bytes take, read and written once each, which lie in the lowest level that holds them
/// all. 0 where nothing was measured.
double seconds_to_move(const std::vector<Bandwidth>& levels, double bytes);

}  // namespace coarsegrad::experiments
