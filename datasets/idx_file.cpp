#include "datasets/idx_file.h"

#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <iomanip>
#include <memory>

#include "core/base/check.h"
#include "core/base/regular_file.h"
#include "core/base/sha256.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

namespace fs = std::filesystem;

constexpr std::uint32_t kUnsignedByte = 0x08;
// DEFLATE cannot shrink anything by more than this factor (zlib's technical details), so a header that
// declares more lies, and is found out before memory is taken for it.
constexpr std::uint64_t kMaxDeflateRatio = 1032;
constexpr std::size_t kMaxZlibCall = std::size_t{1} << 30;  // zlib counts in int

std::uint32_t big_endian(const std::uint8_t* b) {
  return std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | b[3];
}

std::string hex(std::uint32_t value) {
  std::ostringstream out;
  out << "0x" << std::hex << std::setw(8) << std::setfill('0') << value;
  return out.str();
}

std::uint32_t magic_number(int rank) { return kUnsignedByte << 8 | static_cast<std::uint32_t>(rank); }

std::vector<std::uint8_t> header_bytes(const Shape& shape) {
  std::vector<std::uint8_t> header;
  const auto append = [&](std::uint32_t word) {
    for (int shift = 24; shift >= 0; shift -= 8) header.push_back(static_cast<std::uint8_t>(word >> shift));
  };
  append(magic_number(shape.rank()));
  for (const std::int64_t extent : shape) append(static_cast<std::uint32_t>(extent));
  return header;
}

/// Sequential reading of a plain or packed file.
class Reader {
 public:
  explicit Reader(const RegularFile& file, const fs::path& path)
      : path_(path), file_(gzdopen(::dup(file.descriptor()), "rb"), &gzclose) {
    check(file_ != nullptr, "read_idx: ", path.string(), ": cannot be opened: ", std::strerror(errno));
    gzbuffer(file_.get(), 1 << 17);
  }

  /// Reads until `out` is full or the file ends; returns the number of bytes. A packed file is seen to be
  /// whole when its end is met, so that `out` has to have room for more than there is.
  std::size_t read(std::span<std::uint8_t> out) {
    std::size_t got = 0;
    while (got < out.size()) {
      const std::size_t left = out.size() - got;  // never a single byte in the end: it would meet no end
      const auto wanted = static_cast<unsigned>(left > kMaxZlibCall ? kMaxZlibCall / 2 : left);
      const int n = gzread(file_.get(), out.data() + got, wanted);
      if (n <= 0) break;
      got += static_cast<std::size_t>(n);
    }
    if (got < out.size()) check_undamaged();
    return got;
  }

  bool packed() { return gzdirect(file_.get()) == 0; }

 private:
  void check_undamaged() {
    int code = Z_OK;
    const char* text = gzerror(file_.get(), &code);
    check(code != Z_BUF_ERROR, "read_idx: ", path_.string(), ": the gzip file is truncated");
    check(code == Z_OK || code == Z_STREAM_END, "read_idx: ", path_.string(), ": ",
          code == Z_ERRNO ? std::strerror(errno) : text);
  }

  fs::path path_;
  std::unique_ptr<gzFile_s, int (*)(gzFile)> file_;
};

void check_magic(const std::string& file, std::span<const std::uint8_t> start, int rank) {
  const std::uint32_t found = start.size() >= 4 ? big_endian(start.data()) : 0, wanted = magic_number(rank);
  if (start.size() >= 4 && found == wanted) return;
  const auto text = std::find_if(start.begin(), start.end(), [](std::uint8_t b) { return !std::isspace(b); });
  check(!start.empty(), "read_idx: ", file, ": the file is empty, expected an IDX file of ", rank, " axes");
  check(text == start.end() || *text != '<', "read_idx: ", file, ": found a web page, expected an IDX file");
  check(start.size() >= 4, "read_idx: ", file, ": found ", start.size(), " bytes, expected an IDX header");
  const bool other_rank = found >> 8 == kUnsignedByte;
  const bool swapped = found == (wanted << 24 | (wanted & 0xff00) << 8);
  throw Error(cat("read_idx: ", file, ": found magic number ", hex(found), ", expected ", hex(wanted),
                  " (unsigned bytes, ", rank, rank == 1 ? " axis" : " axes", ")",
                  other_rank ? "; are images and labels swapped?" : "",
                  swapped ? "; the header is little-endian" : ""));
}

/// The shape that the header declares, or Error when it needs more than `max_bytes`.
Shape read_shape(Reader& reader, const std::string& file, int rank, std::size_t max_bytes) {
  std::array<std::uint8_t, 4 * (Shape::kMaxRank + 1)> header{};
  const std::size_t length = 4 * (static_cast<std::size_t>(rank) + 1);
  const std::size_t got = reader.read(std::span(header).first(length));
  check_magic(file, std::span(header).first(std::min<std::size_t>(got, 4)), rank);
  check(got == length, "read_idx: ", file, ": found ", got, " bytes, expected a header of ", length);

  std::array<std::int64_t, Shape::kMaxRank> extents{};
  std::uint64_t size = 1;
  for (std::size_t i = 0; i < static_cast<std::size_t>(rank); ++i) {
    const std::uint32_t extent = big_endian(header.data() + 4 * (i + 1));
    check(extent > 0, "read_idx: ", file, ": found extent 0 at axis ", i, ", expected 1 or more");
    check(size <= max_bytes / extent, "read_idx: ", file, ": the header declares more than ", max_bytes,
          " bytes (extent ", extent, " at axis ", i, ")");
    size *= extent;
    extents[i] = extent;
  }
  return Shape(extents.data(), rank);
}

}  // namespace

std::string IdxArray::sha256() const {
  const auto header = header_bytes(shape);
  return coarsegrad::sha256({std::as_bytes(std::span(header)), std::as_bytes(std::span(bytes))});
}

IdxArray read_idx(const fs::path& path, int rank, std::size_t max_bytes) {
  check(rank >= 1 && rank <= Shape::kMaxRank, "read_idx: given ", rank, " axes, expected 1 to ", Shape::kMaxRank);
  const std::string file = path.string();
  const RegularFile on_disk(path, cat("read_idx: ", file, ": "));
  Reader reader(on_disk, path);
  IdxArray array{read_shape(reader, file, rank, max_bytes), {}};

  const auto declared = static_cast<std::uint64_t>(array.shape.numel());
  const std::uint64_t header = 4 * (static_cast<std::uint64_t>(rank) + 1);
  if (reader.packed())
    check(declared <= on_disk.size() * kMaxDeflateRatio, "read_idx: ", file, ": ", on_disk.size(),
          " packed bytes are too few for the shape ", array.shape, " that the header declares");
  else
    check(on_disk.size() == header + declared, "read_idx: ", file, ": found ", on_disk.size(), " bytes, expected ",
          header + declared, " for the shape ", array.shape);

  array.bytes.resize(declared + 1);
  const std::size_t got = reader.read(array.bytes);
  check(got >= declared, "read_idx: ", file, ": found ", header + got, " unpacked bytes, expected ", header + declared,
        " for the shape ", array.shape);
  check(got == declared, "read_idx: ", file, ": found more than the ", header + declared,
        " bytes expected for the shape ", array.shape);
  array.bytes.pop_back();
  return array;
}

void write_idx(const fs::path& path, const Shape& shape, std::span<const std::uint8_t> bytes) {
  const std::string file = path.string();
  check(shape.rank() >= 1 && shape.numel() == static_cast<std::int64_t>(bytes.size()), "write_idx: ", file, ": given ",
        bytes.size(), " bytes for shape ", shape);
  const bool pack = path.extension() == ".gz";
  const std::unique_ptr<gzFile_s, int (*)(gzFile)> out(gzopen(path.c_str(), pack ? "wb" : "wbT"), &gzclose);
  check(out != nullptr, "write_idx: ", file, ": cannot be opened: ", std::strerror(errno));
  const auto write = [&](std::span<const std::uint8_t> part) {
    bool ok = true;
    for (; ok && !part.empty(); part = part.subspan(std::min(part.size(), kMaxZlibCall))) {
      const auto n = static_cast<unsigned>(std::min(part.size(), kMaxZlibCall));
      ok = gzwrite(out.get(), part.data(), n) == static_cast<int>(n);
    }
    return ok;
  };
  const bool ok = write(header_bytes(shape)) && write(bytes) && gzflush(out.get(), Z_FINISH) == Z_OK;
  int code = Z_OK;
  const char* const reason = gzerror(out.get(), &code);  // the text names the file
  check(ok, "write_idx: write failed: ", reason);
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
