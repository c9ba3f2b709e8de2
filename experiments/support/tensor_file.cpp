#include "experiments/support/tensor_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <span>
#include <string_view>

#include "core/base/check.h"
#include "core/base/regular_file.h"
#include "core/base/short_text.h"
#include "core/base/tensor_header.h"
#include "experiments/support/file_place.h"

namespace coarsegrad::experiments {
namespace {

static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

TensorHeader header_of(const TensorFile& file) {
  TensorHeader header{{}, file.metadata};
  std::uint64_t offset = 0;
  for (const StoredTensor& t : file.tensors) {
    check(static_cast<std::int64_t>(t.values.size()) == t.shape.numel(), "tensor file: given ", t.values.size(),
          " values for ", in_quotes(t.name), " of shape ", t.shape);
    const std::uint64_t end = offset + t.values.size() * sizeof(float);
    header.tensors.push_back({t.name, t.shape, offset, end});
    offset = end;
  }
  return header;
}

std::vector<std::span<const std::byte>> values_of(const std::vector<StoredTensor>& tensors) {
  std::vector<std::span<const std::byte>> parts;
  for (const StoredTensor& t : tensors) parts.push_back(std::as_bytes(std::span(t.values)));
  return parts;
}

// The end of a message that says what a tensor file is, for somebody who gave another file.
constexpr const char* kLayout =
    " (safetensors: the length of a JSON header in 8 bytes, the header, the values; experiments/tools/torch_file makes "
    "one of a PyTorch .pt file)";

// Nothing but the header is read before it has been checked against the size of the file.
TensorHeader read_header(RegularFile& file) {
  std::uint64_t length = 0;
  check(file.size() >= sizeof length, "is no tensor file: given ", file.size(), " bytes, expected a header", kLayout);
  file.read(std::as_writable_bytes(std::span(&length, 1)));
  const std::uint64_t rest = file.size() - sizeof length, most = std::min(rest, kMaxHeaderBytes);
  check(length <= most, "is no tensor file: given a header of ", length, " bytes, expected at most ", most, kLayout);
  std::string text(length, '\0');
  file.read(std::as_writable_bytes(std::span(text)));
  return parse_header(text, rest - length);
}

TensorFile parse(RegularFile& file) {
  TensorHeader header = read_header(file);
  TensorFile contents;
  for (const TensorEntry& e : header.tensors) {
    std::vector<float> values(static_cast<std::size_t>(e.shape.numel()));
    file.read(std::as_writable_bytes(std::span(values)));
    contents.tensors.push_back({e.name, e.shape, std::move(values)});
  }
  take_checksum(header, values_of(contents.tensors));
  contents.metadata = std::move(header.metadata);
  return contents;
}

// An open file that is removed again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target)
      : target_(std::move(target)), name_(temporary_name(target_.string())) {
    remove_leftovers(target_.string());
    fd_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    require(fd_ >= 0);
    ::flock(fd_, LOCK_EX | LOCK_NB);  // so that nobody takes it for a leftover; best effort
  }
  ~TemporaryFile() {
    if (fd_ >= 0) ::close(fd_);
    if (!installed_) ::unlink(name_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void write(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::write(fd_, bytes.data(), bytes.size());
      if (n < 0 && errno == EINTR) continue;
      require(n > 0);
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
  }

  void install() {
    const int closed = ::close(fd_);
    fd_ = -1;
    require(closed == 0);
    replace_file(name_, target_.string());
    installed_ = true;
  }

 private:
  void require(bool ok) const { check(ok, "write ", target_.string(), ": ", std::strerror(errno)); }

  std::filesystem::path target_;
  std::string name_;
  int fd_ = -1;
  bool installed_ = false;
};

}  // namespace

void write_file_atomically(const std::filesystem::path& path, const std::string& contents) {
  std::error_code ignored;  // a folder that could not be made shows itself when the file is opened
  if (path.has_parent_path()) std::filesystem::create_directories(path.parent_path(), ignored);
  TemporaryFile file(path);
  file.write(contents);
  file.install();
}

void write_tensor_file(const std::filesystem::path& path, const TensorFile& file) {
  const auto values = values_of(file.tensors);
  std::string contents = header_bytes(header_of(file), values);
  for (const auto part : values) contents.append(reinterpret_cast<const char*>(part.data()), part.size());
  write_file_atomically(path, contents);
}

TensorFile read_tensor_file(const std::filesystem::path& path) {
  try {
    RegularFile file(path, "");
    return parse(file);
  } catch (const Error& e) {
    throw Error(cat("tensor file ", path.string(), ": ", e.what()));
  }
}

}  // namespace coarsegrad::experiments
