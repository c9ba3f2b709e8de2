#include "core/base/short_text.h"

#include <doctest/doctest.h>

using namespace coarsegrad;

TEST_CASE("short text: what is short and printable stays as it is") {
  CHECK(in_quotes("conv.weight") == "'conv.weight'");
  CHECK(in_quotes("") == "''");
  CHECK(in_quotes("größer 重み") == "'größer 重み'");
  CHECK(shortened(std::string(60, 'a')) == std::string(60, 'a'));
}

TEST_CASE("short text: what is long is cut, never inside a character") {
  CHECK(shortened(std::string(5'000'000, 'a')) == std::string(57, 'a') + "...");
  CHECK(shortened("ab" + std::string(70, 'c'), 8) == "abccc...");
  CHECK(shortened("aaaaééé", 9) == "aaaaé...");
  CHECK(shortened("aaaaéé", 8) == "aaaaéé");
}

TEST_CASE("short text: control characters and bytes that are no UTF-8 do not reach the terminal") {
  CHECK(shortened("\x1b[31mred\n\t\x7f") == "?[31mred???");
  CHECK(shortened("\xc2\x9b"
                  "1mred") == "?1mred");
  CHECK(shortened("\x9b"
                  "1m\xff\xc0\x80\xe9") == "?1m????");
  CHECK(shortened(std::string("a\0b", 3)) == "a?b");
}
