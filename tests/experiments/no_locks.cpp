// Preloaded into a program: its file system has no locks.
#include <sys/file.h>

#include <cerrno>

extern "C" int flock(int, int) {
  errno = ENOLCK;
  return -1;
}
