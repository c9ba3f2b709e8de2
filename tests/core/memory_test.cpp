#include "core/base/memory.h"

#include <doctest/doctest.h>

#include <atomic>
#include <thread>

#include "core/base/check.h"
#include "core/base/parallel.h"

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

TEST_CASE("pool: a small request takes a large block only when everything has been there for a while") {
  pool_release();
  { Block large(1 << 20); }
  const auto cold = pool_stats();
  { Block small(1 << 10); }
  CHECK(pool_stats().misses == cold.misses + 1);
  for (int i = 0; i < 2000; ++i) Block(1 << 10);
  const auto settled = pool_stats();
  const Block first(1 << 10), second(1 << 10);
  CHECK(pool_stats().misses == settled.misses);
  CHECK(second.capacity() == 1 << 20);
}

TEST_CASE("pool: an absurd size throws and changes nothing") {
  const auto before = pool_stats();
  CHECK_THROWS_AS(Block(std::size_t{1} << 60), Error);
  CHECK(pool_stats().bytes_used == before.bytes_used);
}

TEST_CASE("pool: what one thread of a parallel_for has asked for is there for the others as well") {
  const int before_threads = num_threads();
  set_num_threads(2);
  parallel_for(2, [](std::int64_t t) {
    if (t == 0) Scratch<char>(1234567);
  });
  const auto before = pool_stats();
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> inside = 0;
    parallel_for(2, [&](std::int64_t) {
      const Scratch<char> space(1234567);
      ++inside;
      for (int i = 0; i < 100000 && inside < 2; ++i) std::this_thread::yield();  // both at once, if possible
    });
  }
  CHECK(pool_stats().misses == before.misses);
  CHECK(pool_stats().bytes_used == before.bytes_used);
  set_num_threads(before_threads);
}

TEST_CASE("pool: release gives back what is free and keeps what is in use") {
  const Block used(1 << 16);
  { Block unused(1 << 20); }
  pool_release();
  CHECK(pool_stats().bytes_held == pool_stats().bytes_used);
  CHECK(pool_stats().bytes_used >= (1u << 16));
}
