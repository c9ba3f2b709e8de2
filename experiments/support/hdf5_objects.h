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

/// Keeps HDF5 from printing its errors in this thread, which it does in each thread unless told not to: they are thrown
/// as Error here.
void silence_hdf5();
/// The innermost message of HDF5's error stack, cut down to the system's words where it has them.
std::string hdf5_reason();
/// Throws Error "log: cannot `what`: ..." when `result`, an identifier or a status, says that a call failed.
void check_hdf5(hid_t result, std::string_view what);

/// Owns one identifier of HDF5 and closes it at the end.
class Handle {
 public:
  /// `close` is HDF5's function for this kind of identifier. Throws Error "log: cannot `what`: ..." when `id` is
  /// negative.
  Handle(hid_t id, herr_t (*close)(hid_t), std::string_view what);
  Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  Handle& operator=(Handle&&) = delete;
  ~Handle() {
    if (id_ >= 0) close_(id_);
  }
  /// Lets the identifier go without closing it: after a failed write HDF5 can neither close nor recover.
  void abandon() { id_ = -1; }
  operator hid_t() const { return id_; }  // NOLINT(google-explicit-constructor): what HDF5's functions take

 private:
  hid_t id_;
  herr_t (*close_)(hid_t);
};

/// HDF5's type of texts of `bytes` bytes, or of any length for H5T_VARIABLE.
Handle text_type(std::size_t bytes);

/// Makes an attribute: a scalar, or `count` > 0 elements. Throws Error when HDF5 cannot.
void write_attribute(hid_t object, const char* name, hid_t type, const void* data, hsize_t count = 0);
/// Makes an attribute of a text, or of a list of texts, that never changes: of variable length, which h5py reads as
/// str. Throws Error when HDF5 cannot.
void write_attribute(hid_t object, const char* name, const std::string& text);
void write_attribute(hid_t object, const char* name, const std::vector<std::string>& texts);
/// Changes an attribute that is there; negative on failure, as HDF5's functions return it.
herr_t overwrite_attribute(hid_t object, const char* name, hid_t type, const void* data);

/// `text` in so many bytes: cut where it is longer, never inside a character of UTF-8, else padded with zeros.
template <std::size_t bytes>
std::array<char, bytes> padded(std::string_view text) {
  std::array<char, bytes> out{};
  std::size_t n = std::min(text.size(), bytes);
  while (n < text.size() && n > 0 && (static_cast<unsigned char>(text[n]) & 0xC0) == 0x80) --n;
  std::copy_n(text.begin(), n, out.begin());
  return out;
}

/// Read an attribute; empty, or `value` unchanged, when it is not there or holds something else.
std::string read_text(hid_t object, const char* name);
std::vector<std::string> read_texts(hid_t object, const char* name);
void read_number(hid_t object, const char* name, std::int64_t& value);
void read_number(hid_t object, const char* name, double& value);

}  // namespace coarsegrad::experiments
