#include "core/base/parallel.h"

#include <doctest/doctest.h>
#include <sched.h>
#include <sys/resource.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "tests/support/child.h"
#include "tests/support/sanitizers.h"

using namespace coarsegrad;

namespace {

/// Leaves this process so much more address space than it has now, until the end of the scope.
class AddressSpace {
 public:
  explicit AddressSpace(rlim_t more) {
    getrlimit(RLIMIT_AS, &before_);
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit limit{pages * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + more, before_.rlim_max};
    setrlimit(RLIMIT_AS, &limit);
  }
  ~AddressSpace() { setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

/// Runs the test case "alone: WHAT" in a process of its own, with nothing in the environment that concerns
/// threads but what is given: 0 when it passes.
int run_alone(const std::string& what, const std::vector<std::pair<const char*, const char*>>& environment = {}) {
  return testing::in_child([&] {
    for (const char* name : {"OMP_NUM_THREADS", "OMP_THREAD_LIMIT", "OMP_DYNAMIC", "OMP_WAIT_POLICY",
                             "OMP_MAX_ACTIVE_LEVELS", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"})
      unsetenv(name);
    for (const auto& [name, value] : environment) setenv(name, value, 1);
    execl("/proc/self/exe", "core_base_test", "--no-skip", "--out=/dev/null", ("--test-case=alone: " + what).c_str(),
          nullptr);
    return 2;
  });
}

/// Returns when two tasks have waited for each other, which takes two threads.
void meet() {
  std::atomic<int> here{0};
  parallel_for(2, [&](std::int64_t) {
    ++here;
    while (here < 2) std::this_thread::yield();
  });
}

/// Every task of a region does its own work, and all of it is done.
bool all_tasks_are_done(std::int64_t tasks) {
  std::vector<std::int64_t> seen(static_cast<std::size_t>(tasks));
  parallel_for(tasks, [&](std::int64_t t) { seen[static_cast<std::size_t>(t)] += t + 1; });
  for (std::int64_t t = 0; t < tasks; ++t)
    if (seen[static_cast<std::size_t>(t)] != t + 1) return false;
  return true;
}

}  // namespace

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

TEST_CASE("thread_in_region: of tasks that run at the same time no two have the same number") {
  set_num_threads(3);
  std::array<std::atomic<bool>, 3> in_use{};
  std::atomic<int> clashes{0}, strangers{0}, shared{0};
  const auto many_regions = [&] {
    for (int round = 0; round < 200; ++round)
      parallel_for(8, [&](std::int64_t) {
        const int thread = thread_in_region();
        if (thread < 0) return;
        ++shared;
        if (thread >= 3) {
          ++strangers;
          return;
        }
        std::atomic<bool>& mine = in_use[static_cast<std::size_t>(thread)];
        if (mine.exchange(true)) ++clashes;
        std::this_thread::yield();
        mine = false;
      });
  };
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) callers.emplace_back(many_regions);
  for (std::thread& caller : callers) caller.join();
  CHECK(clashes == 0);
  CHECK(strangers == 0);
  CHECK(shared > 0);
  CHECK(thread_in_region() == -1);
}

TEST_CASE("parallel_for: user threads that come and go have threads, and leave none behind") {
  set_num_threads(2);
  const auto threads = [] { return std::filesystem::hard_link_count("/proc/self/task"); };
  meet();
  const auto before = threads();
  for (int round = 0; round < 20; ++round) std::thread(meet).join();
  for (int wait = 0; wait < 1000 && threads() > before + 2; ++wait)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  CHECK(threads() <= before + 2);
}

TEST_CASE("alone: the default number of threads" * doctest::skip()) {
  const char* expected = std::getenv("EXPECTED_THREADS");
  CHECK(num_threads() == std::atoi(expected ? expected : "0"));
  CHECK(all_tasks_are_done(100));
}

TEST_CASE("threads: by default as many as there are processors in the affinity mask" * doctest::test_suite("native")) {
  cpu_set_t all;
  REQUIRE(sched_getaffinity(0, sizeof all, &all) == 0);
  if (CPU_COUNT(&all) == 1) MESSAGE("skipped: this process may use one processor only");
  int first = 0;
  while (!CPU_ISSET(first, &all)) ++first;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(first, &one);
  REQUIRE(sched_setaffinity(0, sizeof one, &one) == 0);
  CHECK(run_alone("the default number of threads", {{"EXPECTED_THREADS", "1"}}) == 0);
  REQUIRE(sched_setaffinity(0, sizeof all, &all) == 0);
  const std::string processors = std::to_string(CPU_COUNT(&all));
  CHECK(run_alone("the default number of threads", {{"EXPECTED_THREADS", processors.c_str()}}) == 0);
  CHECK(run_alone("the default number of threads", {{"EXPECTED_THREADS", "0"}}) != 0);
}

TEST_CASE("threads: OMP_NUM_THREADS and OMP_THREAD_LIMIT are the default's" * doctest::test_suite("native")) {
  CHECK(run_alone("the default number of threads", {{"OMP_NUM_THREADS", "3"}, {"EXPECTED_THREADS", "3"}}) == 0);
  CHECK(run_alone("the default number of threads", {{"OMP_NUM_THREADS", "3,2"}, {"EXPECTED_THREADS", "3"}}) == 0);
  CHECK(run_alone("the default number of threads",
                  {{"OMP_NUM_THREADS", "3"}, {"OMP_THREAD_LIMIT", "1"}, {"EXPECTED_THREADS", "1"}}) == 0);
}

TEST_CASE("alone: four threads" * doctest::skip()) {
  set_num_threads(4);
  for (int round = 0; round < 50; ++round) CHECK(all_tasks_are_done(100));
}

TEST_CASE("parallel_for: where OpenMP gives fewer threads than asked for every task is done" *
          doctest::test_suite("native")) {
  CHECK(run_alone("four threads", {{"OMP_THREAD_LIMIT", "1"}}) == 0);
  CHECK(run_alone("four threads", {{"OMP_THREAD_LIMIT", "2"}}) == 0);
  CHECK(run_alone("four threads", {{"OMP_DYNAMIC", "true"}}) == 0);
  CHECK(run_alone("four threads", {{"OMP_MAX_ACTIVE_LEVELS", "0"}}) == 0);
}

TEST_CASE("where threads cannot be started the error says how many were asked for and how many there are" *
          doctest::test_suite("native")) {
  if (testing::kAddressSanitizer) {
    MESSAGE("skipped: the sanitizers need more memory than the limit leaves");
    return;
  }
  const int before = num_threads();
  {
    const AddressSpace little(rlim_t{20} << 20);  // two stacks
    set_num_threads(64);
    CHECK_THROWS_WITH_AS(parallel_for(64, [](std::int64_t) {}), doctest::Contains("given 64 threads, expected at most"),
                         Error);
  }
  CHECK(all_tasks_are_done(64));  // there is room again
  set_num_threads(before);
}

TEST_CASE("alone: no room for threads" * doctest::skip()) {
  REQUIRE(num_threads() == 64);
  const AddressSpace little(rlim_t{20} << 20);
  CHECK(all_tasks_are_done(100));
  CHECK(num_threads() == 1);
}

TEST_CASE("parallel_for: where the threads of the default number cannot be started one thread does the work" *
          doctest::test_suite("native")) {
  if (testing::kAddressSanitizer) {
    MESSAGE("skipped: the sanitizers need more memory than the limit leaves");
    return;
  }
  CHECK(run_alone("no room for threads", {{"OMP_NUM_THREADS", "64"}}) == 0);
}

TEST_CASE("alone: waiting threads use no processor" * doctest::skip()) {
  const auto used_ms = [] {
    timespec t{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_nsec);
  };
  const char* const spins = std::getenv("GOMP_SPINCOUNT");
  CHECK(spins);  // the runtime has read it: nothing sets it after the start
  set_num_threads(2);
  meet();
  const double before = used_ms();
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(used_ms() - before < 20);  // of 200
}

TEST_CASE(
    "threads that wait sleep soon where a main() asks for that, unless the environment asks for something "
    "else" *
    doctest::test_suite("native")) {
  CHECK(run_alone("waiting threads use no processor") == 0);
  CHECK(run_alone("waiting threads use no processor", {{"OMP_WAIT_POLICY", "active"}}) != 0);
}

TEST_CASE("parallel_for: a forked process has threads of its own, and the one that forks goes on with its own") {
  set_num_threads(2);
  meet();
  CHECK(testing::in_child([] { return meet(), 0; }) == 0);
  meet();
}

TEST_CASE("parallel_for: a process that was forked while another thread's tasks run has threads of its own" *
          doctest::test_suite("native")) {
  set_num_threads(2);
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop) parallel_for(4, [](std::int64_t) { std::this_thread::yield(); });
  });
  for (int round = 0; round < 20; ++round) CHECK(testing::in_child([] { return meet(), 0; }) == 0);
  stop = true;
  busy.join();
}

TEST_CASE("memory: a process that was forked while another thread asks for memory gets some") {
  if (testing::kAddressSanitizer) {
    MESSAGE("skipped: the allocator of the sanitizers keeps locks that another thread held when the process forked");
    return;
  }
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
