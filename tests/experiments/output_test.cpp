#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "experiments/support/file_place.h"
#include "experiments/support/output_lock.h"
#include "experiments/support/output_name.h"
#include "experiments/support/tensor_file.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;
namespace fs = std::filesystem;

namespace {

std::size_t entries(const fs::path& folder) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder), {}));
}

mode_t mode_of(const fs::path& path) {
  struct stat s {};
  REQUIRE(stat(path.c_str(), &s) == 0);
  return s.st_mode & 0777;
}

/// The number of a process that has ended.
pid_t dead_process() {
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  REQUIRE(waitpid(dead, nullptr, 0) == dead);
  return dead;
}

}  // namespace

TEST_CASE("output: only a final .h5 or .hdf5 is taken away from a name") {
  for (const auto& pair : nlohmann::json::parse(file_content(COARSEGRAD_OUTPUT_NAMES)))
    CHECK(beside(pair[0].get<std::string>(), ".json") == pair[1].get<std::string>() + ".json");
  CHECK(cells_folder("r/m0.05.h5") == "r/m0.05.h5.cells");
  CHECK(lock_name("r/m0.05.h5") == lock_name("r/m0.05"));
  CHECK(lock_name("r/m0.05.h5") != lock_name("r/m0.1.h5"));
}

TEST_CASE("output: a name that cannot be a file's, or leaves others no room, is wrong usage") {
  const TempFolder folder;
  CHECK_THROWS_AS(check_out(""), UsageError);
  CHECK_THROWS_AS(check_out((folder / "sub").string() + "/"), UsageError);
  const auto named = [&](std::size_t n) { return (folder / (std::string(n - 3, 'n') + ".h5")).string(); };
  const std::string ending = ".best.safetensors", complaint = complaint_of([&] { check_out(named(255), {ending}); });
  const std::size_t longest = 255 - ending.size() + 3 - kTemporaryAddition;
  CHECK_SAYS(complaint, cat("given a name of 255 bytes, expected at most ", longest));
  CHECK_NOTHROW(check_out(named(longest), {ending}));
  CHECK_THROWS_AS(check_out(named(longest + 1), {ending}), UsageError);
  write_file_atomically(beside(named(longest), ending), "the longest name works");
  CHECK_THROWS_AS(check_out(std::string(4094, '/') + "x"), UsageError);
}

TEST_CASE("output: one lock at a time, whatever its name ends in, and nothing is left of it") {
  const TempFolder folder;
  const std::string out = (folder / "sub/deep/x.h5").string();
  {
    const OutputLock lock(out, false);
    for (const char* same : {"sub/deep/x.h5", "sub/deep/x.hdf5", "sub/deep/x"})
      CHECK_SAYS(complaint_of([&] { OutputLock((folder / same).string(), true); }),
                 cat("is being written by process ", getpid()));
    CHECK_NOTHROW(OutputLock((folder / "sub/deep/x.0.h5").string(), false));
    CHECK(fs::exists(lock_name(out)));
  }
  CHECK(entries(folder.path()) == 0);
}

TEST_CASE("output: what a lock has found, or what has come meanwhile, stays") {
  const TempFolder folder;
  fs::create_directory(folder / "old");
  { const OutputLock lock((folder / "old/x.h5").string(), false); }
  CHECK(fs::exists(folder / "old"));
  {
    const OutputLock lock((folder / "new/x.h5").string(), false);
    write_file(folder / "new/x.h5", "");
  }
  CHECK(fs::exists(folder / "new/x.h5"));
}

TEST_CASE("output: a lock that a dead process has left is taken, and what stands in a lock is not repeated") {
  const TempFolder folder;
  const std::string out = (folder / "x.h5").string();
  for (const std::string& content : {std::string(), cat(getpid(), " elsewhere\n"), std::string(5000, '\x1b')}) {
    write_file(lock_name(out), content);
    const OutputLock lock(out, false);
    write_file(lock_name(out), content.empty() ? "" : content.front() == '\x1b' ? content : "1 host\x1b[2J\n");
    CHECK_SAYS(complaint_of([&] { OutputLock(out, false); }), "is being written by another process");
  }
}

TEST_CASE("file place: the permissions of a file are those of the umask") {
  const TempFolder folder;
  for (const mode_t mask : {0002, 0022, 0077, 0000}) {
    const mode_t before = umask(mask);
    write_file_atomically(folder / "a", "x");
    umask(before);
    CHECK(mode_of(folder / "a") == (0666 & ~mask));
  }
}

TEST_CASE("file place: a folder in the way of a file is named as that, and stays") {
  const TempFolder folder;
  fs::create_directory(folder / "a");
  CHECK_SAYS(complaint_of([&] { write_file_atomically(folder / "a", "x"); }), "Is a directory");
  write_file(folder / "from", "x");
  CHECK_SAYS(complaint_of([&] { replace_file((folder / "from").string(), (folder / "a").string()); }),
             "Is a directory");
  CHECK_SAYS(complaint_of([&] { check_place(folder / "a"); }), "Is a directory");
  CHECK(fs::is_directory(folder / "a"));
  CHECK(entries(folder.path()) == 2);
}

TEST_CASE("file place: what no file can be written over is found out beforehand") {
  const TempFolder folder;
  fs::create_symlink("nowhere", folder / "link");
  CHECK_SAYS(complaint_of([&] { check_place(folder / "link"); }), "leads nowhere");
  REQUIRE(mkfifo((folder / "fifo").c_str(), 0600) == 0);
  CHECK_SAYS(complaint_of([&] { check_place(folder / "fifo"); }), "no regular file");
  write_file(folder / "plain", "x");
  CHECK_SAYS(complaint_of([&] { check_place(folder / "plain" / "x"); }), "Not a directory");
  CHECK_NOTHROW(check_place(folder / "plain"));
  CHECK_NOTHROW(check_place(folder / "missing" / "x"));
}

TEST_CASE("file place: the leftovers of dead processes go, those of living ones and other files stay") {
  const TempFolder folder;
  const auto part = [&](const std::string& middle) { return folder / (".a.safetensors." + middle + ".tmp"); };
  const std::string dead = std::to_string(dead_process()), alive = std::to_string(getppid());
  for (const std::string& middle : {dead, alive, std::string("1x"), std::string()}) write_file(part(middle), "");
  write_file(folder / (".b.safetensors." + dead + ".tmp"), "");
  remove_leftovers((folder / "a.safetensors").string());
  CHECK_FALSE(fs::exists(part(dead)));
  for (const std::string& middle : {alive, std::string("1x"), std::string()}) CHECK(fs::exists(part(middle)));
  CHECK(fs::exists(folder / (".b.safetensors." + dead + ".tmp")));
}
