#include "datasets/mnist.h"

#include <algorithm>
#include <string>
#include <utility>

#include "core/base/check.h"
#include "datasets/idx_file.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxBytes = std::size_t{256} << 20;  // five times the published training set

constexpr int kClasses = 10;

struct File {
  const char* name;
  int rank, values;    // axes; elements are 0 to values - 1
  const char* sha256;  // of the unpacked content
};
constexpr File kTrainImages{"train-images-idx3-ubyte", 3, 256,
                            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"};
constexpr File kTrainLabels{"train-labels-idx1-ubyte", 1, kClasses,
                            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"};
constexpr File kTestImages{"t10k-images-idx3-ubyte", 3, 256,
                           "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"};
constexpr File kTestLabels{"t10k-labels-idx1-ubyte", 1, kClasses,
                           "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"};

// Mean and standard deviation of the training pixels scaled to [0, 1], to four places: the values in common use (a
// test computes them anew from the files).
const Normalisation kNormalisation{{0.1307}, {0.3081}};

IdxArray read(const fs::path& folder, const File& file, Verify verify) {
  const fs::path plain = folder / file.name, packed = folder / (std::string(file.name) + ".gz");
  check(fs::exists(packed) || fs::exists(plain), packed.string(), " (or without .gz) does not exist");
  const fs::path& path = fs::exists(packed) ? packed : plain;
  IdxArray array = read_idx(path, file.rank, kMaxBytes);
  const auto wrong = std::find_if(array.bytes.begin(), array.bytes.end(), [&](int b) { return b >= file.values; });
  if (wrong != array.bytes.end())
    throw Error(cat(path.string(), ": found label ", int{*wrong}, " at position ", wrong - array.bytes.begin(),
                    ", expected 0 to ", file.values - 1));
  if (verify == Verify::checksums) {
    const std::string found = array.sha256();
    check(found == file.sha256, path.string(), ": found content with SHA-256 ", found, ", expected ", file.sha256,
          " (Fashion-MNIST and others use the same file names); ", kReadByLayout);
  }
  return array;
}

ImageDataset read_part(const fs::path& folder, const char* name, const File& images, const File& labels,
                       Verify verify) {
  IdxArray pixels = read(folder, images, verify), classes = read(folder, labels, verify);
  const Shape& shape = pixels.shape;
  check(shape[1] == 28 && shape[2] == 28, images.name, ": found images of ", shape[1], "x", shape[2],
        ", expected 28x28");
  check(shape[0] == classes.shape[0], images.name, ": found ", shape[0], " images, but ", classes.shape[0],
        " labels in ", labels.name);
  ImageDataset data(name, {28, 28, 1}, kClasses, kNormalisation, std::move(pixels.bytes),
                    {classes.bytes.begin(), classes.bytes.end()});
  data.validate();
  return data;
}

}  // namespace

TrainTest load_mnist(const fs::path& root, Verify verify) {
  const fs::path folder = root / "mnist";
  try {
    return {read_part(folder, "MNIST train", kTrainImages, kTrainLabels, verify),
            read_part(folder, "MNIST test", kTestImages, kTestLabels, verify)};
  } catch (const Error& error) {
    throw Error(cat("load_mnist: ", error.what(), "; get the data with: datasets/download mnist --to ", root.string()));
  }
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
