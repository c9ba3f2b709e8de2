#include "quant/packed/bits.h"

#include <doctest/doctest.h>

#include <random>

#include "quant/packed/weight.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;

TEST_CASE("packed bits: numbers of every width come back, the first one in the lowest bits") {
  std::mt19937 random(1);
  for (int bits = 1; bits <= 8; ++bits)
    for (const std::size_t count : {0, 1, 7, 8, 9, 31, 100}) {
      std::vector<std::uint8_t> numbers(count);
      for (std::uint8_t& n : numbers) n = static_cast<std::uint8_t>(random() & ((1U << bits) - 1));
      const auto bytes = pack_fields(numbers, bits);
      CHECK(bytes.size() == (count * static_cast<std::size_t>(bits) + 7) / 8);
      CHECK(unpack_fields(bytes, static_cast<std::int64_t>(count), bits) == numbers);
    }
  CHECK(pack_fields(std::vector<std::uint8_t>{1, 0, 0, 0, 0, 0, 0, 0, 1}, 1) == std::vector<std::uint8_t>{1, 1});
  CHECK(pack_fields(std::vector<std::uint8_t>{1, 2, 3}, 3) == std::vector<std::uint8_t>{0b11010001, 0b0});
  CHECK_SAYS(complaint_of([] { pack_fields({}, 9); }), "given 9 bits, expected 1 to 8");
  CHECK_SAYS(complaint_of([] { unpack_fields(std::vector<std::uint8_t>(2), 3, 8); }),
             "given 2 bytes for 3 numbers of 8 bits, expected 3");
}

TEST_CASE("packed weights: codes take as few bits as they need and come back with their scales") {
  const auto bits_of = [](const std::vector<std::int8_t>& codes) {
    const Weight w = packed_integers({2, std::ssize(codes) / 2}, codes, {0.5f, 0.25f});
    const WeightCodes back = weight_codes(w);
    CHECK(back.codes == codes);
    CHECK(back.scales == std::vector<float>{0.5f, 0.25f});
    std::vector<float> values;
    for (std::size_t i = 0; i < codes.size(); ++i) values.push_back((2 * i < codes.size() ? 0.5f : 0.25f) * codes[i]);
    CHECK(weight_values(w) == values);
    return w.bits;
  };
  CHECK(bits_of({1, -1, -1, 1}) == 1);
  CHECK(bits_of({1, -1, 0, 1}) == 2);
  CHECK(bits_of({3, -1, 0, -4}) == 3);
  CHECK(bits_of({7, -7, 0, 1}) == 4);
  CHECK(bits_of({-128, 127, 0, 1}) == 8);
}

TEST_CASE("packed weights: powers of two are codes up to 4 magnitudes, and values beyond") {
  const std::vector<std::int8_t> numbers{0, 1, -4, 3};
  const Weight four = packed_powers({1, 4}, numbers, 4, 4, {0.3f});
  CHECK(weight_codes(four).codes == std::vector<std::int8_t>{0, 1, -8, 4});
  CHECK(weight_codes(four).scales == std::vector<float>{0.3f / 8});
  CHECK(weight_values(four) == std::vector<float>{0, 0.3f / 8, -0.3f, 0.3f / 2});
  const Weight eight = packed_powers({1, 4}, numbers, 8, 5, {0.3f});
  CHECK(!has_codes(eight));
  CHECK_SAYS(complaint_of([&] { weight_codes(eight); }), "given powers, expected integer codes");
  CHECK(weight_values(eight) == std::vector<float>{0, 0.3f / 128, -0.3f / 16, 0.3f / 32});
}

TEST_CASE("packed weights: few different values become a table, bit for bit, and many stay floats") {
  std::vector<float> values(64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = i % 3 == 0 ? -0.f : i % 3 == 1 ? 0.f : 0.1f;
  const Weight table = packed_values({8, 8}, values);
  CHECK(table.codebook == Codebook::table);
  CHECK(table.bits == 2);
  const std::vector<float> back = weight_values(table);
  for (std::size_t i = 0; i < values.size(); ++i) {
    CHECK(back[i] == values[i]);
    CHECK(std::signbit(back[i]) == std::signbit(values[i]));
  }
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i);
  CHECK(packed_values({8, 8}, values).codebook == Codebook::floats);
  values[3] = INFINITY;
  CHECK_SAYS(complaint_of([&] { packed_values({8, 8}, values); }), "given a number that is not finite");
}
