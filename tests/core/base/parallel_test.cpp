#include "core/base/parallel.h"

#include <doctest/doctest.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <thread>
#include <vector>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "tests/support/child.h"

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

TEST_CASE(
    "parallel_for: nested calls, calls from several threads at once and changing team sizes all do every "
    "task") {
  std::atomic<std::int64_t> sum{0};
  const auto many_regions = [&sum] {
    for (int round = 0; round < 300; ++round)
      parallel_for(round % 7, [&](std::int64_t) {
        parallel_for(3, [&](std::int64_t t) { sum.fetch_add(t, std::memory_order_relaxed); });
      });
  };
  std::int64_t wanted = 0;
  for (int round = 0; round < 300; ++round) wanted += 3 * (round % 7);
  std::vector<std::thread> callers;
  for (int i = 0; i < 3; ++i) callers.emplace_back(many_regions);
  for (std::thread& caller : callers) caller.join();
  for (const int threads : {4, 1, 3, 2}) {
    set_num_threads(threads);
    many_regions();
  }
  CHECK(sum == 7 * wanted);
}

TEST_CASE("parallel_for: after an exception the team works on") {
  set_num_threads(2);
  for (int round = 0; round < 100; ++round) {
    CHECK_THROWS_AS(parallel_for(8, [](std::int64_t) { check(false, "every task"); }), Error);
    std::atomic<int> done{0};
    parallel_for(8, [&](std::int64_t) { ++done; });
    CHECK(done == 8);
  }
}

TEST_CASE("set_num_threads: absurd counts throw") {
  CHECK_THROWS_AS(set_num_threads(0), Error);
  CHECK_THROWS_AS(set_num_threads(100000), Error);
}

TEST_CASE("the default number of threads, asked for in a process of its own" * doctest::skip()) {
  const char* expected = std::getenv("EXPECTED_THREADS");
  CHECK(num_threads() == std::atoi(expected ? expected : "0"));
}

TEST_CASE("threads: by default as many as there are processors in the affinity mask") {
  cpu_set_t all;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  if (CPU_COUNT(&all) == 1) MESSAGE("skipped: this process may use one processor only");
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  const int code = testing::in_child([first] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    unsetenv("OMP_NUM_THREADS");
    setenv("EXPECTED_THREADS", "1", 1);
    if (sched_setaffinity(0, sizeof one, &one) == 0)
      execl("/proc/self/exe", "core_base_test", "--no-skip", "--out=/dev/null",
            "--test-case=the default number of threads*", nullptr);
    return 2;
  });
  CHECK(code == 0);
}

namespace {

/// Two tasks that wait for each other: it takes two threads, and both are well under way when it returns.
void meet() {
  std::atomic<int> here{0};
  parallel_for(2, [&](std::int64_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
}

}  // namespace

TEST_CASE("parallel_for: a forked process has threads of its own") {
  set_num_threads(2);
  meet();  // a thread that still starts may hold a lock of the sanitizers' allocator, which the child would wait for
  const int together = testing::in_child([] {
    meet();
    return 0;
  });
  CHECK(together == 0);
}

TEST_CASE("memory: a process that was forked while another thread asks for memory gets some") {
#if defined(__SANITIZE_ADDRESS__)
  MESSAGE("skipped: the allocator of the sanitizers keeps locks that another thread held when the process forked");
  return;
#endif
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) const Scratch<float> piece(300);
  });
  for (int round = 0; round < 200; ++round) {
    const int code = testing::in_child([] {
      const Scratch<float> piece(600);
      return piece.data() ? 0 : 1;
    });
    CHECK(code == 0);
    if (code != 0) break;
  }
  stop = true;
  busy.join();
}
