// Preloaded into a program: it dies right after the STOP_AFTER-th system call that may change a file or a
// folder, as a killed process does. STOP_AFTER = 0: it lives, and leaves the list of these calls, one per
// line with the path where there is one, in the file CALLS.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <vector>

namespace {

class Calls {
 public:
  ~Calls() {
    if (const char* path = std::getenv("CALLS"); stop_after_ == 0 && path != nullptr)
      if (FILE* out = std::fopen(path, "w")) {
        for (const std::string& line : lines_) std::fprintf(out, "%s\n", line.c_str());
        std::fclose(out);
      }
  }
  void made(const char* name, const char* path) {
    const std::lock_guard lock(mutex_);
    lines_.push_back(std::string(name) + " " + path);
    if (static_cast<long>(lines_.size()) == stop_after_) kill(getpid(), SIGKILL);
  }

 private:
  const long stop_after_ = std::atol(std::getenv("STOP_AFTER"));
  std::mutex mutex_;
  std::vector<std::string> lines_;
};

/// Made by the first call and, as others may follow at the end of the program, destroyed by nobody but exit().
Calls& calls() {
  static Calls all;
  return all;
}

template <class Result, class... Arguments>
Result pass_on(const char* name, const char* path, Arguments... arguments) {
  const auto real = reinterpret_cast<Result (*)(Arguments...)>(dlsym(RTLD_NEXT, name));
  const Result result = real(arguments...);
  calls().made(name, path);
  return result;
}

int open_as(const char* name, const char* path, int flags, mode_t mode) {
  if ((flags & O_ACCMODE) != O_RDONLY || (flags & O_DIRECTORY) != 0) return pass_on<int>(name, path, path, flags, mode);
  return reinterpret_cast<int (*)(const char*, int, mode_t)>(dlsym(RTLD_NEXT, name))(path, flags, mode);
}

mode_t mode_of(int flags, va_list list) { return (flags & O_CREAT) != 0 ? va_arg(list, mode_t) : 0; }

}  // namespace

extern "C" {

int open(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_as("open", path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  va_list list;
  va_start(list, flags);
  const mode_t mode = mode_of(flags, list);
  va_end(list);
  return open_as("open64", path, flags, mode);
}
int close(int fd) { return pass_on<int>("close", "", fd); }
ssize_t write(int fd, const void* data, size_t n) { return pass_on<ssize_t>("write", "", fd, data, n); }
ssize_t pwrite(int fd, const void* data, size_t n, off_t at) { return pass_on<ssize_t>("pwrite", "", fd, data, n, at); }
ssize_t pwrite64(int fd, const void* data, size_t n, off64_t at) {
  return pass_on<ssize_t>("pwrite64", "", fd, data, n, at);
}
int fsync(int fd) { return pass_on<int>("fsync", "", fd); }
int fdatasync(int fd) { return pass_on<int>("fdatasync", "", fd); }
int ftruncate(int fd, off_t n) { return pass_on<int>("ftruncate", "", fd, n); }
int ftruncate64(int fd, off64_t n) { return pass_on<int>("ftruncate64", "", fd, n); }
int fallocate(int fd, int mode, off_t at, off_t n) { return pass_on<int>("fallocate", "", fd, mode, at, n); }
int rename(const char* from, const char* to) { return pass_on<int>("rename", to, from, to); }
int renameat2(int a, const char* from, int b, const char* to, unsigned flags) {
  return pass_on<int>("renameat2", to, a, from, b, to, flags);
}
int unlink(const char* path) { return pass_on<int>("unlink", path, path); }
int mkdir(const char* path, mode_t mode) { return pass_on<int>("mkdir", path, path, mode); }
}
