#pragma once
// Errors: every guard throws, in release builds too, with a message "operation: given, expected".
#include <sstream>
#include <stdexcept>
#include <string>

namespace coarsegrad {

/// Something went wrong while running: shapes that do not fit, a file that is missing or corrupt, a full
/// disk. An experiment main ends with exit code 1.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller asked for something that does not exist: unknown flag, key or name, value out of range.
/// An experiment main ends with exit code 2 and has written nothing.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// All parts written one after another with operator<<.
template <class... Parts>
std::string cat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws Error(cat(parts...)) unless `ok`. The message is only put together when it is needed.
template <class... Parts>
void check(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw Error(cat(parts...));
}

/// Throws UsageError(cat(parts...)) unless `ok`: check() for what a user has asked for.
template <class... Parts>
void check_usage(bool ok, const Parts&... parts) {
  if (!ok) [[unlikely]]
    throw UsageError(cat(parts...));
}

}  // namespace coarsegrad
