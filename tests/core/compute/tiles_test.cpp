// The layer under the kernels of tiles, in plain C++: what the instructions do, and where they fault.
#include <doctest/doctest.h>

#include <algorithm>
#include <vector>

#include "core/base/check.h"
#include "core/compute/conv_codes.h"
#include "core/kernels/tiles/plain.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using kernels::PlainTiles, kernels::TileShapes, kernels::kTileBytes, kernels::kTileRows, kernels::kTiles;

namespace {

// Sums of 3 x 5 (tile 0), A of 3 x 8 (tile 1), B of 2 x 5 x 4 (tile 2).
TileShapes small_shapes() {
  TileShapes s;
  std::fill_n(s.rows, kTiles, std::uint8_t{kTileRows});
  std::fill_n(s.bytes, kTiles, std::uint8_t{kTileBytes});
  s.rows[0] = 3, s.bytes[0] = 20;
  s.rows[1] = 3, s.bytes[1] = 8;
  s.rows[2] = 2, s.bytes[2] = 20;
  return s;
}

template <class T>
std::vector<T> numbers(std::size_t n, int first) {
  std::vector<T> values(n);
  for (std::size_t i = 0; i < n; ++i) values[i] = static_cast<T>(first + 37 * static_cast<int>(i));
  return values;
}

template <class In>
void check_product() {
  const auto a = numbers<In>(3 * 10, 200);  // rows of 8 bytes, 10 apart
  const auto b = numbers<std::int8_t>(2 * 24, -100);
  std::vector<std::int32_t> c(3 * 7, 77), expected(c);
  PlainTiles::configure(small_shapes());
  PlainTiles::zero<0>();
  PlainTiles::load<1>(a.data(), 10);
  PlainTiles::load<2>(b.data(), 24);
  PlainTiles::multiply<In, 0, 1, 2>();
  PlainTiles::multiply<In, 0, 1, 2>();
  PlainTiles::store<0>(c.data(), 7 * sizeof(std::int32_t));
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 5; ++j) {
      std::int32_t sum = 0;
      for (std::size_t k = 0; k < 8; ++k) sum += a[i * 10 + k] * b[k / 4 * 24 + 4 * j + k % 4];
      expected[i * 7 + j] = 2 * sum;
    }
  CHECK(c == expected);
}

}  // namespace

TEST_SUITE("tiles") {
  TEST_CASE("plain tiles multiply what their shapes hold, of unsigned and of signed codes, and touch nothing else") {
    check_product<std::uint8_t>();
    check_product<std::int8_t>();
  }

  TEST_CASE("plain tiles lose what they held when they are configured anew, and keep it otherwise") {
    const std::vector<std::int32_t> in(kTileRows * kTileRows, 5);
    std::vector<std::int32_t> out(in.size());
    TileShapes s = small_shapes();
    PlainTiles::configure(s);
    const std::int64_t before = PlainTiles::configurations();
    PlainTiles::load<3>(in.data(), kTileBytes);
    PlainTiles::configure(s);
    PlainTiles::store<3>(out.data(), kTileBytes);
    CHECK(out == in);
    CHECK(PlainTiles::configurations() == before);
    s.rows[0] = 4;
    PlainTiles::configure(s);
    PlainTiles::store<3>(out.data(), kTileBytes);
    CHECK(out == std::vector<std::int32_t>(in.size()));
    CHECK(PlainTiles::configurations() == before + 1);
  }

  TEST_CASE("plain tiles refuse what an instruction would fault at") {
    std::uint8_t bytes[kTileRows * kTileBytes] = {};
    PlainTiles::release();
    CHECK_FALSE(PlainTiles::held());
    CHECK_THROWS_AS(PlainTiles::zero<0>(), Error);
    CHECK_THROWS_AS((PlainTiles::load<0>(bytes, 64)), Error);
    CHECK_THROWS_AS((PlainTiles::store<0>(bytes, 64)), Error);
    for (const auto change : {+[](TileShapes& s) { s.rows[7] = 0; }, +[](TileShapes& s) { s.rows[7] = 17; },
                              +[](TileShapes& s) { s.bytes[7] = 0; }, +[](TileShapes& s) { s.bytes[7] = 68; },
                              +[](TileShapes& s) { s.bytes[7] = 6; }}) {
      TileShapes s = small_shapes();
      change(s);
      CHECK_THROWS_AS(PlainTiles::configure(s), Error);
    }
    PlainTiles::configure(small_shapes());
    PlainTiles::multiply<std::int8_t, 0, 1, 2>();
    CHECK_THROWS_AS((PlainTiles::multiply<std::int8_t, 0, 2, 1>()), Error);
    CHECK_THROWS_AS((PlainTiles::multiply<std::int8_t, 3, 1, 2>()), Error);
    CHECK_THROWS_AS((PlainTiles::multiply<std::int8_t, 0, 1, 4>()), Error);
  }

  TEST_CASE("every thread gives its tiles back when its tasks are done, also when one of them fails") {
    use_kernels("plain_tiles");
    const int before = num_threads();
    const std::vector<std::int8_t> codes(64 * 64, 1);
    std::vector<std::int64_t> sums(64 * 64);
    const auto multiply = [&] { multiply_codes(64, 64, 64, codes.data(), codes.data(), sums.data()); };
    for (const int threads : {1, 2}) {
      set_num_threads(threads);
      bool held[2] = {false, false};
      parallel_for(2, [&](std::int64_t task) {
        multiply();  // nested: the tiles stay until the outer tasks are done
        held[task] = PlainTiles::held();
      });
      CHECK(held[0]);
      CHECK(held[1]);
      CHECK_FALSE(PlainTiles::held());
      bool left[2] = {true, true};
      parallel_for(2, [&](std::int64_t task) { left[task] = PlainTiles::held(); });
      CHECK_FALSE(left[0]);
      CHECK_FALSE(left[1]);
      CHECK_THROWS_AS(parallel_for(2,
                                   [&](std::int64_t) {
                                     multiply();
                                     check(false, "a task that fails");
                                   }),
                      Error);
      CHECK_FALSE(PlainTiles::held());
    }
    set_num_threads(before);
    use_kernels("auto");
  }

  TEST_CASE("layers whose rows and runs are equal need one configuration for all their tiles") {
    use_kernels("plain_tiles");
    const int before = num_threads();
    set_num_threads(1);
    const std::vector<std::uint8_t> x(64 * 128, 3);
    const std::vector<std::int8_t> w(64 * 128, -2);
    std::vector<std::int64_t> sums(64 * 64);
    const std::int64_t configured = PlainTiles::configurations();
    multiply_codes(64, 64, 128, x.data(), w.data(), sums.data());
    CHECK(PlainTiles::configurations() == configured + 1);
    CHECK(sums == std::vector<std::int64_t>(64 * 64, 3 * -2 * 128));
    set_num_threads(before);
    use_kernels("auto");
  }
}
