#include "core/base/parallel.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/base/check.h"

using namespace coarsegrad;

TEST_CASE("parallel_for: every task runs exactly once, with 1 and with 2 threads") {
  for (int threads : {1, 2}) {
    set_num_threads(threads);
    std::vector<int> seen(1000);
    parallel_for(1000, [&](std::int64_t t) { ++seen[static_cast<std::size_t>(t)]; });
    CHECK(seen == std::vector<int>(1000, 1));
  }
}

TEST_CASE("parallel_for: an exception in a task reaches the caller") {
  CHECK_THROWS_AS(parallel_for(10, [](std::int64_t t) { check(t != 7, "task 7"); }), Error);
}

TEST_CASE("denormals are flushed in every task and the mode is restored afterwards") {
  volatile float tiny = 1e-38f;
  std::vector<float> out(4);
  parallel_for(4, [&](std::int64_t t) { out[static_cast<std::size_t>(t)] = tiny * 0.01f; });
  CHECK(out == std::vector<float>(4, 0.f));
  CHECK(tiny * 0.01f != 0.f);
}
