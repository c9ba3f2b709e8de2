#pragma once
// Files that are read: whatever is under a name, reading it neither waits for another process nor goes on for ever.
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace coarsegrad {

/// A regular file, open for reading. A folder, a pipe (FIFO), a device and a socket are refused without
/// waiting. Errors begin with `lead`, such as "read_idx: PATH: ".
class RegularFile {
 public:
  /// Opens the file. Throws Error where that fails or it is no regular one.
  RegularFile(const std::filesystem::path& path, std::string lead);
  /// Closes the file.
  ~RegularFile();
  /// Not copied: it owns its descriptor.
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;

  /// Length in bytes, as it was when the file was opened.
  std::uint64_t size() const { return size_; }
  /// The descriptor, which the file closes itself.
  int descriptor() const { return descriptor_; }
  /// The next bytes, as many as there is room for. Throws Error where the file ends before.
  void read(std::span<std::byte> out);
  /// The bytes from `offset` on, as many as there is room for, whatever was read before; from several threads at once.
  /// Throws Error where the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> out) const;

 private:
  std::string lead_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// The whole content of a regular file. Throws Error, beginning with `lead`.
std::string read_regular_file(const std::filesystem::path& path, const std::string& lead);

}  // namespace coarsegrad
