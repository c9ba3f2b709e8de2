#include "core/base/memory.h"

#include <doctest/doctest.h>

#include "core/base/check.h"

using namespace coarsegrad;

TEST_CASE("pool: a block given back serves the next request of its size and a somewhat smaller one") {
  { Block warm(1 << 20); }
  const auto before = pool_stats();
  { Block again(1 << 20); }
  { Block smaller((1 << 20) - 4096); }
  const auto after = pool_stats();
  CHECK(after.misses == before.misses);
  CHECK(after.hits == before.hits + 2);
  CHECK(after.bytes_used == before.bytes_used);
}

TEST_CASE("pool: an absurd size throws and changes nothing") {
  const auto before = pool_stats();
  CHECK_THROWS_AS(Block(std::size_t{1} << 60), Error);
  CHECK(pool_stats().bytes_used == before.bytes_used);
}
