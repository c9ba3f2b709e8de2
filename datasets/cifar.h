#pragma once
// CIFAR-10 and CIFAR-100: 50,000 + 10,000 colour images of 10 or 100 kinds of objects, 32 x 32 (Krizhevsky:
// Learning multiple layers of features from tiny images, 2009), in the binary layout of
// www.cs.toronto.edu/~kriz/cifar.html: records of one label byte (CIFAR-100: the coarse label, then the fine
// one) and 3072 pixel bytes, the red plane, then green and blue, each row by row.
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/base/regular_file.h"
#include "datasets/images.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// Reads data_batch_1.bin to data_batch_5.bin and test_batch.bin in `root`/cifar10, 30,730,000 bytes each.
/// With Verify::layout a file may hold any number of records. Throws Error when a file is missing (it says
/// which, where, and the command that gets it), has another size, a label above 9, or is not the published one.
TrainTest load_cifar10(const std::filesystem::path& root, Verify verify = Verify::checksums);

/// The two labels of CIFAR-100: 100 fine classes, 20 coarse ones of five fine classes each.
enum class Cifar100Labels { fine, coarse };

/// Reads train.bin (153,700,000 bytes) and test.bin (30,740,000) in `root`/cifar100. Checks and errors are those
/// of load_cifar10(), with labels below 100 and 20.
TrainTest load_cifar100(const std::filesystem::path& root, Cifar100Labels labels = Cifar100Labels::fine,
                        Verify verify = Verify::checksums);

/// CIFAR-10's images, each read from its file when it is asked for: the samples of load_cifar10(), in their order, in
/// no memory to speak of. Files of the same layout are taken as they are. sample() throws Error for a label above 9.
class Cifar10Files : public Dataset {
 public:
  /// Which files: the five of the training set, or that of the test set.
  enum class Part { train, test };
  /// Throws Error when a file in `root`/cifar10 is missing or has no whole records.
  Cifar10Files(const std::filesystem::path& root, Part part);

  Description description() const override;
  std::int64_t size() const override { return ends_.empty() ? 0 : ends_.back(); }
  Sample sample(std::int64_t i) const override;

 private:
  std::string name_;
  std::vector<std::unique_ptr<RegularFile>> files_;
  std::vector<std::int64_t> ends_;  // of each file: the number of the first image behind it
};

/// Writes images of shape (32,32,3) in the layout of CIFAR-10. Throws Error for another shape, a label above
/// 9, or when the file cannot be written.
void write_cifar10(const std::filesystem::path& path, const ImageDataset& data);
/// Writes images of shape (32,32,3) in the layout of CIFAR-100: the labels of `data` are the fine ones, below 100;
/// `coarse` has one label, below 20, for each image. Throws Error as write_cifar10() does.
void write_cifar100(const std::filesystem::path& path, const ImageDataset& data, std::span<const std::int32_t> coarse);

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
