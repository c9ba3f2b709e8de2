#pragma once
// DiskRoom: room on the disk, claimed before it is needed.
#include <cstdint>
#include <string>

namespace coarsegrad::experiments {

/// Reserves blocks for one growing file, so that a full disk is found out while the file is whole: HDF5 cannot recover
/// from a write that fails, nor even close the file then. Not copied: it owns the file's descriptor.
class DiskRoom {
 public:
  /// Makes the file, which must not exist. `name` is what messages call it. Throws Error when it cannot be made.
  DiskRoom(const std::string& path, std::string name);
  ~DiskRoom();
  DiskRoom(const DiskRoom&) = delete;
  DiskRoom& operator=(const DiskRoom&) = delete;

  /// Makes sure that the file can grow to `bytes`; its size stays as it is. Throws Error when the disk, the
  /// quota or the limit on file sizes does not allow it. On file systems that cannot reserve, only free space
  /// is looked at.
  void reserve(std::uint64_t bytes);
  /// Gives back what was reserved behind the end of the file.
  void trim();

 private:
  std::string name_;
  int fd_;
  std::uint64_t reserved_ = 0;
};

}  // namespace coarsegrad::experiments
