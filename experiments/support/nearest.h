#pragma once
// Which names a mistyped word may have meant. Internal to the flags: mains use args.h.
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// At most three of the names, the most similar first: those that begin with the word, or that up to a third of its
/// letters (at least one, never all) turn into it, each inserted, removed or replaced (Levenshtein's distance).
std::vector<std::string> nearest(const std::string& word, const std::vector<std::string>& names);

}  // namespace coarsegrad::experiments
