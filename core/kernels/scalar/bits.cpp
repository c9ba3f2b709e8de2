#include "core/kernels/bits.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/kernels/tables.h"

namespace coarsegrad::kernels::scalar {
namespace {

constexpr int kWordBits = 64, kWordBytes = 8, kLanes = 16, kMaxPixels = 4;

std::uint64_t word_at(const std::uint8_t* bytes) {
  std::uint64_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

// A step holds a word of each plane.
void expand(BitMatch, int bits, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
            std::uint8_t* to) {
  const std::int64_t words = (channels + kWordBits - 1) / kWordBits;
  for (std::int64_t p = 0; p < pixels; ++p, planes += bits * words)
    for (std::int64_t s = 0; s < words; ++s, to += kBitStepBytes)
      for (int k = 0; k < bits; ++k) std::memcpy(to + kWordBytes * k, planes + k * words + s, kWordBytes);
}

std::uint64_t matching(BitMatch match, std::uint64_t a, std::uint64_t w, std::uint64_t sign) {
  if (match == BitMatch::equal) return ~(a ^ w);
  return match == BitMatch::both ? a & w : (a ^ sign) & w;
}

std::int32_t matches(const BitTile& t, int plane, int i, int j) {
  std::int32_t sum = 0;
  for (std::int64_t r = 0; r < t.rows; ++r)
    for (std::int64_t s = 0; s < t.run; ++s) {
      const std::uint8_t* pixel = t.pixels[i] + r * t.pixel_row + s * kBitStepBytes;
      const std::uint8_t* weight = t.weights + plane * t.plane + r * t.weight_row + (s * kLanes + j) * kWordBytes;
      const std::uint64_t w = word_at(weight), sign = t.match == BitMatch::masked ? word_at(weight + t.plane) : 0;
      for (int k = 0; k < t.bits; ++k) {
        const std::uint64_t a = word_at(pixel + kWordBytes * k);
        sum += std::popcount(matching(t.match, a, w, sign)) << k;
      }
    }
  return sum;
}

void tile(const BitTile& t) {
  for (int i = 0; i < t.count; ++i)
    for (int j = 0; j < t.columns; ++j) {
      std::int32_t sum = 0;
      for (int q = 0; q < t.planes; ++q) sum += t.coefficient[q] * matches(t, q, i, j);
      t.sums[i][t.column + j] = t.scale * sum + t.offset[j];
    }
}

void split(int bits, std::int64_t pixels, std::int64_t channels, const std::uint8_t* codes, std::uint64_t* planes) {
  const std::int64_t words = (channels + kWordBits - 1) / kWordBits;
  for (std::int64_t p = 0; p < pixels; ++p, codes += channels, planes += bits * words) {
    std::memset(planes, 0, static_cast<std::size_t>(bits * words) * sizeof *planes);
    for (std::int64_t c = 0; c < channels; ++c)
      for (int k = 0; k < bits; ++k)
        planes[k * words + c / kWordBits] |= static_cast<std::uint64_t>(codes[c] >> k & 1) << c % kWordBits;
  }
}

bool levels(std::int64_t n, int low, int shift, int most, const std::int8_t* values, std::uint8_t* levels) {
  bool right = true;
  for (std::int64_t i = 0; i < n; ++i) {
    const int above = static_cast<std::uint8_t>(values[i] - low);
    levels[i] = static_cast<std::uint8_t>(above >> shift);
    right &= levels[i] <= most && levels[i] << shift == above;
  }
  return right;
}

void threshold(std::int64_t channels, int count, const std::int32_t* sums, const std::int32_t* flip,
               const std::int32_t* bounds, std::int64_t bounds_row, std::uint8_t* codes) {
  for (std::int64_t c = 0; c < channels; ++c) {
    int passed = 0;
    for (int k = 0; k < count; ++k) passed += (sums[c] ^ flip[c]) > bounds[k * bounds_row + c];
    codes[c] = static_cast<std::uint8_t>(passed);
  }
}

void compare(std::int64_t channels, const std::int32_t* sums, const std::int32_t* flip, const std::int32_t* bounds,
             std::uint64_t* plane) {
  std::fill_n(plane, (channels + kWordBits - 1) / kWordBits, 0);
  for (std::int64_t c = 0; c < channels; ++c)
    plane[c / kWordBits] |= static_cast<std::uint64_t>((sums[c] ^ flip[c]) > bounds[c]) << c % kWordBits;
}

void line(std::int64_t channels, int levels, const std::int32_t* sums, const float* slope, const float* start,
          std::uint8_t* codes) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const float level = std::ceil(std::fma(slope[c], static_cast<float>(sums[c]), start[c]));
    codes[c] = static_cast<std::uint8_t>(std::clamp(level, 0.f, static_cast<float>(levels)));
  }
}

void scale(std::int64_t channels, const std::int32_t* sums, const float* factors, const float* bias, float* y) {
  for (std::int64_t c = 0; c < channels; ++c)
    y[c] = std::fma(factors[c], static_cast<float>(sums[c]), bias ? bias[c] : 0.f);
}

constexpr BitProduct kProduct{kWordBits, kLanes, kMaxPixels, true, expand, tile};

}  // namespace

const Bits bits{kProduct, kProduct, split, levels, threshold, compare, line, scale};

}  // namespace coarsegrad::kernels::scalar
