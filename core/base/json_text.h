#pragma once
// JSON from files that may be hostile: what is read into memory is bounded, and a number becomes an integer
// only where it is one.
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad {

/// Bounds on what is read into memory.
struct JsonLimits {
  int depth = 8;  ///< most lists and objects inside of each other
  /// The most entries of a list or object inside of the outermost one.
  std::size_t inner_length = std::numeric_limits<std::size_t>::max();
};

/// Takes an entry of the outermost object; entries for which it returns true are not kept.
using TakeEntry = std::function<bool(const std::string& key, const nlohmann::json& value)>;

/// Parses the text. Throws Error, one short line that begins with `what`, for malformed JSON, for a key that is twice
/// in an object, and for what is beyond the limits, before memory is spent on it.
nlohmann::json parse_json(std::string_view text, const std::string& what, const JsonLimits& limits = {},
                          const TakeEntry& take = {});

/// The whole number that `value` is. Throws Error "WHAT: given VALUE, expected a whole number from LEAST to
/// MOST" for anything else: 1.5, 1e3, true, "1", and numbers that T does not hold.
template <std::integral T>
T integer_from_json(const nlohmann::json& value, std::string_view what, T least = std::numeric_limits<T>::min(),
                    T most = std::numeric_limits<T>::max()) {
  const auto fits = [&](auto number) {
    return std::cmp_greater_equal(number, least) && std::cmp_less_equal(number, most);
  };
  if (value.is_number_unsigned() && fits(value.get<std::uint64_t>())) return static_cast<T>(value.get<std::uint64_t>());
  if (value.is_number_integer() && !value.is_number_unsigned() && fits(value.get<std::int64_t>()))
    return static_cast<T>(value.get<std::int64_t>());
  throw Error(cat(what, ": given ", shortened(value.is_primitive() ? value.dump() : value.type_name()),
                  ", expected a whole number from ", least, " to ", most));
}

}  // namespace coarsegrad
