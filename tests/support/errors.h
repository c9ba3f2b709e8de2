#pragma once
// What an operation complains about.
#include <string>

#include "core/base/check.h"

namespace coarsegrad {

/// The message of the Error that f() throws, or "" when it throws nothing.
template <class F>
std::string complaint_of(F&& f) {
  try {
    f();
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace coarsegrad

/// Checks that `text` contains `part`; prints the text otherwise.
#define CHECK_SAYS(text, part)                         \
  do {                                                 \
    const std::string what_it_says = (text);           \
    CAPTURE(what_it_says);                             \
    CHECK(coarsegrad::contains(what_it_says, (part))); \
  } while (false)
