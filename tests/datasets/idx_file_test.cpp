#include "datasets/idx_file.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <zlib.h>

#include <numeric>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

std::vector<std::uint8_t> counting(std::int64_t n) {
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n));
  std::iota(bytes.begin(), bytes.end(), std::uint8_t{0});
  return bytes;
}

std::string gzipped(const std::string& content) {
  TempFolder folder;
  const gzFile file = gzopen((folder / "x").c_str(), "wb9");
  gzwrite(file, content.data(), static_cast<unsigned>(content.size()));
  gzclose(file);
  return file_content(folder / "x");
}

/// The message of the Error that reading `content` under `name` throws, or "" when it is read.
std::string complaint(const std::string& content, const std::string& name = "f", int rank = 3,
                      std::size_t max_bytes = 1 << 20) {
  TempFolder folder;
  write_file(folder / name, content);
  const std::string text = complaint_of([&] { read_idx(folder / name, rank, max_bytes); });
  if (!text.empty()) CHECK_SAYS(text, (folder / name).string());
  CHECK_FALSE(contains(text, "\n"));
  return text;
}

const std::string kImages = [] {  // 2 images of 3 x 4
  std::string content{"\0\0\x08\x03\0\0\0\x02\0\0\0\x03\0\0\0\x04", 16};
  for (char i = 0; i < 24; ++i) content += i;
  return content;
}();

}  // namespace

TEST_CASE("idx: a written file has the bytes that the format asks for and reads back, plain and packed") {
  TempFolder folder;
  const auto bytes = counting(24);
  write_idx(folder / "plain", {2, 3, 4}, bytes);
  CHECK(file_content(folder / "plain") == kImages);
  write_idx(folder / "packed.gz", {2, 3, 4}, bytes);
  CHECK(file_content(folder / "packed.gz") != kImages);
  for (const char* name : {"plain", "packed.gz"}) {
    const IdxArray array = read_idx(folder / name, 3);
    CHECK(array.shape == Shape{2, 3, 4});
    CHECK(array.bytes == bytes);
    // sha256sum of the plain file
    CHECK(array.sha256() == "a51c98759421959402851916f9b92885907c60a39b5a4ffeb856ea22cd940c51");
  }
}

TEST_CASE("idx: a packed file is recognised by its content, whatever its name") {
  CHECK(complaint(gzipped(kImages), "images") == "");
  CHECK(complaint(kImages, "images.gz") == "");
}

TEST_CASE("idx: a missing file, a folder and a pipe are refused") {
  TempFolder folder;
  CHECK_SAYS(complaint_of([&] { read_idx(folder / "none", 3); }), "No such file");
  CHECK_SAYS(complaint_of([&] { read_idx(folder.path(), 3); }), "not a regular file");
  CHECK_SAYS(complaint_of([&] { read_idx("/dev/zero", 3); }), "not a regular file");
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK_SAYS(complaint_of([&] { read_idx(folder / "pipe", 3); }), "not a regular file");
}

TEST_CASE("idx: a file that is short or long by one byte is refused, plain and packed") {
  const std::string short_by_one = kImages.substr(0, 39), long_by_one = kImages + "x";
  CHECK_SAYS(complaint(short_by_one), "found 39 bytes, expected 40");
  CHECK_SAYS(complaint(long_by_one), "found 41 bytes, expected 40");
  CHECK_SAYS(complaint(gzipped(short_by_one)), "found 39 unpacked bytes, expected 40");
  CHECK_SAYS(complaint(gzipped(long_by_one)), "found more than the 40 bytes expected");
}

TEST_CASE("idx: an empty file, a cut header and a web page are told from data") {
  CHECK_SAYS(complaint(""), "the file is empty");
  CHECK_SAYS(complaint(gzipped("")), "the file is empty");
  CHECK_SAYS(complaint("ab"), "found 2 bytes");
  CHECK_SAYS(complaint(kImages.substr(0, 10)), "found 10 bytes, expected a header of 16");
  CHECK_SAYS(complaint("\n <!DOCTYPE html><html><body>moved</body></html>", "f.gz"), "found a web page");
}

TEST_CASE("idx: images given as labels, a little-endian header and a foreign magic number are named") {
  CHECK_SAYS(complaint(kImages, "f", 1), "found magic number 0x00000803, expected 0x00000801");
  CHECK_SAYS(complaint(kImages, "f", 1), "are images and labels swapped?");
  std::string little = kImages;
  std::swap(little[0], little[3]);
  std::swap(little[1], little[2]);
  CHECK_SAYS(complaint(little), "found magic number 0x03080000");
  CHECK_SAYS(complaint(little), "little-endian");
  std::string floats = kImages;
  floats[2] = 0x0d;
  CHECK_SAYS(complaint(floats), "found magic number 0x00000d03, expected 0x00000803");
}

TEST_CASE("idx: a gzip file cut at any byte is refused") {
  const std::string packed = gzipped(kImages);
  REQUIRE(complaint(packed) == "");
  for (std::size_t n = 0; n < packed.size(); ++n) CHECK(complaint(packed.substr(0, n)) != "");
  CHECK_SAYS(complaint(packed.substr(0, packed.size() - 4)), "truncated");
}

TEST_CASE("idx: a large gzip file without its last bytes, or with another checksum, is refused") {
  TempFolder folder;  // beyond the size of zlib's own buffers, where reading ends with the last element
  std::string content{"\0\0\x08\x03\0\0\0\x64\0\0\0\x64\0\0\0\x64", 16};
  for (int i = 0; i < 1'000'000; ++i) content += static_cast<char>(i * 7 % 251);
  const std::string packed = gzipped(content);
  REQUIRE(complaint(packed) == "");
  for (std::size_t n = 1; n <= 12; ++n) CHECK_SAYS(complaint(packed.substr(0, packed.size() - n)), "truncated");
  for (std::size_t i = 1; i <= 8; ++i) {  // 4 bytes of CRC-32, 4 of the length
    std::string damaged = packed;
    damaged[packed.size() - i] = static_cast<char>(damaged[packed.size() - i] ^ 1);
    CHECK_SAYS(complaint(damaged), "incorrect");
  }
}

TEST_CASE("idx: a flipped bit in a gzip file is noticed wherever it changes the content") {
  TempFolder folder;
  const std::string packed = gzipped(kImages);
  write_file(folder / "f", packed);
  const std::string intact = read_idx(folder / "f", 3).sha256();
  std::size_t noticed = 0;
  for (std::size_t i = 10; i < packed.size(); ++i) {  // the first ten bytes are the gzip header: name, time, system
    std::string damaged = packed;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    write_file(folder / "f", damaged);
    IdxArray array;
    const std::string text = complaint_of([&] { array = read_idx(folder / "f", 3); });
    if (text.empty()) CHECK(array.sha256() == intact);  // a bit that nobody reads
    noticed += !text.empty();
  }
  CHECK(noticed >= packed.size() - 12);
}

TEST_CASE("idx: absurd sizes in the header are refused before memory is taken") {
  std::string huge = kImages;
  for (std::size_t i = 4; i < 16; ++i) huge[i] = '\xff';
  CHECK_SAYS(complaint(huge), "declares more than 1048576 bytes");
  std::string zero = kImages;
  zero[7] = 0;
  CHECK_SAYS(complaint(zero), "found extent 0 at axis 0");
  std::string many = kImages;  // 2^24 x 3 x 4 bytes from a file of 40: below the limit given here
  many[4] = 1, many[7] = 0;
  CHECK_SAYS(complaint(many, "f", 3, std::size_t{1} << 30), "found 40 bytes, expected 201326608");
  CHECK_SAYS(complaint(gzipped(many), "f", 3, std::size_t{1} << 30), "packed bytes are too few");
}

TEST_CASE("idx: a gzip bomb is unpacked no further than its header says") {
  std::string bomb = kImages + std::string(64 << 20, '\0');  // 64 MiB of zeros in 64 KiB
  const std::string packed = gzipped(bomb);
  REQUIRE(packed.size() < 100'000);
  CHECK_SAYS(complaint(packed), "found more than the 40 bytes expected");
}

TEST_CASE("idx: writing what does not fit its shape, or where it cannot be written, throws") {
  TempFolder folder;
  CHECK_THROWS_AS(write_idx(folder / "f", {2, 2}, counting(3)), Error);
  CHECK_THROWS_AS(write_idx(folder / "no" / "f", {3}, counting(3)), Error);
  CHECK_SAYS(complaint_of([&] { write_idx("/dev/full", {1 << 20}, counting(1 << 20)); }), "No space left");
}
