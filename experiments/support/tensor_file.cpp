#include "experiments/support/tensor_file.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string_view>

#include "core/base/check.h"
#include "experiments/support/file_place.h"
#include "experiments/support/provenance.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;
static_assert(std::endian::native == std::endian::little, "values are written as they lie in memory");

constexpr std::uint64_t kMaxHeader = 100'000'000;

std::string sha256(std::string_view header, std::string_view values) {
  std::array<unsigned char, 32> digest{};
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  const bool ok = context && EVP_DigestInit_ex(context, EVP_sha256(), nullptr) &&
                  EVP_DigestUpdate(context, header.data(), header.size()) &&
                  EVP_DigestUpdate(context, values.data(), values.size()) &&
                  EVP_DigestFinal_ex(context, digest.data(), nullptr);
  EVP_MD_CTX_free(context);
  check(ok, "tensor file: SHA-256 is not to be had");
  std::string hex;
  for (const unsigned char byte : digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    hex += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return hex;
}

// The header without its checksum: what the checksum is taken of, together with the values.
json header_of(const TensorFile& file) {
  json header = json::object();
  header["__metadata__"] = file.metadata;
  std::uint64_t offset = 0;
  for (const StoredTensor& t : file.tensors) {
    check(!header.contains(t.name), "tensor file: given '", t.name, "' twice");
    check(static_cast<std::int64_t>(t.values.size()) == t.shape.numel(), "tensor file: given ",
          t.values.size(), " values for '", t.name, "' of shape ", t.shape);
    const std::uint64_t end = offset + t.values.size() * sizeof(float);
    header[t.name] = {{"dtype", "F32"},
                      {"shape", std::vector<std::int64_t>(t.shape.begin(), t.shape.end())},
                      {"data_offsets", {offset, end}}};
    offset = end;
  }
  return header;
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : ".";
}

std::string read_whole(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.good(), "tensor file ", path.string(), ": cannot be opened: ", std::strerror(errno));
  std::ostringstream contents;
  contents << in.rdbuf();
  check(!in.bad() && !contents.fail(), "tensor file ", path.string(), ": cannot be read");
  return std::move(contents).str();
}

struct Entry {
  std::uint64_t begin, end;
  StoredTensor tensor;
};

Entry entry_of(const std::string& name, const json& item, std::string_view values) {
  check(item.is_object() && item.size() == 3 && item.value("dtype", "") == "F32", "'", name,
        "': expected dtype F32, shape and data_offsets");
  const auto extents = item.at("shape").get<std::vector<std::int64_t>>();
  check(extents.size() <= static_cast<std::size_t>(Shape::kMaxRank), "'", name, "': given ", extents.size(),
        " axes");
  const auto offsets = item.at("data_offsets").get<std::array<std::uint64_t, 2>>();
  Entry e{offsets[0], offsets[1], {name, Shape(extents.data(), static_cast<int>(extents.size())), {}}};
  check(e.begin <= e.end && e.end <= values.size() &&
            e.end - e.begin == static_cast<std::uint64_t>(e.tensor.shape.numel()) * sizeof(float),
        "'", name, "': offsets do not fit the shape or the file");
  e.tensor.values.resize((e.end - e.begin) / sizeof(float));
  std::copy_n(values.data() + e.begin, e.end - e.begin, reinterpret_cast<char*>(e.tensor.values.data()));
  return e;
}

TensorFile parse(const std::string& contents) {
  std::uint64_t length = 0;
  check(contents.size() >= sizeof length, "given ", contents.size(), " bytes, expected a header");
  std::memcpy(&length, contents.data(), sizeof length);
  check(contents.substr(sizeof length, 1) == "{",
        "is no tensor file (safetensors: the length of a JSON header in 8 bytes, the header, the values); "
        "experiments/torch_file makes one of a PyTorch .pt file");
  check(length <= kMaxHeader && length <= contents.size() - sizeof length, "given a header of ", length,
        " bytes, expected at most the file's ", contents.size());
  const std::string_view text(contents.data() + sizeof length, length);
  const std::string_view values = std::string_view(contents).substr(sizeof length + length);
  const json header = json::parse(text);
  check(header.is_object() && header.contains("__metadata__"), "expected a JSON object with __metadata__");
  TensorFile file;
  file.metadata = header.at("__metadata__").get<std::map<std::string, std::string>>();
  const auto checksum = file.metadata.extract("sha256");
  std::vector<Entry> entries;
  for (const auto& [name, item] : header.items())
    if (name != "__metadata__") entries.push_back(entry_of(name, item, values));
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  std::uint64_t covered = 0;
  for (Entry& e : entries) {
    check(e.begin == covered, "'", e.tensor.name, "': the values have a hole or overlap");
    covered = e.end;
    file.tensors.push_back(std::move(e.tensor));
  }
  check(covered == values.size(), "given ", values.size(), " bytes of values, expected ", covered);
  check(!checksum.empty() && checksum.mapped() == sha256(header_of(file).dump(), values),
        "the checksum does not match");
  return file;
}

constexpr std::string_view kPart = ".part";

// Removes what processes that were killed while they wrote this file have left: NAME.partPID.
void remove_leftovers(const std::filesystem::path& target) {
  const std::string lead = target.filename().string() + std::string(kPart);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder_of(target), ignored)) {
    const std::string name = entry.path().filename().string();
    pid_t pid = 0;
    const char* const end = name.data() + name.size();
    if (!name.starts_with(lead) || std::from_chars(name.data() + lead.size(), end, pid).ptr != end) continue;
    if (pid > 0 && !process_runs(pid)) std::filesystem::remove(entry.path(), ignored);
  }
}

// An open file that is removed again unless it was renamed.
class TemporaryFile {
 public:
  explicit TemporaryFile(std::filesystem::path target)
      : target_(std::move(target)), name_(cat(target_.string(), kPart, ::getpid())) {
    remove_leftovers(target_);
    fd_ = ::open(name_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    require(fd_ >= 0);
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
  check(!file.metadata.contains("sha256"), "tensor file: given metadata 'sha256', which is taken");
  json header = header_of(file);
  std::string values;
  for (const StoredTensor& t : file.tensors)
    values.append(reinterpret_cast<const char*>(t.values.data()), t.values.size() * sizeof(float));
  header["__metadata__"]["sha256"] = sha256(header.dump(), values);
  std::string text = header.dump();
  text.resize((text.size() + 7) / 8 * 8, ' ');  // the values begin at a multiple of 8 bytes
  const std::uint64_t length = text.size();
  std::string contents(sizeof length, '\0');
  std::memcpy(contents.data(), &length, sizeof length);
  write_file_atomically(path, contents + text + values);
}

TensorFile read_tensor_file(const std::filesystem::path& path) {
  const std::string contents = read_whole(path);
  try {
    return parse(contents);
  } catch (const std::exception& e) {
    throw Error(cat("tensor file ", path.string(), ": ", e.what()));
  }
}

}  // namespace coarsegrad::experiments
