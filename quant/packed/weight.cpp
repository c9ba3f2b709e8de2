#include "quant/packed/weight.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/short_text.h"
#include "core/kernels/kernels.h"
#include "quant/packed/bits.h"

namespace coarsegrad::packed {
namespace {

constexpr const char* kNames[] = {"floats", "signs", "integers", "powers", "table"};

bool has_scales(const Weight& w) { return w.codebook != Codebook::floats && w.codebook != Codebook::table; }

bool all_finite(std::span<const float> values) {
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

std::int8_t with_sign(std::uint8_t field, int bits) {
  const int half = 1 << (bits - 1);
  return static_cast<std::int8_t>((field ^ half) - half);
}

// The number behind each field: -1 and +1, or two's complement.
std::vector<std::int8_t> numbers_of(const Weight& w) {
  const std::vector<std::uint8_t> fields = unpack_fields(w.fields, w.shape.numel(), w.bits);
  std::vector<std::int8_t> numbers(fields.size());
  std::ranges::transform(fields, numbers.begin(), [&w](std::uint8_t f) {
    return w.codebook == Codebook::signs ? static_cast<std::int8_t>(2 * f - 1) : with_sign(f, w.bits);
  });
  return numbers;
}

int power_multiple(int k) { return k == 0 ? 0 : k > 0 ? 1 << (k - 1) : -(1 << (-k - 1)); }

float power_value(int k, int magnitudes) {
  return k == 0 ? 0.f : std::copysign(std::ldexp(1.f, std::abs(k) - magnitudes), static_cast<float>(k));
}

// Calls f(first weight, number of weights, scale) for the weights of each scale.
template <class F>
void for_each_scale(std::int64_t size, std::span<const float> scales, F f) {
  const std::int64_t slice = size / std::ssize(scales);
  for (std::size_t i = 0; i < scales.size(); ++i) f(static_cast<std::int64_t>(i) * slice, slice, scales[i]);
}

std::vector<float> decoded(const WeightCodes& w) {
  std::vector<float> values(w.codes.size());
  const FlushDenormals flush;
  for_each_scale(std::ssize(w.codes), w.scales, [&](std::int64_t first, std::int64_t n, float scale) {
    real_kernels<float>().projection.decode(n, w.codes.data() + first, scale, values.data() + first);
  });
  return values;
}

std::vector<float> values_of_powers(const Weight& w) {
  const std::vector<std::int8_t> numbers = numbers_of(w);
  std::vector<float> values(numbers.size());
  const FlushDenormals flush;
  for_each_scale(w.shape.numel(), w.scales, [&](std::int64_t first, std::int64_t n, float scale) {
    for (std::int64_t i = first; i < first + n; ++i)
      values[static_cast<std::size_t>(i)] = scale * power_value(numbers[static_cast<std::size_t>(i)], w.magnitudes);
  });
  return values;
}

std::vector<float> values_of_table(const Weight& w) {
  std::vector<float> values;
  for (const std::uint8_t field : unpack_fields(w.fields, w.shape.numel(), w.bits)) values.push_back(w.values[field]);
  return values;
}

// Fields that name no entry of the table, or no power of two.
void check_fields(const Weight& w) {
  if (w.codebook == Codebook::table) {
    const auto fields = unpack_fields(w.fields, w.shape.numel(), w.bits);
    check(std::ranges::all_of(fields, [&w](std::uint8_t f) { return f < w.values.size(); }),
          "packed weight: given the place of a value beyond the ", w.values.size(), " of its table");
  }
  if (w.codebook == Codebook::powers)
    check(std::ranges::all_of(numbers_of(w), [&w](std::int8_t k) { return std::abs(k) <= w.magnitudes; }),
          "packed weight: given a power beyond its ", w.magnitudes, " magnitudes");
}

int bits_for(std::span<const std::int8_t> codes) {
  int bits = 2;
  for (const std::int8_t k : codes)
    while (k < -(1 << (bits - 1)) || k >= 1 << (bits - 1)) ++bits;
  return bits;
}

std::vector<std::uint8_t> fields_of(std::span<const std::int8_t> codes, int bits) {
  const std::vector<std::uint8_t> bytes(codes.begin(), codes.end());
  return pack_fields(bytes, bits);
}

}  // namespace

const char* name_of(Codebook codebook) { return kNames[static_cast<std::size_t>(codebook)]; }

Codebook codebook_named(std::string_view name) {
  const auto found = std::ranges::find(kNames, name);
  check(found != std::end(kNames), "codebook: given ", in_quotes(name),
        ", expected floats, signs, integers, powers or table");
  return static_cast<Codebook>(found - std::begin(kNames));
}

void check_weight(const Weight& w) {
  const std::int64_t size = w.shape.numel();
  check(w.shape.rank() >= 2 && size > 0, "packed weight: given the shape ", w.shape,
        ", expected (out, in) or (out, kh, kw, in / groups) without an extent of 0");
  check(all_finite(w.values) && all_finite(w.scales), "packed weight: given a number that is not finite");
  if (w.codebook == Codebook::floats)
    return check(std::ssize(w.values) == size && w.fields.empty() && w.scales.empty(), "packed weight: given ",
                 w.values.size(), " values, ", w.fields.size(), " bytes and ", w.scales.size(), " scales for ", w.shape,
                 ", expected a value for each weight and nothing else");
  check(w.bits >= 1 && w.bits <= 8 && w.fields.size() == field_bytes(size, w.bits), "packed weight: given ",
        w.fields.size(), " bytes of ", w.bits, " bits for ", w.shape, ", expected 1 to 8 bits and the bytes for them");
  const bool signs = w.codebook == Codebook::signs;
  check(signs ? w.bits == 1 : w.codebook == Codebook::table || w.bits >= 2, "packed weight: given ",
        name_of(w.codebook), " of ", w.bits, " bits, expected 1 for signs and 2 or more with a sign");
  const auto scales = std::ssize(w.scales);
  check(has_scales(w) ? scales == 1 || scales == w.shape[0] : scales == 0, "packed weight: given ", scales,
        " scales for ", w.shape, ", expected 1, or one for each output channel; none for a table");
  const auto listed = std::ssize(w.values);
  check(w.codebook == Codebook::table ? listed >= 1 && listed <= 1 << w.bits : listed == 0, "packed weight: given ",
        listed, " values and ", w.bits, " bits, expected at most 2^bits for a table, and none otherwise");
  const bool powers = w.codebook == Codebook::powers;
  check(powers ? w.magnitudes >= 1 && w.magnitudes <= 64 : w.magnitudes == 0, "packed weight: given ", w.magnitudes,
        " magnitudes, expected 1 to 64 for powers, and none otherwise");
  check_fields(w);
}

bool has_codes(const Weight& w) {
  return w.codebook == Codebook::signs || w.codebook == Codebook::integers ||
         (w.codebook == Codebook::powers && w.magnitudes <= kMostLinear);
}

WeightCodes weight_codes(const Weight& w) {
  check(has_codes(w), "weight codes: given ", name_of(w.codebook), ", expected integer codes");
  WeightCodes all{numbers_of(w), w.scales};
  if (w.codebook == Codebook::powers) {
    for (std::int8_t& code : all.codes) code = static_cast<std::int8_t>(power_multiple(code));
    for (float& scale : all.scales) scale = std::ldexp(scale, 1 - w.magnitudes);
  }
  return all;
}

std::vector<float> weight_values(const Weight& w) {
  if (w.codebook == Codebook::floats) return w.values;
  if (w.codebook == Codebook::table) return values_of_table(w);
  return has_codes(w) ? decoded(weight_codes(w)) : values_of_powers(w);
}

Weight packed_integers(const Shape& shape, std::span<const std::int8_t> codes, std::vector<float> scales) {
  Weight w{.shape = shape, .codebook = Codebook::integers, .scales = std::move(scales)};
  if (std::ranges::all_of(codes, [](std::int8_t k) { return k == 1 || k == -1; })) {
    std::vector<std::int8_t> signs(codes.begin(), codes.end());
    for (std::int8_t& k : signs) k = k > 0;
    w.codebook = Codebook::signs;
    w.bits = 1;
    w.fields = fields_of(signs, 1);
  } else {
    w.bits = bits_for(codes);
    w.fields = fields_of(codes, w.bits);
  }
  check_weight(w);
  return w;
}

Weight packed_powers(const Shape& shape, std::span<const std::int8_t> codes, int magnitudes, int bits,
                     std::vector<float> scales) {
  Weight w{.shape = shape,
           .codebook = Codebook::powers,
           .bits = bits,
           .magnitudes = magnitudes,
           .fields = fields_of(codes, bits),
           .scales = std::move(scales)};
  check_weight(w);
  return w;
}

Weight packed_values(const Shape& shape, std::span<const float> values) {
  std::map<std::uint32_t, std::uint8_t> places;
  Weight table{.shape = shape, .codebook = Codebook::table};
  std::vector<std::uint8_t> fields;
  for (const float v : values) {
    const auto [place, is_new] =
        places.try_emplace(std::bit_cast<std::uint32_t>(v), static_cast<std::uint8_t>(places.size()));
    if (is_new) table.values.push_back(v);
    if (places.size() > 256) break;
    fields.push_back(place->second);
  }
  table.bits = std::max(1, static_cast<int>(std::bit_width(table.values.size() - 1)));
  Weight w{.shape = shape, .values = std::vector<float>(values.begin(), values.end())};
  if (table.values.size() <= 256 &&
      4 * table.values.size() + field_bytes(std::ssize(values), table.bits) < 4 * values.size()) {
    table.fields = pack_fields(fields, table.bits);
    w = std::move(table);
  }
  check_weight(w);
  return w;
}

}  // namespace coarsegrad::packed
