#pragma once
// Text that came from outside, made fit for a message: names in a file may be megabytes long or hold escape
// sequences for the terminal.
#include <cstddef>
#include <string>
#include <string_view>

namespace coarsegrad {

/// At most `limit` bytes (8 or more), "..." in place of the rest, never cut inside a UTF-8 character; each
/// control character (those above 0x7f, too) and each byte that is no UTF-8 becomes '?'.
std::string shortened(std::string_view text, std::size_t limit = 60);

/// shortened() in single quotes.
std::string in_quotes(std::string_view text);

}  // namespace coarsegrad
