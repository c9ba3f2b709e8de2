#include "core/compute/bit_planes.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

constexpr int kWordBits = 64;

void check_sizes(const char* op, int bits, std::int64_t pixels, std::int64_t channels) {
  check(bits >= 1 && bits <= kernels::kMaxWeightPlanes && pixels >= 0 && channels >= 0, op, ": given ", pixels,
        " pixels of ", channels, " channels of ", bits, " bits, expected 0 or more and 1 to ",
        kernels::kMaxWeightPlanes, " bits");
}

// Pixels of a task.
std::int64_t pixels_together(std::int64_t channels) {
  return std::max(kTaskElements / std::max(channels, std::int64_t{1}), std::int64_t{1});
}

int level_of(const std::uint64_t* pixel, int bits, std::int64_t words, std::int64_t channel) {
  int level = 0;
  for (int k = 0; k < bits; ++k)
    level |= static_cast<int>(pixel[k * words + channel / kWordBits] >> channel % kWordBits & 1) << k;
  return level;
}

// y = the higher of x and y, for 64 codes at a time: where all planes above agree, the next one decides.
void raise(int bits, std::int64_t words, const std::uint64_t* x, std::uint64_t* y) {
  for (std::int64_t w = 0; w < words; ++w) {
    std::uint64_t open = ~std::uint64_t{0}, higher = 0;
    for (int k = bits - 1; k >= 0; --k) {
      const std::uint64_t a = x[k * words + w], b = y[k * words + w];
      higher |= open & a & ~b;
      open &= ~(a ^ b);
    }
    for (int k = 0; k < bits; ++k) {
      std::uint64_t& b = y[k * words + w];
      b = (x[k * words + w] & higher) | (b & ~higher);
    }
  }
}

}  // namespace

void BitCode::validate(const char* op, int most_bits) const {
  const bool known =
      bits >= 1 && bits <= 8 &&
      (*this == signs() || *this == ternary() || *this == unsigned_bits(bits) || *this == signed_bits(bits));
  check(known && bits <= most_bits, op, ": given a code of ", bits, " bits and ", levels, " levels from ", low,
        " in steps of ", step, ", expected signs, ternary, unsigned or signed codes of 1 to ", most_bits, " bits");
}

BitCode narrowest_code(std::int64_t n, const std::int8_t* values) {
  std::atomic<unsigned> any_sizes = 0, any_others = 0;
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    std::uint8_t sizes = 0, others = 0;  // v or -1 - v; 0 where all are -1 or 1, 1 where some are 0, above for -2
    for (std::int64_t i = begin; i < end; ++i) {
      const auto byte = static_cast<std::uint8_t>(values[i]);
      sizes = static_cast<std::uint8_t>(sizes | (values[i] < 0 ? ~byte : byte));
      others = static_cast<std::uint8_t>(others | ((byte + 1) & ~2));
    }
    any_sizes |= sizes;
    any_others |= others;
  });
  if (any_others == 0) return BitCode::signs();
  if (any_others == 1 && any_sizes == 1) return BitCode::ternary();
  return BitCode::signed_bits(static_cast<int>(std::bit_width(any_sizes.load())) + 1);
}

void pack_planes(int bits, std::int64_t pixels, std::int64_t channels, const std::uint8_t* levels,
                 std::uint64_t* planes) {
  check_sizes("pack_planes", bits, pixels, channels);
  const auto split = active_kernels().bits.split;
  parallel_ranges(pixels, pixels_together(channels), [&](std::int64_t begin, std::int64_t end) {
    split(bits, end - begin, channels, levels + begin * channels, planes + packed_words(bits, begin, channels));
  });
}

void pack_values(const BitCode& code, std::int64_t pixels, std::int64_t channels, const std::int8_t* values,
                 std::uint64_t* planes) {
  code.validate("pack_values", kernels::kMaxWeightPlanes);
  check_sizes("pack_values", code.bits, pixels, channels);
  const kernels::Bits& kernels = active_kernels().bits;
  const int most = std::min(code.levels - 1, std::numeric_limits<std::int8_t>::max() - code.low);
  parallel_ranges(pixels, pixels_together(channels), [&](std::int64_t begin, std::int64_t end) {
    const std::int64_t n = (end - begin) * channels;
    const Scratch<std::uint8_t> levels(static_cast<std::size_t>(n));
    check(kernels.levels(n, code.low, code.step - 1, most, values + begin * channels, levels.data()),
          "pack_values: given a value that has no level, expected ", code.low, " to ", code.high(), " in steps of ",
          code.step);
    kernels.split(code.bits, end - begin, channels, levels.data(), planes + packed_words(code.bits, begin, channels));
  });
}

void unpack_planes(int bits, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                   std::uint8_t* levels) {
  check_sizes("unpack_planes", bits, pixels, channels);
  const std::int64_t words = plane_words(channels);
  parallel_ranges(pixels, pixels_together(channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p)
      for (std::int64_t c = 0; c < channels; ++c)
        levels[p * channels + c] = static_cast<std::uint8_t>(level_of(planes + p * bits * words, bits, words, c));
  });
}

void unpack_values(const BitCode& code, std::int64_t pixels, std::int64_t channels, const std::uint64_t* planes,
                   std::int8_t* values) {
  code.validate("unpack_values", kernels::kMaxWeightPlanes);
  check_sizes("unpack_values", code.bits, pixels, channels);
  const std::int64_t words = plane_words(channels);
  parallel_ranges(pixels, pixels_together(channels), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t p = begin; p < end; ++p)
      for (std::int64_t c = 0; c < channels; ++c)
        values[p * channels + c] = static_cast<std::int8_t>(
            code.low + code.step * level_of(planes + p * code.bits * words, code.bits, words, c));
  });
}

void max_pool_planes(const PoolShape& s, int bits, const std::uint64_t* x, std::uint64_t* y) {
  s.validate();
  check_sizes("max_pool_planes", bits, s.batch, s.channels);
  const std::int64_t words = plane_words(s.channels), pixel = bits * words;
  parallel_for(s.batch * s.out_height(), [&](std::int64_t row) {
    const std::int64_t image = row / s.out_height() * s.height, top = row % s.out_height() * s.stride_h - s.pad_h;
    const std::int64_t first_y = std::max(top, std::int64_t{0}), last_y = std::min(top + s.kernel_h, s.height);
    for (std::int64_t ox = 0; ox < s.out_width(); ++ox) {
      const std::int64_t left = ox * s.stride_w - s.pad_w;
      const std::int64_t first_x = std::max(left, std::int64_t{0}), last_x = std::min(left + s.kernel_w, s.width);
      std::uint64_t* to = y + (row * s.out_width() + ox) * pixel;
      std::fill_n(to, pixel, std::uint64_t{0});
      for (std::int64_t iy = first_y; iy < last_y; ++iy)
        for (std::int64_t ix = first_x; ix < last_x; ++ix)
          raise(bits, words, x + ((image + iy) * s.width + ix) * pixel, to);
    }
  });
}

void sum_planes(int bits, std::int64_t batch, std::int64_t pixels, std::int64_t channels, const std::uint64_t* x,
                std::int32_t* sums) {
  check_sizes("sum_planes", bits, batch, channels);
  check(pixels >= 0 && pixels <= std::numeric_limits<std::int32_t>::max() >> bits, "sum_planes: given ", pixels,
        " pixels of ", bits, " bits, expected a sum within 31 bits");
  const std::int64_t words = plane_words(channels);
  parallel_for(batch, [&](std::int64_t n) {
    std::int32_t* sum = sums + n * channels;
    std::fill_n(sum, channels, 0);
    for (std::int64_t p = n * pixels; p < (n + 1) * pixels; ++p)
      for (std::int64_t c = 0; c < channels; ++c) sum[c] += level_of(x + p * bits * words, bits, words, c);
  });
}

}  // namespace coarsegrad
