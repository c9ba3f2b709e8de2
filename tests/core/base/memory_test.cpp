#include "core/base/memory.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <random>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"

using namespace coarsegrad;

TEST_CASE("pool: a block given back serves the next request of its size and a somewhat smaller one") {
  { MemoryBlock warm(1 << 20); }
  const auto before = pool_stats();
  { MemoryBlock again(1 << 20); }
  { MemoryBlock smaller((1 << 20) - 4096); }
  const auto after = pool_stats();
  CHECK(after.misses == before.misses);
  CHECK(after.hits == before.hits + 2);
  CHECK(after.bytes_used == before.bytes_used);
}

TEST_CASE("pool: blocks given back join with their neighbours, whatever the order, and are cut again") {
  pool_release();
  constexpr std::size_t mebibyte = 1 << 20;
  { const MemoryBlock one_mapping(8 * mebibyte); }  // two need not lie side by side
  for (const auto& order : {std::array{0, 1, 2, 3}, std::array{3, 1, 0, 2}, std::array{2, 0, 3, 1}}) {
    {
      std::array<MemoryBlock, 4> parts{MemoryBlock(2 * mebibyte), MemoryBlock(2 * mebibyte), MemoryBlock(2 * mebibyte),
                                       MemoryBlock(2 * mebibyte)};
      for (const int i : order) parts[static_cast<std::size_t>(i)] = MemoryBlock();
    }
    const auto before = pool_stats();
    {
      const MemoryBlock most(5 * mebibyte), rest(3 * mebibyte);
      CHECK(most.capacity() == 5 * mebibyte);
      CHECK(pool_stats().bytes_used == before.bytes_used + 8 * mebibyte);
    }
    CHECK(pool_stats().bytes_held == before.bytes_held);
    CHECK(pool_stats().misses == before.misses);
  }
}

TEST_CASE("pool: no two blocks overlap, at any moment of a random history") {
  struct Held {
    MemoryBlock block;
    std::size_t bytes;
    unsigned char mark;
  };
  std::vector<Held> held;
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    if (held.size() < 40 && random() % 2) {
      const std::size_t bytes = 1 + random() % (400 << 10);
      held.push_back({MemoryBlock(bytes), bytes, static_cast<unsigned char>(i)});
      std::memset(held.back().block.data(), held.back().mark, bytes);
    } else if (!held.empty()) {
      std::swap(held[random() % held.size()], held.back());
      const auto* data = static_cast<const unsigned char*>(held.back().block.data());
      const auto mine = [&](unsigned char c) { return c == held.back().mark; };
      REQUIRE(std::all_of(data, data + held.back().bytes, mine));
      held.pop_back();
    }
  }
}

TEST_CASE("pool: an absurd size throws and changes nothing") {
  const auto before = pool_stats();
  CHECK_THROWS_AS(MemoryBlock(std::size_t{1} << 60), Error);
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
  const MemoryBlock used(1 << 16);
  { MemoryBlock unused(1 << 20); }
  pool_release();
  CHECK(pool_stats().bytes_held == pool_stats().bytes_used);
  CHECK(pool_stats().bytes_used >= (1u << 16));
}
