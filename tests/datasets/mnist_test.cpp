#include "datasets/mnist.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdlib>

#include "core/base/check.h"
#include "datasets/idx_file.h"
#include "datasets/synthetic.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

constexpr const char *kTrainImages = "train-images-idx3-ubyte", *kTrainLabels = "train-labels-idx1-ubyte",
                     *kTestImages = "t10k-images-idx3-ubyte", *kTestLabels = "t10k-labels-idx1-ubyte";

/// A small data set of drawn digits under the names of MNIST.
class Fixture : public TempFolder {
 public:
  Fixture() {
    std::filesystem::create_directory(*this / "mnist");
    const ImageDataset train = drawn_digits(20, 1), test = drawn_digits(10, 1, 1);
    write_idx(file(kTrainImages), {20, 28, 28}, train.pixels);
    write_idx(file(kTrainLabels), {20}, bytes(train.labels));
    write_idx(file(kTestImages) += ".gz", {10, 28, 28}, test.pixels);
    write_idx(file(kTestLabels) += ".gz", {10}, bytes(test.labels));
  }
  std::filesystem::path file(const std::string& name) const { return path() / "mnist" / name; }

 private:
  static std::vector<std::uint8_t> bytes(const std::vector<std::int32_t>& labels) {
    return {labels.begin(), labels.end()};
  }
};

std::string complaint(const Fixture& fixture, Verify verify = Verify::layout) {
  return complaint_of([&] { load_mnist(fixture.path(), verify); });
}

}  // namespace

TEST_CASE("mnist: plain and packed files give the images, labels and normalisation") {
  const Fixture fixture;
  const TrainTest mnist = load_mnist(fixture.path(), Verify::layout);
  CHECK(mnist.train.pixels == drawn_digits(20, 1).pixels);
  CHECK(mnist.test.labels == drawn_digits(10, 1, 1).labels);
  CHECK(mnist.train.image == Shape{28, 28, 1});
  CHECK(mnist.train.classes == 10);
}

TEST_CASE("mnist: a missing file is named with its folder and the command that gets it") {
  const Fixture fixture;
  std::filesystem::remove(fixture.file(kTrainLabels));
  const std::string text = complaint(fixture);
  CHECK_SAYS(text, fixture.file(kTrainLabels).string());
  CHECK_SAYS(text, "datasets/download mnist --to " + fixture.path().string());
  CHECK_SAYS(complaint_of([] { load_mnist("/nonexistent"); }), "/nonexistent/mnist/train-images-idx3-ubyte");
}

TEST_CASE("mnist: content that is not the published one is refused") {
  const Fixture fixture;
  const std::string text = complaint(fixture, Verify::checksums);
  CHECK_SAYS(text, "SHA-256");
  CHECK_SAYS(text, kTrainImages);
}

TEST_CASE("mnist: swapped files, a label of 10, unequal counts and other image sizes are refused") {
  {
    const Fixture fixture;
    std::filesystem::copy_file(fixture.file(kTrainLabels), fixture.file(kTrainImages),
                               std::filesystem::copy_options::overwrite_existing);
    CHECK_SAYS(complaint(fixture), "are images and labels swapped?");
  }
  {
    const Fixture fixture;
    write_idx(fixture.file(kTrainLabels), {3}, std::vector<std::uint8_t>{0, 9, 10});
    CHECK_SAYS(complaint(fixture), "train-labels-idx1-ubyte: found label 10 at position 2, expected 0 to 9");
  }
  {
    const Fixture fixture;
    write_idx(fixture.file(kTrainLabels), {19}, std::vector<std::uint8_t>(19));
    CHECK_SAYS(complaint(fixture), "found 20 images, but 19 labels");
  }
  {
    const Fixture fixture;
    write_idx(fixture.file(kTrainImages), {20, 32, 32}, std::vector<std::uint8_t>(20 * 32 * 32));
    CHECK_SAYS(complaint(fixture), "found images of 32x32, expected 28x28");
  }
}

TEST_CASE("mnist: the published files pass their checksums and have the mean and deviation of the normalisation") {
  const char* root = std::getenv("COARSEGRAD_DATA");
  if (!root) {
    MESSAGE("skipped: COARSEGRAD_DATA does not name a folder that holds mnist/");
    return;
  }
  const TrainTest mnist = load_mnist(root);
  CHECK(mnist.train.size() == 60000);
  CHECK(mnist.test.size() == 10000);
  double sum = 0, squares = 0;
  for (const std::uint8_t byte : mnist.train.pixels) {
    sum += byte / 255.;
    squares += byte / 255. * (byte / 255.);
  }
  const auto n = static_cast<double>(mnist.train.pixels.size());
  const double mean = sum / n, deviation = std::sqrt(squares / n - mean * mean);
  CHECK(std::abs(mean - mnist.train.normalisation.mean[0]) < 5e-5);
  CHECK(std::abs(deviation - mnist.train.normalisation.deviation[0]) < 5e-5);
}
