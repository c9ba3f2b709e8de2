#include "core/base/short_text.h"

#include <cstdint>

namespace coarsegrad {
namespace {

/// Bytes of the UTF-8 character that `text` begins with; 0 where there is none.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  const std::uint8_t first = byte(0);
  const std::size_t length = first < 0x80             ? 1
                             : (first & 0xE0) == 0xC0 ? 2
                             : (first & 0xF0) == 0xE0 ? 3
                             : (first & 0xF8) == 0xF0 ? 4
                                                      : 0;
  if (length > text.size() || first == 0xC0 || first == 0xC1) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xC0) != 0x80) return 0;
  return length;
}

/// U+0000 to U+001F and U+007F to U+009F.
bool is_control(std::string_view c) {
  const auto last = static_cast<std::uint8_t>(c.back());
  return c.size() == 1 ? last < 0x20 || last == 0x7F : c[0] == '\xC2' && last < 0xA0;
}

}  // namespace

std::string shortened(std::string_view text, std::size_t limit) {
  constexpr std::string_view kRest = "...";
  std::string shown;
  std::size_t kept = 0;  // of `shown`, if the rest has to go
  while (!text.empty()) {
    const std::size_t length = character(text);
    const std::string_view next = text.substr(0, length);
    shown += length == 0 || is_control(next) ? "?" : next;
    if (shown.size() > limit) return shown.substr(0, kept).append(kRest);
    if (shown.size() + kRest.size() <= limit) kept = shown.size();
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return shown;
}

std::string in_quotes(std::string_view text) {
  std::string word = shortened(text);
  word.insert(word.begin(), '\'');
  return word += '\'';
}

}  // namespace coarsegrad
