#pragma once
// Reductions of long arrays: parts are computed from pieces of fixed length, on any thread, and combined in
// order, so that results have the same bits for any number of threads.
#include "core/base/memory.h"
#include "core/base/parallel.h"

namespace coarsegrad {

/// piece(begin, n) returns the Part of n elements from `begin` on; done(part) is called with all parts, in
/// order, by the caller's thread. Part is trivially copyable.
template <class Part, class Piece, class Done>
void in_pieces(std::int64_t n, Piece piece, Done done) {
  if (n <= kTaskElements) {  // many threads may be here at once, with a channel each: nothing shared for them
    if (n > 0) done(piece(std::int64_t{0}, n));
    return;
  }
  const std::int64_t count = (n + kTaskElements - 1) / kTaskElements;
  const Scratch<Part> parts(static_cast<std::size_t>(count));
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    parts[static_cast<std::size_t>(begin / kTaskElements)] = piece(begin, end - begin);
  });
  for (std::int64_t t = 0; t < count; ++t) done(parts[static_cast<std::size_t>(t)]);
}

/// part(begin, n), which is a double, summed over the pieces.
template <class Part>
double sum_of_pieces(std::int64_t n, Part part) {
  double sum = 0;
  in_pieces<double>(n, part, [&](double one) { sum += one; });
  return sum;
}

/// term(i) summed in double over i = 0 to n - 1.
template <class Term>
double sum_in_pieces(std::int64_t n, Term term) {
  return sum_of_pieces(n, [&](std::int64_t begin, std::int64_t count) {
    double part = 0;
    for (std::int64_t i = begin; i < begin + count; ++i) part += static_cast<double>(term(i));
    return part;
  });
}

}  // namespace coarsegrad
