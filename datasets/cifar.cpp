#include "datasets/cifar.h"

#include <algorithm>
#include <array>
#include <fstream>
#include <span>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/sha256.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::size_t kPlane = 32 * 32, kPixels = 3 * kPlane;
constexpr std::size_t kMaxBytes = std::size_t{1} << 30;

struct Label {
  const char* name;
  int classes;
};

struct Layout {
  const char* name;
  std::vector<Label> labels;  // the bytes that each record begins with
  std::size_t record() const { return labels.size() + kPixels; }
};
const Layout kCifar10{"CIFAR-10", {{"label", 10}}};
const Layout kCifar100{"CIFAR-100", {{"coarse label", 20}, {"fine label", 100}}};

struct File {
  const char* name;
  std::size_t records;
  const char* sha256;
};
const std::vector<File> kTrain10{
    {"data_batch_1.bin", 10000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"},
    {"data_batch_2.bin", 10000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"},
    {"data_batch_3.bin", 10000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"},
    {"data_batch_4.bin", 10000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"},
    {"data_batch_5.bin", 10000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"}};
const std::vector<File> kTest10{
    {"test_batch.bin", 10000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"}};
const std::vector<File> kTrain100{
    {"train.bin", 50000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29"}};
const std::vector<File> kTest100{
    {"test.bin", 10000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a"}};

// The values in common use, so that results compare. The means are those of the training pixels scaled to [0,
// 1]. The deviations of CIFAR-100 are, too; those of CIFAR-10 are the mean deviation within an image, not the
// deviation of all pixels (0.2470, 0.2435, 0.2616). A test computes CIFAR-10's anew from the files.
const Normalisation kNormalisation10{{0.4914, 0.4822, 0.4465}, {0.2023, 0.1994, 0.2010}};
const Normalisation kNormalisation100{{0.5071, 0.4867, 0.4408}, {0.2675, 0.2565, 0.2761}};

/// The whole file, once its size is known to be right.
Bytes read_bytes(const fs::path& path, const Layout& layout, const File& file, Verify verify) {
  check(fs::exists(path), path.string(), " does not exist");
  RegularFile in(path, cat(path.string(), ": "));
  const std::uint64_t found = in.size();
  std::uint8_t first = 0;
  if (found > 0) in.read(std::as_writable_bytes(std::span(&first, 1)));
  check(first != '<', path.string(), ": found a web page, expected a ", layout.name, " file");
  const std::size_t record = layout.record(), wanted = file.records * record;
  if (verify == Verify::checksums)
    check(found == wanted, path.string(), ": found ", found, " bytes, expected ", wanted, ", ", file.records,
          " records of ", layout.name, "; ", kReadByLayout);
  check(found > 0 && found % record == 0 && found <= kMaxBytes, path.string(), ": found ", found,
        " bytes, expected 1 or more whole records of ", record, " (", layout.name, ")");
  Bytes bytes(found);
  bytes[0] = first;
  in.read(std::as_writable_bytes(std::span(bytes).subspan(1)));
  return bytes;
}

void check_labels(const std::string& path, const Layout& layout, const Bytes& bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += layout.record())
    for (std::size_t k = 0; k < layout.labels.size(); ++k)
      if (bytes[at + k] >= layout.labels[k].classes)
        throw Error(cat(path, ": found ", layout.labels[k].name, ' ', int{bytes[at + k]}, " at image ",
                        at / layout.record(), ", expected 0 to ", layout.labels[k].classes - 1));
}

/// The planes of an image, channels last.
void channels_last(const std::uint8_t* planes, std::uint8_t* out) {
  for (std::size_t p = 0; p < kPlane; ++p)
    for (std::size_t c = 0; c < 3; ++c) out[3 * p + c] = planes[c * kPlane + p];
}

/// Appends the images of `bytes`, planes turned to channels last, and their labels number `label`.
void append(const Layout& layout, const Bytes& bytes, std::size_t label, ImageDataset& data) {
  const std::size_t records = bytes.size() / layout.record(), before = data.labels.size();
  data.labels.resize(before + records);
  data.pixels.resize((before + records) * kPixels);
  parallel_for(static_cast<std::int64_t>(records), [&](std::int64_t i) {
    const std::size_t n = static_cast<std::size_t>(i);
    const std::uint8_t* record = bytes.data() + n * layout.record();
    data.labels[before + n] = record[label];
    channels_last(record + layout.labels.size(), data.pixels.data() + (before + n) * kPixels);
  });
}

struct Source {
  fs::path folder;
  const Layout& layout;
  std::size_t label;  // which of the labels is asked for
  const Normalisation& normalisation;
  Verify verify;
};

ImageDataset read_part(const Source& from, const char* part, const std::vector<File>& files) {
  const Layout& layout = from.layout;
  ImageDataset data(cat(layout.name, ' ', part), {32, 32, 3}, layout.labels[from.label].classes, from.normalisation);
  for (const File& file : files) {
    const fs::path path = from.folder / file.name;
    const Bytes bytes = read_bytes(path, layout, file, from.verify);
    check_labels(path.string(), layout, bytes);
    if (from.verify == Verify::checksums) {
      const std::string found = sha256({std::as_bytes(std::span(bytes))});
      check(found == file.sha256, path.string(), ": found content with SHA-256 ", found, ", expected ", file.sha256,
            "; ", kReadByLayout);
    }
    append(layout, bytes, from.label, data);
  }
  data.validate();
  return data;
}

TrainTest load(const char* name, const fs::path& root, Source from, const std::vector<File>& train,
               const std::vector<File>& test) {
  from.folder = root / name;
  try {
    return {read_part(from, "train", train), read_part(from, "test", test)};
  } catch (const Error& error) {
    throw Error(cat("load_", name, ": ", error.what(), "; get the data with: datasets/download ", name, " --to ",
                    root.string()));
  }
}

/// The reverse of append(); one list of labels for each label byte.
void write(const char* operation, const fs::path& path, const Layout& layout, const ImageDataset& data,
           const std::vector<std::vector<std::int32_t>>& labels) {
  data.validate();
  check(data.image == Shape{32, 32, 3}, operation, ": given images of shape ", data.image, ", expected (32,32,3)");
  for (const auto& list : labels)
    check(list.size() == data.labels.size(), operation, ": given ", list.size(), " labels for ", data.size(),
          " images");
  Bytes bytes;
  for (std::size_t n = 0; n < data.labels.size(); ++n) {
    for (const auto& list : labels) bytes.push_back(static_cast<std::uint8_t>(list[n]));
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t p = 0; p < kPlane; ++p) bytes.push_back(data.pixels[n * kPixels + 3 * p + c]);
  }
  check_labels(operation, layout, bytes);
  std::ofstream out(path, std::ios::binary);
  out.write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  check(out.flush().good(), operation, ": ", path.string(), ": cannot be written");
}

}  // namespace

TrainTest load_cifar10(const fs::path& root, Verify verify) {
  return load("cifar10", root, {{}, kCifar10, 0, kNormalisation10, verify}, kTrain10, kTest10);
}

TrainTest load_cifar100(const fs::path& root, Cifar100Labels labels, Verify verify) {
  const std::size_t label = labels == Cifar100Labels::coarse ? 0 : 1;
  return load("cifar100", root, {{}, kCifar100, label, kNormalisation100, verify}, kTrain100, kTest100);
}

void write_cifar10(const fs::path& path, const ImageDataset& data) {
  write("write_cifar10", path, kCifar10, data, {data.labels});
}

void write_cifar100(const fs::path& path, const ImageDataset& data, std::span<const std::int32_t> coarse) {
  write("write_cifar100", path, kCifar100, data, {{coarse.begin(), coarse.end()}, data.labels});
}

Cifar10Files::Cifar10Files(const fs::path& root, Part part)
    : name_(cat(kCifar10.name, part == Part::train ? " train" : " test")) {
  for (const File& file : part == Part::train ? kTrain10 : kTest10) {
    const fs::path path = root / "cifar10" / file.name;
    const auto& opened = files_.emplace_back(std::make_unique<RegularFile>(path, cat(path.string(), ": ")));
    check(opened->size() > 0 && opened->size() % kCifar10.record() == 0, path.string(), ": found ", opened->size(),
          " bytes, expected 1 or more whole records of ", kCifar10.record(), " (", kCifar10.name, ")");
    ends_.push_back(size() + static_cast<std::int64_t>(opened->size() / kCifar10.record()));
  }
}

Description Cifar10Files::description() const {
  return description_of_images(name_, {32, 32, 3}, kCifar10.labels[0].classes, kNormalisation10);
}

Sample Cifar10Files::sample(std::int64_t i) const {
  check(i >= 0 && i < size(), name_, ": given image ", i, ", expected one of ", size());
  const auto file = std::ranges::upper_bound(ends_, i) - ends_.begin();
  const std::int64_t first = file == 0 ? 0 : ends_[static_cast<std::size_t>(file) - 1];
  std::array<std::uint8_t, 1 + kPixels> record;
  files_[static_cast<std::size_t>(file)]->read_at(static_cast<std::uint64_t>(i - first) * record.size(),
                                                  std::as_writable_bytes(std::span(record)));
  check(record[0] < kCifar10.labels[0].classes, name_, ": found label ", int{record[0]}, " at image ", i,
        ", expected 0 to ", kCifar10.labels[0].classes - 1);
  Tensor image = Tensor::uninitialized({32, 32, 3}, ElementType::uint8);
  channels_last(record.data() + 1, image.mutable_data_of<std::uint8_t>());
  Sample s;
  s.add("image", image);
  s.add("label", Tensor::of<std::int32_t>({}, {record[0]}));
  return s;
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
