// The kernels of bits, each by itself, against their definitions.
#include "core/kernels/bits.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/compute/bit_planes.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::BitMatch, kernels::BitProduct, kernels::BitTile;

namespace {

std::vector<std::uint8_t> random_bytes(std::int64_t n, unsigned seed, unsigned below = 256) {
  std::mt19937 bits(seed);
  std::vector<std::uint8_t> values(static_cast<std::size_t>(n));
  for (auto& v : values) v = static_cast<std::uint8_t>(bits() / 8 % below);
  return values;
}

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

std::vector<BitMatch> matches_of(const BitProduct& product) {
  std::vector<BitMatch> all{BitMatch::equal, BitMatch::both};
  if (product.masks) all.push_back(BitMatch::masked);
  return all;
}

// A tile with everything that it points to, in the form of one product.
struct TileCase {
  const BitProduct& product;
  std::int64_t rows, taps, steps, channels;  // rows of `taps` taps of `channels` channels
  int count, columns, planes, bits;
  BitMatch match;
  std::vector<std::uint8_t> levels, weights;  // (pixel, row, tap, channel); (plane, row, step of a row, lane, byte)
  std::vector<std::int32_t> offset;

  TileCase(const BitProduct& p, BitMatch m, int pixels, int filters, int weight_planes, int activation_bits,
           std::int64_t row_taps, std::int64_t in)
      : product(p),
        rows(2),
        taps(row_taps),
        steps((in + p.channels_per_step - 1) / p.channels_per_step),
        channels(in),
        count(pixels),
        columns(filters),
        planes(weight_planes),
        bits(activation_bits),
        match(m),
        levels(random_bytes(count * rows * taps * channels, 1, 1u << bits)),
        weights(random_bytes((match == BitMatch::masked ? 2 : planes) * rows * taps * steps * step_bytes(), 2)) {
    for (int j = 0; j < product.lanes; ++j) offset.push_back(7 * j - 50);
  }

  std::int64_t step_bytes() const { return product.lanes * product.channels_per_step / 8; }

  // The bit of a weight for a channel of a step.
  int weight_bit(int plane, std::int64_t row, std::int64_t step, int lane, std::int64_t c) const {
    const std::int64_t from = ((plane * rows + row) * taps * steps + step) * step_bytes();
    return weights[at(from + lane * product.channels_per_step / 8 + c / 8)] >> c % 8 & 1;
  }

  std::int32_t expected(int pixel, int lane) const {
    std::int32_t sum = 0;
    for (int q = 0; q < planes; ++q)
      for (std::int64_t r = 0; r < rows; ++r)
        for (std::int64_t s = 0; s < taps * steps; ++s)
          for (std::int64_t c = 0; c < product.channels_per_step; ++c) {
            const std::int64_t channel = s % steps * product.channels_per_step + c;
            const int level =
                channel < channels ? levels[at(((pixel * rows + r) * taps + s / steps) * channels + channel)] : 0;
            const int w = weight_bit(q, r, s, lane, c), most = (1 << bits) - 1;
            const bool turned = match == BitMatch::masked ? weight_bit(q + 1, r, s, lane, c) == 1 : w == 0;
            const bool counts = match == BitMatch::equal || w == 1;
            sum += (3 - 5 * q) * (counts ? turned ? most - level : level : 0);
          }
    return 2 * sum + offset[at(lane)];
  }

  std::vector<std::int32_t> run(const Kernels& k) const {
    constexpr std::int64_t column = 3;
    const std::int64_t pixels = count * rows * taps, row = taps * steps * kernels::kBitStepBytes;
    std::vector<std::uint64_t> packed(at(packed_words(bits, pixels, channels)));
    k.bits.split(bits, pixels, channels, levels.data(), packed.data());
    std::vector<std::uint8_t> prepared(at(count * rows * row));
    product.expand(match, bits, pixels, channels, packed.data(), prepared.data());
    std::vector<std::int32_t> sums = output<std::int32_t>(count * columns);
    std::vector<const std::uint8_t*> from;
    std::vector<std::int32_t*> to;
    for (int i = 0; i < count; ++i) {
      from.push_back(prepared.data() + i * rows * row);
      to.push_back(sums.data() + i * columns - column);
    }
    BitTile tile{};
    tile.pixels = from.data();
    tile.count = count;
    tile.rows = rows;
    tile.run = taps * steps;
    tile.pixel_row = row;
    tile.weight_row = taps * steps * step_bytes();
    tile.weights = weights.data();
    tile.plane = rows * tile.weight_row;
    tile.planes = planes;
    tile.bits = bits;
    tile.match = match;
    for (int q = 0; q < planes; ++q) tile.coefficient[q] = 3 - 5 * q;
    tile.scale = 2;
    tile.offset = offset.data();
    tile.sums = to.data();
    tile.column = column;
    tile.columns = columns;
    product.tile(tile);
    return sums;
  }

  void check(const Kernels& k) const {
    INFO("match ", static_cast<int>(match), " pixels ", count, " filters ", columns, " planes ", planes, " bits ", bits,
         " taps ", taps, " channels ", channels);
    std::vector<std::int32_t> sums = output<std::int32_t>(count * columns);
    for (int i = 0; i < count; ++i)
      for (int j = 0; j < columns; ++j) sums[at(i * columns + j)] = expected(i, j);
    CHECK(run(k) == sums);
  }
};

}  // namespace

TEST_SUITE("bits") {
  TEST_CASE("planes of codes: every table packs them as defined, and they come back") {
    name_missing_tables();
    with_each_table([] {
      for (const std::int64_t channels : {1, 3, 31, 32, 63, 64, 65, 100, 128, 200})
        for (int bits = 1; bits <= 8; ++bits) {
          constexpr std::int64_t pixels = 3;
          const auto codes = random_bytes(pixels * channels, static_cast<unsigned>(channels));
          const std::int64_t words = plane_words(channels);
          std::vector<std::uint64_t> planes = output<std::uint64_t>(packed_words(bits, pixels, channels));
          std::vector<std::uint64_t> expected = planes;
          std::fill_n(expected.begin(), packed_words(bits, pixels, channels), 0);
          for (std::int64_t i = 0; i < pixels * channels; ++i)
            for (int k = 0; k < bits; ++k)
              expected[at((i / channels * bits + k) * words + i % channels / 64)] |=
                  std::uint64_t{codes[at(i)]} >> k << 63 >> 63 << i % channels % 64;
          pack_planes(bits, pixels, channels, codes.data(), planes.data());
          CHECK(planes == expected);
          std::vector<std::uint8_t> back(codes.size());
          unpack_planes(bits, pixels, channels, planes.data(), back.data());
          for (std::size_t i = 0; i < back.size(); ++i) REQUIRE(back[i] == (codes[i] & ((1 << bits) - 1)));
        }
    });
  }

  TEST_CASE("levels of values: every table shifts and tells values that have none, in each place") {
    with_each_table([] {
      for (const std::int64_t n : {0, 1, 31, 64, 65, 200})
        for (const auto& [low, shift, most] : {std::array{-1, 1, 1}, {-1, 0, 2}, {-128, 0, 255}, {0, 0, 127}}) {
          std::mt19937 bits(7);
          std::vector<std::int8_t> values(at(n));
          std::vector<std::uint8_t> expected(at(n)), levels(at(n));
          for (std::size_t i = 0; i < values.size(); ++i) {
            expected[i] = static_cast<std::uint8_t>(bits() % static_cast<unsigned>(most + 1));
            values[i] = static_cast<std::int8_t>(low + (expected[i] << shift));
          }
          const auto run = [&, low = low, shift = shift, most = most] {
            return active_kernels().bits.levels(n, low, shift, most, values.data(), levels.data());
          };
          CHECK(run());
          CHECK(levels == expected);
          for (std::size_t i = 0; i < values.size() && most < 127; ++i) {
            const std::int8_t right = values[i];
            for (const int wrong : {low - 1, low + (most << shift) + 1, low + shift}) {
              values[i] = static_cast<std::int8_t>(wrong);
              CHECK(run() == (shift == 0 && wrong == low));
            }
            values[i] = right;
          }
        }
    });
  }

  TEST_CASE("thresholds: every table counts those that a sum is above, the extremes of 32 bits included") {
    with_each_table([] {
      for (const std::int64_t channels : {1, 7, 8, 16, 31, 33, 64, 100})
        for (const int count : {1, 3, 15, 255}) {
          std::mt19937 bits(5);
          const auto small = [&] { return static_cast<std::int32_t>(bits() % 9) - 4; };
          std::vector<std::int32_t> sums(at(channels)), flip(at(channels)), bounds(at(channels * count));
          for (auto& v : sums) v = small();
          for (auto& v : flip) v = bits() % 2 ? -1 : 0;
          for (auto& v : bounds)
            v = bits() % 8 == 0   ? std::numeric_limits<std::int32_t>::min()
                : bits() % 8 == 0 ? std::numeric_limits<std::int32_t>::max()
                                  : small();
          std::vector<std::uint8_t> codes = output<std::uint8_t>(channels), expected = codes;
          for (std::int64_t c = 0; c < channels; ++c) {
            int passed = 0;
            for (int k = 0; k < count; ++k) passed += (sums[at(c)] ^ flip[at(c)]) > bounds[at(k * channels + c)];
            expected[at(c)] = static_cast<std::uint8_t>(passed);
          }
          active_kernels().bits.threshold(channels, count, sums.data(), flip.data(), bounds.data(), channels,
                                          codes.data());
          CHECK(codes == expected);

          if (count > 1) continue;
          std::vector<std::uint64_t> plane(at(plane_words(channels)), ~std::uint64_t{0}), wanted = plane;
          active_kernels().bits.compare(channels, sums.data(), flip.data(), bounds.data(), plane.data());
          pack_planes(1, 1, channels, expected.data(), wanted.data());
          CHECK(plane == wanted);
        }
    });
  }

  TEST_CASE("levels on lines: every table cuts off what one fused multiply-add gives, rounded up") {
    with_each_table([] {
      for (const std::int64_t channels : {1, 7, 8, 16, 31, 33, 64, 100})
        for (const int levels : {1, 3, 15, 255}) {
          std::mt19937 bits(7);
          std::vector<std::int32_t> sums(at(channels));
          std::vector<float> slope(at(channels)), start(at(channels));
          for (std::size_t c = 0; c < sums.size(); ++c) {
            sums[c] = static_cast<std::int32_t>(bits() % 4001) - 2000;
            slope[c] = c % 5 == 0 ? 0 : static_cast<float>(static_cast<int>(bits() % 401) - 200) / 64;
            start[c] = static_cast<float>(static_cast<int>(bits() % 2001) - 1000) / 32;
          }
          std::vector<std::uint8_t> codes = output<std::uint8_t>(channels), expected = codes;
          for (std::size_t c = 0; c < sums.size(); ++c) {
            const float level = std::ceil(std::fma(slope[c], static_cast<float>(sums[c]), start[c]));
            expected[c] = static_cast<std::uint8_t>(std::clamp(level, 0.f, static_cast<float>(levels)));
          }
          active_kernels().bits.line(channels, levels, sums.data(), slope.data(), start.data(), codes.data());
          CHECK(codes == expected);
        }
    });
  }

  TEST_CASE("scaled sums: every table rounds a sum to float once, and then adds the bias in one operation") {
    with_each_table([] {
      for (const std::int64_t channels : {1, 7, 8, 16, 31, 33, 64, 100}) {
        std::mt19937 bits(6);
        std::vector<std::int32_t> sums(at(channels));
        for (auto& v : sums) v = static_cast<std::int32_t>(bits()) / 2;  // most of them have no float
        const auto factors = gaussian(channels, 1), bias = gaussian(channels, 2);
        for (const float* added : {bias.data(), static_cast<const float*>(nullptr)}) {
          std::vector<float> y = output<float>(channels), expected = y;
          for (std::int64_t c = 0; c < channels; ++c)
            expected[at(c)] = std::fma(factors[at(c)], static_cast<float>(sums[at(c)]), added ? added[c] : 0.f);
          active_kernels().bits.scale(channels, sums.data(), factors.data(), added, y.data());
          CHECK(same_bits(y, expected));
        }
      }
    });
  }

  TEST_CASE("tiles of bits of every size equal the definition, on every kernel table") {
    with_each_table([] {
      const Kernels& k = active_kernels();
      for (int bits = 1; bits <= kernels::kMaxActivationBits; ++bits) {
        const BitProduct& product = bits == 1 ? k.bits.one_bit : k.bits.planes;
        for (const BitMatch match : matches_of(product))
          for (int count = 1; count <= product.max_pixels; ++count)
            for (const int columns : {1, product.lanes / 2 + 3, product.lanes})
              for (const int planes : match == BitMatch::masked ? std::vector{1} : std::vector{1, 2})
                TileCase(product, match, count, columns, planes, bits, 1 + count % 3, 20 + 37 * (count % 4)).check(k);
      }
    });
  }

  TEST_CASE("sums of bits that overflow bytes and halves of words on the way are exact") {
    with_each_table([] {
      const Kernels& k = active_kernels();
      for (int bits = 1; bits <= kernels::kMaxActivationBits; ++bits) {
        const BitProduct& product = bits == 1 ? k.bits.one_bit : k.bits.planes;
        for (const BitMatch match : matches_of(product)) {
          TileCase c(product, match, 1, 2, 1, bits, 3, 50000);
          std::ranges::fill(c.levels, static_cast<std::uint8_t>((1 << bits) - 1));
          std::ranges::fill(c.weights, std::uint8_t{255});
          c.check(k);
        }
      }
    });
  }

  TEST_CASE("the comparison of tiles catches one bit that is wrong") {
    const Kernels& k = active_kernels();
    TileCase c(k.bits.one_bit, BitMatch::equal, 2, 3, 1, 1, 3, 64);
    const auto sums = c.run(k);
    c.weights.front() ^= 1;
    CHECK(sums != c.run(k));
  }

  TEST_CASE("the highest level of a window and the sum over an image are those of the codes") {
    with_each_table([] {
      for (const std::int64_t channels : {1, 33, 64, 130})
        for (int bits = 1; bits <= 4; ++bits) {
          INFO("channels ", channels, " bits ", bits);
          const PoolShape s{.batch = 2,
                            .height = 7,
                            .width = 6,
                            .channels = channels,
                            .kernel_h = 3,
                            .kernel_w = 2,
                            .stride_h = 2,
                            .stride_w = 2,
                            .pad_h = 1,
                            .pad_w = 1};
          const std::int64_t pixels = s.batch * s.height * s.width, outputs = s.batch * s.out_height() * s.out_width();
          const auto levels = random_bytes(pixels * channels, 3, 1u << bits);
          std::vector<std::uint64_t> x(at(packed_words(bits, pixels, channels)));
          pack_planes(bits, pixels, channels, levels.data(), x.data());
          const std::vector<float> reals(levels.begin(), levels.end());
          std::vector<float> highest(at(outputs * channels));
          max_pool_forward(s, reals.data(), highest.data(), nullptr);
          std::vector<std::uint64_t> y(at(packed_words(bits, outputs, channels)));
          max_pool_planes(s, bits, x.data(), y.data());
          std::vector<std::uint8_t> got(highest.size());
          unpack_planes(bits, outputs, channels, y.data(), got.data());
          CHECK(std::vector<float>(got.begin(), got.end()) == highest);
          std::vector<std::int32_t> sums(at(2 * channels)), expected(sums.size());
          sum_planes(bits, 2, s.height * s.width, channels, x.data(), sums.data());
          for (std::int64_t i = 0; i < pixels * channels; ++i)
            expected[at(i / (channels * s.height * s.width) * channels + i % channels)] += levels[at(i)];
          CHECK(sums == expected);
        }
    });
  }

  TEST_CASE("values that a code has not, impossible codes and impossible sizes are errors") {
    std::uint64_t words[8] = {};
    std::uint8_t levels[8] = {};
    std::int32_t sums[1];
    for (const std::int8_t value : {-2, 0, 2})
      CHECK_THROWS_AS(pack_values(BitCode::signs(), 1, 1, &value, words), Error);
    for (const std::int8_t value : {-2, 2})
      CHECK_THROWS_AS(pack_values(BitCode::ternary(), 1, 1, &value, words), Error);
    const std::int8_t two = 2;
    CHECK_THROWS_AS(pack_values(BitCode::signed_bits(2), 1, 1, &two, words), Error);
    pack_values(BitCode::unsigned_bits(2), 1, 1, &two, words);
    CHECK(words[0] == 0);
    CHECK(words[1] == 1);
    CHECK_THROWS_AS(pack_values({2, 4, 1, -7}, 1, 1, &two, words), Error);
    CHECK_THROWS_AS(pack_planes(0, 1, 1, levels, words), Error);
    CHECK_THROWS_AS(pack_planes(9, 1, 1, levels, words), Error);
    CHECK_THROWS_AS(pack_planes(1, -1, 1, levels, words), Error);
    CHECK_THROWS_AS(unpack_planes(1, 1, -1, words, levels), Error);
    CHECK_THROWS_AS(sum_planes(4, 1, std::int64_t{1} << 30, 1, words, sums), Error);
    CHECK_THROWS_AS(max_pool_planes({.batch = 1,
                                     .height = 1,
                                     .width = 1,
                                     .channels = 1,
                                     .kernel_h = 2,
                                     .kernel_w = 2,
                                     .stride_h = 1,
                                     .stride_w = 1},
                                    1, words, words),
                    Error);
  }
}
