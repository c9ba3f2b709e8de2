#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "datasets/images.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "nn/activation.h"
#include "optim/sgd.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

/// n images of one byte; image i has the byte and the label i.
ImageDataset numbered(int n) {
  ImageDataset data{"numbered", {1, 1, 1}, 256, {{0}, {1}}, {}, {}};
  for (int i = 0; i < n; ++i) {
    data.pixels.push_back(static_cast<std::uint8_t>(i));
    data.labels.push_back(i);
  }
  return data;
}

}  // namespace

TEST_CASE("dataset: validate accepts what fits together and names what does not") {
  const ImageDataset good = drawn_digits(3, 1);
  CHECK_NOTHROW(good.validate());
  const auto complaint = [&](auto&& spoil) {
    ImageDataset bad = good;
    spoil(bad);
    return complaint_of([&] { bad.validate(); });
  };
  CHECK_SAYS(complaint([](ImageDataset& d) { d.labels[1] = 10; }), "found label 10 at image 1, expected 0 to 9");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.pixels.pop_back(); }), "given 2351 bytes for 3 images");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.labels.clear(); }), "empty");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.image = {28, 28}; }), "expected (H,W,C)");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.normalisation.mean.push_back(0); }), "2 means");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.normalisation.deviation[0] = 0; }), "expected a positive one");
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, inf, -inf})
    CHECK_SAYS(complaint([bad](ImageDataset& d) { d.normalisation.mean[0] = bad; }), "expected a positive one");
  for (const double bad : {nan, std::numeric_limits<double>::min() / 2})
    CHECK_SAYS(complaint([bad](ImageDataset& d) { d.normalisation.deviation[0] = bad; }), "expected a positive one");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.classes = 0; }), "expected 1 or more");
  CHECK_SAYS(complaint([](ImageDataset& d) { d.labels[2] = -1; }), "found label -1 at image 2");
}

TEST_CASE("dataset: a held-out part and the rest are the whole, disjoint, and a function of the seed") {
  const ImageDataset data = numbered(200);
  const HeldOut a = hold_out(data, 50, 7), again = hold_out(data, 50, 7), b = hold_out(data, 50, 8);
  CHECK(a.held_out.size() == 50);
  CHECK(a.rest.size() == 150);
  std::multiset<int> all(a.rest.labels.begin(), a.rest.labels.end());
  all.insert(a.held_out.labels.begin(), a.held_out.labels.end());
  CHECK(all == std::multiset<int>(data.labels.begin(), data.labels.end()));
  CHECK(std::ranges::equal(a.held_out.pixels, a.held_out.labels));  // images went with their labels
  CHECK(std::is_sorted(a.rest.labels.begin(), a.rest.labels.end()));
  CHECK(a.held_out.labels == again.held_out.labels);
  CHECK(a.held_out.labels != b.held_out.labels);
  CHECK_THROWS_AS(hold_out(data, 0, 1), Error);
  CHECK_THROWS_AS(hold_out(data, 200, 1), Error);
}

TEST_CASE("dataset: a subset takes the images asked for, in that order") {
  const std::vector<std::int64_t> indices{5, 0, 5};
  const ImageDataset part = subset(numbered(6), indices);
  CHECK(part.labels == std::vector<std::int32_t>{5, 0, 5});
  CHECK(std::ranges::equal(part.pixels, part.labels));
  const std::vector<std::int64_t> outside{6}, negative{-1};
  CHECK_THROWS_AS(subset(numbered(6), outside), Error);
  CHECK_THROWS_AS(subset(numbered(6), negative), Error);
}

namespace {

/// Share of the images of `test` that are nearest, in Euclidean distance, to the mean training image of their class.
double nearest_mean_accuracy(const ImageDataset& train, const ImageDataset& test) {
  const auto bytes = static_cast<std::size_t>(train.image.numel());
  std::vector<std::vector<double>> mean(static_cast<std::size_t>(train.classes), std::vector<double>(bytes));
  std::vector<double> count(mean.size());
  for (std::int64_t i = 0; i < train.size(); ++i) {
    const auto label = static_cast<std::size_t>(train.labels[static_cast<std::size_t>(i)]);
    ++count[label];
    for (std::size_t k = 0; k < bytes; ++k) mean[label][k] += train.pixels_of(i)[k];
  }
  for (std::size_t c = 0; c < mean.size(); ++c)
    for (double& m : mean[c]) m /= std::max(1., count[c]);
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < test.size(); ++i) {
    std::vector<double> distance(mean.size());
    for (std::size_t c = 0; c < mean.size(); ++c)
      for (std::size_t k = 0; k < bytes; ++k) distance[c] += std::pow(test.pixels_of(i)[k] - mean[c][k], 2);
    const auto nearest = std::min_element(distance.begin(), distance.end()) - distance.begin();
    right += nearest == test.labels[static_cast<std::size_t>(i)];
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

/// The same of a network of three convolutions after eight epochs.
double small_network_accuracy(const ImageDataset& train, const ImageDataset& test) {
  nn::Sequential net;
  const Rng rng(1);
  std::int64_t in = train.image[2];
  for (const std::string place : {"1", "2", "3"}) {
    net.add<nn::Conv2d>("conv" + place, nn::ConvOptions{.in = in, .out = 16, .stride = 2, .padding = 1},
                        rng.split(place));
    net.add<nn::BatchNorm>("norm" + place, 16);
    net.add<nn::ReLU>("relu" + place);
    in = 16;
  }
  net.add<nn::Flatten>("flatten");
  net.add<nn::Linear>("fc", 4 * 4 * 16, train.classes, rng.split("fc"));
  optim::Sgd sgd(net.parameters(), {.lr = 0.05, .momentum = 0.9});
  DataLoader loader(train, {.batch_size = 50, .augmentation = kCropAndFlip});
  for (int epoch = 0; epoch < 8; ++epoch)
    for (const Batch& batch : loader.epoch(epoch)) {
      const Var loss = cross_entropy(net(batch["image"]), batch["label"]);
      sgd.zero_grad();
      loss.backward();
      sgd.step();
    }
  net.eval();
  const NoGrad no_grad;
  DataLoader all(test, {.batch_size = test.size(), .shuffle = false});
  const Tensor logits = net(all.next()["image"]).value();
  std::int64_t right = 0;
  for (std::size_t i = 0; i < test.labels.size(); ++i) {
    const auto row =
        logits.view().subspan(i * static_cast<std::size_t>(test.classes), static_cast<std::size_t>(test.classes));
    right += std::max_element(row.begin(), row.end()) - row.begin() == test.labels[i];
  }
  return static_cast<double>(right) / static_cast<double>(test.size());
}

}  // namespace

TEST_CASE("synthetic sets are valid, depend on seed and part alone, and can be learned" * doctest::test_suite("long")) {
  const auto blobs = [](std::uint64_t seed, std::uint64_t part) {
    return gaussian_classes(300, {4, 4, 3}, 5, 1, seed, part);
  };
  const auto digits = [](std::uint64_t seed, std::uint64_t part) { return drawn_digits(300, seed, part); };
  const auto is_sound = [](auto&& make, auto&& accuracy, double at_least) {
    set_num_threads(1);
    const ImageDataset train = make(1, 0);
    set_num_threads(2);
    const ImageDataset again = make(1, 0), test = make(1, 1), other = make(2, 0);
    CHECK_NOTHROW(train.validate());
    CHECK(train.pixels == again.pixels);
    CHECK(train.labels == again.labels);
    CHECK(train.pixels != test.pixels);
    CHECK(train.pixels != other.pixels);
    CHECK(std::set<int>(train.labels.begin(), train.labels.end()).size() == static_cast<std::size_t>(train.classes));
    CHECK(accuracy(train, test) > at_least);
  };
  const auto shapes = [](std::uint64_t seed, std::uint64_t part) { return drawn_shapes(1500, seed, part); };
  is_sound(blobs, nearest_mean_accuracy, 0.95);
  is_sound(digits, nearest_mean_accuracy, 0.6);   // 0.1 is chance; means blur what a network tells apart
  is_sound(shapes, small_network_accuracy, 0.2);  // 0.1 is chance; there is more in it, for larger networks
}

TEST_CASE("synthetic sets refuse absurd sizes") {
  CHECK_THROWS_AS(drawn_digits(0, 1), Error);
  CHECK_THROWS_AS(drawn_shapes(0, 1), Error);
  CHECK_THROWS_AS(gaussian_classes(1, {4, 4}, 5, 1, 1), Error);
  CHECK_THROWS_AS(gaussian_classes(1, {4, 4, 1}, 0, 1, 1), Error);
  CHECK_THROWS_AS(gaussian_classes(1, {4, 4, 1}, 2, -1, 1), Error);
}
