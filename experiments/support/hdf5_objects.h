#pragma once
// What RunFile needs of HDF5, with owners for identifiers and Error for failures. Only run_file.cpp includes this.
#include <hdf5.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coarsegrad::experiments {

/// HDF5 prints its errors by itself, in each thread that has not told it not to. We report them.
void silence_hdf5();
/// The innermost message of HDF5's error stack, cut down to the system's words where it has them.
std::string hdf5_reason();
/// Throws Error "log: cannot `what`: ..." when `result`, an identifier or a status, says that a call failed.
void check_hdf5(hid_t result, std::string_view what);

/// Owns one identifier.
class Handle {
 public:
  /// Throws Error "log: cannot `what`: ..." when `id` is none.
  Handle(hid_t id, herr_t (*close)(hid_t), std::string_view what);
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  /// Lets go without closing: after a failed write HDF5 can neither close nor recover.
  void abandon() { id_ = -1; }
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): what HDF5's functions take

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// A text type of so many bytes, or H5T_VARIABLE.
Handle text_type(std::size_t bytes);

/// Makes an attribute: a scalar, or `count` > 0 elements. Throws Error.
void write_attribute(hid_t object, const char* name, hid_t type, const void* data, hsize_t count = 0);
/// Texts that never change have variable length: h5py reads them as str.
void write_attribute(hid_t object, const char* name, const std::string& text);
void write_attribute(hid_t object, const char* name, const std::vector<std::string>& texts);
/// Changes an attribute that is there; negative on failure.
herr_t overwrite_attribute(hid_t object, const char* name, hid_t type, const void* data);

/// `text` cut to fit, never inside a character, and padded.
template <std::size_t bytes>
std::array<char, bytes> padded(std::string_view text) {
  std::array<char, bytes> out{};
  std::size_t n = std::min(text.size(), bytes);
  while (n < text.size() && n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
  std::copy_n(text.begin(), n, out.begin());
  return out;
}

/// Empty or unchanged when the attribute is not there or holds something else.
std::string read_text(hid_t object, const char* name);
std::vector<std::string> read_texts(hid_t object, const char* name);
void read_number(hid_t object, const char* name, std::int64_t& value);
void read_number(hid_t object, const char* name, double& value);

}  // namespace coarsegrad::experiments
