#pragma once
// What an op or a module says of itself beside its tensors, as plain data: "stride" (2, 2), "bits" 4.
#include <cstdint>
#include <map>
#include <string>
#include <variant>
#include <vector>

#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// One thing that an op or a module says of itself.
using Attribute = std::variant<bool, std::int64_t, double, std::string, std::vector<std::int64_t>, Tensor>;
/// All that an op or a module says of itself, by name.
using Attributes = std::map<std::string, Attribute>;

/// The attribute of that name and type; null where there is none.
template <class T>
const T* find_attribute(const Attributes& attributes, const std::string& name) {
  const auto found = attributes.find(name);
  return found == attributes.end() ? nullptr : std::get_if<T>(&found->second);
}

/// Attributes that are made when somebody asks. Refers to a callable, which lives at least as long as the
/// call that it is an argument of; none gives no attributes.
class LazyAttributes {
 public:
  /// No attributes.
  LazyAttributes() = default;
  /// What make(), which returns Attributes, will give.
  template <class F>
  LazyAttributes(const F& make)  // NOLINT(google-explicit-constructor): a lambda flows into an op
      : make_(&make), call_([](const void* f) { return Attributes((*static_cast<const F*>(f))()); }) {}
  /// Makes them.
  Attributes operator()() const { return call_ ? call_(make_) : Attributes(); }

 private:
  const void* make_ = nullptr;
  Attributes (*call_)(const void*) = nullptr;
};

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
