#include "experiments/support/tensor_file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "tests/support/errors.h"
#include "tests/support/sanitizers.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

const TensorFile kFile{{{"fc.weight", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"fc.bias", {2}, {-0.f, 1e-40f}}, {"none", {0}, {}}},
                       {{"epoch", "3"}}};

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

std::string with_header(const std::string& header, const std::string& values) {
  const std::uint64_t n = header.size();
  std::string all(8, '\0');
  std::memcpy(all.data(), &n, 8);
  return all + header + values;
}

// The bytes of one entry of hostile_tensor_files.json.
std::string hostile_content(const nlohmann::json& file) {
  if (file.contains("whole")) return file.at("whole");
  const nlohmann::json& header = file.at("header");
  std::string text;
  using Json = nlohmann::json;
  for (const auto& piece : header.is_string() ? Json::array({Json::array({header, 1})}) : header) {
    std::string part = piece.at(0);
    if (piece.size() > 2) part = "\xff";  // the one piece in Latin-1
    if (const auto at = part.find("$META"); at != std::string::npos)
      part.replace(at, 5, R"("__metadata__":{"sha256":"0"})");
    for (int times = piece.at(1); times > 0; --times) text += part;
  }
  std::string whole = with_header(text, std::string(file.value("values", std::size_t{0}), '\0'));
  const std::uint64_t length = file.value("length", std::uint64_t{text.size()});
  std::memcpy(whole.data(), &length, sizeof length);
  return whole;
}

std::int64_t largest_resident_size() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss * 1024;
}

// Bytes that a process of its own takes beyond what it has when it refuses the file; -1 where it does not.
std::int64_t memory_to_refuse(const std::filesystem::path& path) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    const std::int64_t before = largest_resident_size();
    const bool refused = !complaint_of([&] { read_tensor_file(path); }).empty();
    const std::int64_t taken = refused ? largest_resident_size() - before : -1;
    _exit(write(ends[1], &taken, sizeof taken) == sizeof taken ? 0 : 1);
  }
  std::int64_t taken = -1;
  CHECK(read(ends[0], &taken, sizeof taken) == sizeof taken);
  CHECK(waitpid(child, nullptr, 0) == child);
  close(ends[0]);
  close(ends[1]);
  return taken;
}

constexpr std::int64_t kMiB = 1 << 20;
// Of blocks between red zones, kept for a while when they are freed.
constexpr std::int64_t kOverhead = testing::kAddressSanitizer ? 4 : 1;

}  // namespace

TEST_CASE("tensor file: what was written comes back bit for bit, metadata too") {
  const TempFolder folder;
  const auto path = folder.path() / "sub" / "a.safetensors";
  write_tensor_file(path, kFile);
  const TensorFile back = read_tensor_file(path);
  REQUIRE(back.tensors.size() == 3);
  CHECK(back.metadata == kFile.metadata);
  for (const StoredTensor& t : kFile.tensors) {
    const auto found =
        std::find_if(back.tensors.begin(), back.tensors.end(), [&](auto& b) { return b.name == t.name; });
    REQUIRE(found != back.tensors.end());
    CHECK(found->shape == t.shape);
    CHECK(std::ranges::equal(found->values, t.values, {}, bits_of, bits_of));
  }
}

TEST_CASE("tensor file: cut at every byte, or with any one bit flipped, it is refused" * doctest::test_suite("long")) {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  write_tensor_file(path, kFile);
  const std::string whole = file_content(path);
  for (std::size_t n = 0; n < whole.size(); ++n) {
    write_file(path, whole.substr(0, n));
    CHECK_THROWS_AS(read_tensor_file(path), Error);
  }
  int refused = 0, harmless = 0;
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    write_file(path, flipped);
    try {
      const TensorFile back = read_tensor_file(path);
      // White space behind the header is the only place where a bit may flip without any change of meaning.
      ++harmless;
      CHECK(back.metadata == kFile.metadata);
      CHECK(flipped[bit / 8] <= ' ');
    } catch (const Error&) {
      ++refused;
    }
  }
  CHECK(refused > 0);
  CHECK(harmless < 64);
}

TEST_CASE("tensor file: absurd headers end in one clear error") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  const std::string meta = R"("__metadata__":{"sha256":"0"})";
  for (const std::string& bytes : {
           std::string("\xff\xff\xff\xff\xff\xff\xff\x7f", 8),
           with_header("[]", ""),
           with_header("{}", ""),
           with_header("{" + meta + "}", ""),
           with_header(
               "{" + meta + R"(,"a":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]}})",
               "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4000]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})", "1234"),
           with_header(std::string(100000, '['), ""),
       }) {
    write_file(path, bytes);
    CHECK_THROWS_AS(read_tensor_file(path), Error);
  }
  CHECK_THROWS_AS(read_tensor_file(folder / "missing"), Error);
}

TEST_CASE("tensor file: what is none is called so, with the tool that reads PyTorch's files") {
  const TempFolder folder;
  const auto path = folder / "net.pt";
  for (const std::string& bytes : {std::string("PK\3\4\0\0\b\b\0\0\0\0\0\0\0\0net/data.pkl", 28),
                                   std::string("\x89HDF\r\n\x1a\n\0\0\0\0", 12), std::string("plain text, a line")}) {
    write_file(path, bytes);
    CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }), "net.pt: is no tensor file: ");
    CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }),
               "(safetensors: the length of a JSON header in 8 bytes, the header, the values; "
               "experiments/tools/torch_file makes one of a PyTorch .pt file)");
  }
}

TEST_CASE("tensor file: contents that do not fit together are refused and the old file stays") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  write_tensor_file(path, kFile);
  const std::string before = file_content(path);
  CHECK_THROWS_AS(write_tensor_file(path, {{{"a", {3}, {1}}}, {}}), Error);
  CHECK_THROWS_AS(write_tensor_file(path, {{{"a", {1}, {1}}, {"a", {1}, {1}}}, {}}), Error);
  CHECK_THROWS_AS(write_tensor_file(path, {{}, {{"sha256", "x"}}}), Error);
  CHECK_THROWS_AS(write_tensor_file("/proc/nowhere/a", kFile), Error);
  CHECK(file_content(path) == before);
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}

TEST_CASE("tensor file: every hostile file of the shared table is refused in its words, in little memory") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  const auto table =
      nlohmann::json::parse(file_content(cat(COARSEGRAD_SOURCE, "/tests/experiments/hostile_tensor_files.json")));
  for (const auto& file : table.at("files")) {
    INFO(file.at("name").get<std::string>());
    const std::string content = hostile_content(file);
    write_file(path, content);
    const std::string reason = complaint_of([&] { read_tensor_file(path); });
    CHECK_SAYS(reason, cat("tensor file ", path.string(), ": ", file.at("says").get<std::string>()));
    CHECK(reason.size() < 500);
    CHECK(reason.find_first_of("\n\x1b") == std::string::npos);
    const std::int64_t taken = memory_to_refuse(path);
    CHECK(taken >= 0);
    CHECK(taken <= kOverhead * (4 * static_cast<std::int64_t>(content.size()) + 8 * kMiB));
  }
}

TEST_CASE("tensor file: 200 tensors that share 16 MB are refused before their values are read") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  std::string header = R"({"__metadata__":{"sha256":"0"})";
  for (int i = 0; i < 200; ++i)
    header += cat(",\"t", i, R"(":{"dtype":"F32","shape":[4194304],"data_offsets":[0,16777216]})");
  write_file(path, with_header(header + "}", std::string(16 * kMiB, '\0')));
  CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }), "its values overlap others");
  const std::int64_t taken = memory_to_refuse(path);
  CHECK(taken >= 0);
  CHECK(taken <= kOverhead * 8 * kMiB);
}

TEST_CASE("tensor file: many small tensors take memory of the order of the file") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  std::string header = R"({"__metadata__":{"sha256":"0"})";
  for (int i = 0; i < 100000; ++i) header += cat(",\"", i, R"(":{"dtype":"F32","shape":[0],"data_offsets":[0,0]})");
  write_file(path, with_header(header + "}", ""));
  CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }), "the checksum does not match");
  CHECK(memory_to_refuse(path) <= kOverhead * 12 * static_cast<std::int64_t>(header.size()));
}

TEST_CASE("tensor file: a pipe, a device and a folder are refused without waiting") {
  const TempFolder folder;
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  for (const std::filesystem::path& path : {folder / "pipe", std::filesystem::path("/dev/zero"), folder.path()})
    CHECK(complaint_of([&] { read_tensor_file(path); }) ==
          cat("tensor file ", path.string(), ": is not a regular file"));
}

TEST_CASE("tensor file: a header beyond the cap is not written") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  CHECK_SAYS(complaint_of([&] {
               write_tensor_file(path, {{}, {{"text", std::string(32 * kMiB, ' ')}}});
             }),
             "expected at most 33554432");
  CHECK_FALSE(std::filesystem::exists(path));
}
