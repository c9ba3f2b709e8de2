#include "quant/packed/bits.h"

#include "core/base/check.h"

namespace coarsegrad::packed {
namespace {

void check_bits(int bits) { check(bits >= 1 && bits <= 8, "packed numbers: given ", bits, " bits, expected 1 to 8"); }

}  // namespace

std::vector<std::uint8_t> pack_fields(std::span<const std::uint8_t> numbers, int bits) {
  check_bits(bits);
  std::vector<std::uint8_t> bytes(field_bytes(std::ssize(numbers), bits));
  std::size_t place = 0;
  for (const std::uint8_t number : numbers)
    for (int b = 0; b < bits; ++b, ++place)
      bytes[place / 8] = static_cast<std::uint8_t>(bytes[place / 8] | (number >> b & 1) << place % 8);
  return bytes;
}

std::vector<std::uint8_t> unpack_fields(std::span<const std::uint8_t> bytes, std::int64_t count, int bits) {
  check_bits(bits);
  check(bytes.size() == field_bytes(count, bits), "packed numbers: given ", bytes.size(), " bytes for ", count,
        " numbers of ", bits, " bits, expected ", field_bytes(count, bits));
  std::vector<std::uint8_t> numbers(static_cast<std::size_t>(count));
  std::size_t place = 0;
  for (std::uint8_t& number : numbers)
    for (int b = 0; b < bits; ++b, ++place)
      number = static_cast<std::uint8_t>(number | (bytes[place / 8] >> place % 8 & 1) << b);
  return numbers;
}

}  // namespace coarsegrad::packed
