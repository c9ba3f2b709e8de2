#include "experiments/support/tensor_file.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include "core/base/check.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

const TensorFile kFile{
    {{"fc.weight", {2, 3}, {1, 2, 3, 4, 5, 6}}, {"fc.bias", {2}, {-0.f, 1e-40f}}, {"none", {0}, {}}},
    {{"epoch", "3"}}};

std::uint32_t bits_of(float value) { return std::bit_cast<std::uint32_t>(value); }

std::string with_header(const std::string& header, const std::string& values) {
  const std::uint64_t n = header.size();
  std::string all(8, '\0');
  std::memcpy(all.data(), &n, 8);
  return all + header + values;
}

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

TEST_CASE("tensor file: cut at every byte, or with any one bit flipped, it is refused") {
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
               "{" + meta +
                   R"(,"a":{"dtype":"F32","shape":[1099511627776,1099511627776],"data_offsets":[0,4]}})",
               "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4000]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"I8","shape":[4],"data_offsets":[0,4]}})", "1234"),
           with_header("{" + meta + R"(,"a":{"dtype":"F32","shape":[1,1,1,1,1,1,1],"data_offsets":[0,4]}})",
                       "1234"),
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
  for (const std::string& bytes :
       {std::string("PK\3\4\0\0\b\b\0\0\0\0\0\0\0\0net/data.pkl", 28),
        std::string("\x89HDF\r\n\x1a\n\0\0\0\0", 12), std::string("plain text, a line")}) {
    write_file(path, bytes);
    CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }), "net.pt: is no tensor file (safetensors: ");
    CHECK_SAYS(complaint_of([&] { read_tensor_file(path); }), "torch_file makes one of a PyTorch .pt file");
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

TEST_CASE("tensor file: the leftovers of dead processes go, those of living ones and other files stay") {
  const TempFolder folder;
  const auto path = folder / "a.safetensors";
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  REQUIRE(waitpid(dead, nullptr, 0) == dead);
  const auto part = [&](const std::string& end) { return folder / ("a.safetensors.part" + end); };
  for (const std::string& end :
       {std::to_string(dead), std::to_string(getppid()), std::string("1x"), std::string()})
    write_file(part(end), "");
  write_tensor_file(path, kFile);
  CHECK_FALSE(std::filesystem::exists(part(std::to_string(dead))));
  CHECK(std::filesystem::exists(part(std::to_string(getppid()))));
  CHECK(std::filesystem::exists(part("1x")));
  CHECK(std::filesystem::exists(part("")));
}
