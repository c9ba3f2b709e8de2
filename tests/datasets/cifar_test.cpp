#include "datasets/cifar.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <tuple>
#include <utility>

#include "datasets/synthetic.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kFileSize10 = 30'730'000, kTrainSize100 = 153'700'000;
constexpr const char* kFiles10[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                    "data_batch_4.bin", "data_batch_5.bin", "test_batch.bin"};

/// Small data sets under the names of CIFAR-10: file i holds 3 images of part i.
class Cifar10Fixture : public TempFolder {
 public:
  Cifar10Fixture() {
    fs::create_directory(*this / "cifar10");
    for (std::uint64_t i = 0; i < 6; ++i) write_cifar10(file(kFiles10[i]), drawn_shapes(3, 1, i));
  }
  fs::path file(const std::string& name) const { return path() / "cifar10" / name; }
  /// All six files with the published size; zeros, which take no room on the disk.
  void grow() const {
    for (const char* name : kFiles10) fs::resize_file(file(name), kFileSize10);
  }
  std::string complaint(Verify verify = Verify::layout) const {
    return complaint_of([&] { load_cifar10(path(), verify); });
  }
};

class Cifar100Files : public TempFolder {
 public:
  Cifar100Files() : train(gaussian_classes(20, {32, 32, 3}, 100, 1, 1)) {
    fs::create_directory(*this / "cifar100");
    for (const std::int32_t fine : train.labels) coarse.push_back(fine / 5);
    write_cifar100(file("train.bin"), train, coarse);
    write_cifar100(file("test.bin"), train, coarse);
  }
  fs::path file(const std::string& name) const { return path() / "cifar100" / name; }

  ImageDataset train;
  std::vector<std::int32_t> coarse;
};

}  // namespace

TEST_CASE("cifar: the files' images, channels last, and labels, in the order of the files") {
  const Cifar10Fixture files;
  const TrainTest cifar = load_cifar10(files.path(), Verify::layout);
  CHECK(cifar.train.size() == 15);
  CHECK(cifar.train.image == Shape{32, 32, 3});
  for (std::uint64_t i = 0; i < 6; ++i) {
    const ImageDataset part = drawn_shapes(3, 1, i);
    const ImageDataset& whole = i < 5 ? cifar.train : cifar.test;
    const auto first = static_cast<std::int64_t>(i < 5 ? 3 * i : 0);
    for (std::int64_t k = 0; k < 3; ++k) {
      const auto found = whole.pixels_of(first + k), expected = part.pixels_of(k);
      CHECK(std::equal(found.begin(), found.end(), expected.begin(), expected.end()));
      CHECK(whole.labels[static_cast<std::size_t>(first + k)] == part.labels[static_cast<std::size_t>(k)]);
    }
  }
}

TEST_CASE("cifar: a record is a label and the planes red, green, blue, each row by row") {
  const Cifar10Fixture files;
  std::string record(3073, '\0');
  record[0] = 7;
  const auto plane = [](std::size_t c, std::size_t row, std::size_t column) {
    return 1 + 1024 * c + 32 * row + column;
  };
  record[plane(0, 2, 5)] = 10;
  record[plane(1, 2, 5)] = 20;
  record[plane(2, 31, 0)] = 30;
  write_file(files.file("test_batch.bin"), record);
  const ImageDataset test = load_cifar10(files.path(), Verify::layout).test;
  CHECK(test.labels == std::vector<std::int32_t>{7});
  CHECK(test.pixels[(2 * 32 + 5) * 3 + 0] == 10);
  CHECK(test.pixels[(2 * 32 + 5) * 3 + 1] == 20);
  CHECK(test.pixels[(31 * 32 + 0) * 3 + 2] == 30);
  CHECK(std::count(test.pixels.begin(), test.pixels.end(), 0) == 3069);
}

TEST_CASE("cifar: CIFAR-100 has a coarse and a fine label") {
  const Cifar100Files files;
  const TrainTest fine = load_cifar100(files.path(), Cifar100Labels::fine, Verify::layout);
  const TrainTest coarse = load_cifar100(files.path(), Cifar100Labels::coarse, Verify::layout);
  CHECK(fine.train.labels == files.train.labels);
  CHECK(fine.train.pixels == files.train.pixels);
  CHECK(fine.train.classes == 100);
  CHECK(coarse.test.labels == files.coarse);
  CHECK(coarse.test.pixels == files.train.pixels);
  CHECK(coarse.test.classes == 20);
  CHECK(file_content(files.file("train.bin")).size() == 20 * 3074);
}

TEST_CASE("cifar: a file that is a byte short, a byte long or empty is refused with both sizes") {
  const Cifar10Fixture files;
  files.grow();
  for (const std::uintmax_t size : {kFileSize10 - 1, kFileSize10 + 1, kFileSize10 - 3073, std::uintmax_t{0}}) {
    fs::resize_file(files.file("data_batch_3.bin"), size);
    fs::resize_file(files.file("data_batch_1.bin"), size);
    const std::string text = files.complaint(Verify::checksums);
    CHECK_SAYS(text, files.file("data_batch_1.bin").string());
    CHECK_SAYS(text, cat("found ", size, " bytes, expected 30730000, 10000 records of CIFAR-10"));
  }
  for (const std::uintmax_t size : {3072, 3074, 0}) {
    fs::resize_file(files.file("data_batch_1.bin"), size);
    CHECK_SAYS(files.complaint(), cat("found ", size, " bytes, expected 1 or more whole records of 3073"));
  }
}

TEST_CASE("cifar: CIFAR-100 given as CIFAR-10 is refused, and the other way round") {
  const Cifar10Fixture files;
  fs::resize_file(files.file("data_batch_1.bin"), kTrainSize100);
  CHECK_SAYS(files.complaint(Verify::checksums), "found 153700000 bytes, expected 30730000");
  const Cifar100Files hundred;
  fs::resize_file(hundred.file("train.bin"), kFileSize10);
  CHECK_SAYS(complaint_of([&] { load_cifar100(hundred.path()); }),
             "found 30730000 bytes, expected 153700000, 50000 records of CIFAR-100");
}

TEST_CASE("cifar: a web page, a folder and a missing file are named for what they are") {
  const Cifar10Fixture files;
  write_file(files.file("data_batch_2.bin"), "<!DOCTYPE html><html></html>");
  CHECK_SAYS(files.complaint(Verify::layout), "data_batch_2.bin: found a web page, expected a CIFAR-10 file");
  fs::remove(files.file("data_batch_2.bin"));
  CHECK_SAYS(files.complaint(), cat(files.file("data_batch_2.bin").string(), " does not exist"));
  CHECK_SAYS(files.complaint(), cat("datasets/download cifar10 --to ", files.path().string()));
  fs::create_directory(files.file("data_batch_2.bin"));
  CHECK_SAYS(files.complaint(), "is not a regular file");
  CHECK_SAYS(complaint_of([] { load_cifar100("/nonexistent"); }), "datasets/download cifar100 --to /nonexistent");
}

TEST_CASE("cifar: labels out of range are named with their image") {
  const Cifar10Fixture files;
  std::string content = file_content(files.file("data_batch_4.bin"));
  content[2 * 3073] = 10;
  write_file(files.file("data_batch_4.bin"), content);
  CHECK_SAYS(files.complaint(), "data_batch_4.bin: found label 10 at image 2, expected 0 to 9");
  const Cifar100Files hundred;
  const std::string whole = file_content(hundred.file("train.bin"));
  for (const auto& [at, byte, text] : {std::tuple(0, 20, "found coarse label 20 at image 0, expected 0 to 19"),
                                       std::tuple(3075, 100, "found fine label 100 at image 1, expected 0 to 99")}) {
    std::string spoilt = whole;
    spoilt[static_cast<std::size_t>(at)] = static_cast<char>(byte);
    write_file(hundred.file("train.bin"), spoilt);
    CHECK_SAYS(complaint_of([&] { load_cifar100(hundred.path(), Cifar100Labels::fine, Verify::layout); }), text);
  }
}

TEST_CASE("cifar: content of the right size that is not the published one is refused") {
  const Cifar10Fixture files;
  files.grow();
  const std::string text = files.complaint(Verify::checksums);
  CHECK_SAYS(text, "data_batch_1.bin: found content with SHA-256");
  CHECK_SAYS(text, "--verify layout");
}

TEST_CASE("cifar: images and labels that the layout cannot hold are not written") {
  const TempFolder folder;
  const ImageDataset digits = drawn_digits(2, 1), hundred = gaussian_classes(50, {32, 32, 3}, 100, 1, 1);
  CHECK_SAYS(complaint_of([&] { write_cifar10(folder / "a", digits); }), "expected (32,32,3)");
  CHECK_SAYS(complaint_of([&] { write_cifar10(folder / "a", hundred); }), "expected 0 to 9");
  CHECK_SAYS(complaint_of([&] { write_cifar100(folder / "a", hundred, {}); }), "given 0 labels for 50 images");
  CHECK_SAYS(complaint_of([&] { write_cifar10(folder / "no" / "a", drawn_shapes(2, 1)); }), "cannot be written");
  CHECK(!fs::exists(folder / "a"));
}

TEST_CASE("cifar: the published files pass their checksums and have the constants of the normalisation") {
  const char* root = std::getenv("COARSEGRAD_DATA");
  if (!root || !fs::exists(fs::path(root) / "cifar10")) {
    MESSAGE("skipped: COARSEGRAD_DATA does not name a folder that holds cifar10/");
    return;
  }
  const TrainTest cifar = load_cifar10(root);
  CHECK(cifar.train.size() == 50000);
  CHECK(cifar.test.size() == 10000);
  for (int k = 0; k < 10; ++k) CHECK(std::count(cifar.train.labels.begin(), cifar.train.labels.end(), k) == 5000);
  std::array<double, 3> mean{}, deviation{};
  for (std::int64_t i = 0; i < cifar.train.size(); ++i) {
    const auto pixels = cifar.train.pixels_of(i);
    std::array<std::int64_t, 3> sum{}, squares{};
    for (std::size_t k = 0; k < pixels.size(); ++k) {
      sum[k % 3] += pixels[k];
      squares[k % 3] += pixels[k] * pixels[k];
    }
    for (std::size_t c = 0; c < 3; ++c) {
      const double m = static_cast<double>(sum[c]) / 1024;
      mean[c] += m / 255 / 50000;
      deviation[c] += std::sqrt((static_cast<double>(squares[c]) - 1024 * m * m) / 1023) / 255 / 50000;
    }
  }
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(std::abs(mean[c] - cifar.train.normalisation.mean[c]) < 1e-4);
    CHECK(std::abs(deviation[c] - cifar.train.normalisation.deviation[c]) < 1e-4);
  }
}

TEST_CASE("cifar: the published CIFAR-100 files pass their checksums and have the constants of the normalisation") {
  const char* root = std::getenv("COARSEGRAD_DATA");
  if (!root || !fs::exists(fs::path(root) / "cifar100")) {
    MESSAGE("skipped: COARSEGRAD_DATA does not name a folder that holds cifar100/");
    return;
  }
  const std::string complaint = complaint_of([&] { load_cifar100(root); });
  if (!complaint.empty()) {
    CHECK_SAYS(complaint, "found content with SHA-256");
    MESSAGE("skipped: the checksums of CIFAR-100, since these files are not the published ones");
  }
  const TrainTest cifar = load_cifar100(root, Cifar100Labels::fine, Verify::layout);
  CHECK(cifar.train.size() == 50000);
  CHECK(cifar.test.size() == 10000);
  for (int k = 0; k < 100; ++k) CHECK(std::count(cifar.train.labels.begin(), cifar.train.labels.end(), k) == 500);
  const auto n = static_cast<double>(cifar.train.pixels.size()) / 3;
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t k = c; k < cifar.train.pixels.size(); k += 3) {
      sum += cifar.train.pixels[k] / 255.;
      squares += cifar.train.pixels[k] / 255. * (cifar.train.pixels[k] / 255.);
    }
    CHECK(std::abs(sum / n - cifar.train.normalisation.mean[c]) < 2e-4);
    CHECK(std::abs(std::sqrt(squares / n - sum / n * sum / n) - cifar.train.normalisation.deviation[c]) < 2e-4);
  }
}
