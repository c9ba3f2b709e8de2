#pragma once
// OutputLock: one process at a time owns an output and everything that is kept beside it.
#include <filesystem>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// Makes this process the one owner of an output by a lock of the kernel (flock) on the file `.NAME.lock` beside it,
/// where NAME is the output without a final .h5 or .hdf5. A process that is stopped keeps the lock, the kernel takes it
/// from one that dies, and it holds across hosts wherever the locks of the file system do. The file says who owns the
/// output, and is gone once the owner has given it back; one that a killed process has left is in nobody's way. Not
/// copied: there is one owner.
///
/// Where the file system has no locks, a process begins only with HDF5_USE_FILE_LOCKING=FALSE in the
/// environment, which HDF5 needs there, too. The file alone is the lock then: nobody can tell whether its
/// owner still runs, and only `take_over` passes it by. (NFS mounted with local_lock has locks that hold
/// within each host alone.)
class OutputLock {
 public:
  /// Makes missing folders. Throws Error, and leaves nothing behind, when another process owns `out`, when
  /// there are no locks to be had, or when the file cannot be made.
  OutputLock(std::string out, bool take_over);
  /// Gives the output back and removes the folders that the lock has made, when they are empty.
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  void acquire(bool take_over);
  bool try_to_own(bool take_over);
  bool open_file();
  void make_folders();
  void release();
  [[noreturn]] void refuse_without_locks() const;

  const std::string out_;
  const std::filesystem::path file_;
  std::vector<std::filesystem::path> made_folders_;  // outermost first
  int fd_ = -1;
  bool owned_ = false;
};

}  // namespace coarsegrad::experiments
