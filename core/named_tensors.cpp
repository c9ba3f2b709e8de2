#include "core/named_tensors.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

bool NamedTensors::contains(std::string_view name) const {
  return std::ranges::any_of(entries_, [name](const Entry& e) { return e.first == name; });
}

void NamedTensors::add(std::string name, Tensor tensor) {
  check(!contains(name), "named tensors: given '", shortened(name), "' twice, expected each name once");
  entries_.emplace_back(std::move(name), std::move(tensor));
}

const Tensor& NamedTensors::operator[](std::string_view name) const {
  for (const Entry& entry : entries_)
    if (entry.first == name) return entry.second;
  std::string known;
  for (const Entry& entry : entries_) known += ' ' + entry.first;
  throw Error(cat("named tensors: given '", shortened(name), "', expected one of:", known));
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
