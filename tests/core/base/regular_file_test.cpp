#include "core/base/regular_file.h"

#include <doctest/doctest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cstring>

#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;

TEST_CASE("regular file: its bytes come one after another, and no more than there are") {
  const TempFolder folder;
  write_file(folder / "f", "abcdef");
  RegularFile file(folder / "f", "read: ");
  CHECK(file.size() == 6);
  std::array<char, 4> part{};
  file.read(std::as_writable_bytes(std::span(part)));
  CHECK(std::string(part.data(), 4) == "abcd");
  CHECK(complaint_of([&] { file.read(std::as_writable_bytes(std::span(part))); }) == "read: ends before its 6 bytes");
  CHECK(read_regular_file(folder / "f", "") == "abcdef");
}

TEST_CASE("regular file: a pipe, a socket, a device, a folder and a link to one are refused without waiting") {
  const TempFolder folder;
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  std::filesystem::create_symlink("/dev/zero", folder / "zero");
  sockaddr_un address{AF_UNIX, {}};
  std::strncpy(address.sun_path, (folder / "socket").c_str(), sizeof address.sun_path - 1);
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  REQUIRE(bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  for (const char* name : {"pipe", "zero", "socket", "."})
    CHECK(complaint_of([&] { RegularFile(folder / name, "read: "); }) == "read: is not a regular file");
  close(socket);
  CHECK(complaint_of([&] { RegularFile(folder / "none", "read: "); }) ==
        "read: cannot be opened: No such file or directory");
}
