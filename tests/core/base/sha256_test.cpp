#include "core/base/sha256.h"

#include <doctest/doctest.h>

#include <string_view>

using namespace coarsegrad;

namespace {
std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }
}  // namespace

TEST_CASE("sha256: the test vectors of FIPS 180-4, in one piece and in two") {
  CHECK(sha256({}) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(sha256({bytes("abc")}) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256({bytes("a"), bytes("bc")}) == sha256({bytes("abc")}));
  CHECK(sha256({bytes("abd")}) != sha256({bytes("abc")}));
}
