#include "datasets/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <numeric>
#include <set>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "datasets/cifar.h"
#include "datasets/pixel_codes.h"
#include "datasets/synthetic.h"
#include "tests/support/child.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::datasets;

namespace {

constexpr Augmentation kAll{.pad = 4, .flip = true, .cutout = 8};

/// n images; all bytes of image i and its label are i.
ImageDataset numbered(int n, const Shape& image = {1, 2, 3}) {
  ImageDataset data{"numbered", image, 256, {{0, 0.5, 0.25}, {1, 0.5, 2}}, {}, {}};
  for (int i = 0; i < n; ++i) {
    data.pixels.insert(data.pixels.end(), static_cast<std::size_t>(image.numel()), static_cast<std::uint8_t>(i));
    data.labels.push_back(i);
  }
  return data;
}

using Labels = std::vector<std::int32_t>;
Labels labels_of(const Batch& batch) {
  const auto labels = batch["label"].view_of<std::int32_t>();
  return {labels.begin(), labels.end()};
}

Labels labels_of_epoch(DataLoader& loader, std::int64_t epoch) {
  Labels all;
  for (const Batch& batch : loader.epoch(epoch)) {
    const Labels some = labels_of(batch);
    all.insert(all.end(), some.begin(), some.end());
  }
  return all;
}

struct Served {
  Labels labels;
  std::vector<Real> images;
  friend bool operator==(const Served&, const Served&) = default;
};
Served copy_of(const Batch& batch) {
  return {labels_of(batch), {batch["image"].view().begin(), batch["image"].view().end()}};
}

std::vector<Served> serve(const Dataset& data, const LoaderOptions& options, int batches, std::int64_t epoch = 0,
                          std::int64_t first = 0) {
  DataLoader loader(data, options);
  loader.seek(epoch, first);
  std::vector<Served> all;
  for (int i = 0; i < batches; ++i) all.push_back(copy_of(loader.next()));
  return all;
}

}  // namespace

TEST_CASE("loader: without shuffling an epoch is the data set in its order, cut into batches") {
  const ImageDataset data = numbered(10);
  DataLoader loader(data, {.batch_size = 4, .shuffle = false});
  CHECK(loader.batches_per_epoch() == 3);
  std::vector<Labels> batches;
  for (const Batch& batch : loader.epoch(5)) {
    CHECK(batch.epoch == 5);
    CHECK(batch.index == static_cast<std::int64_t>(batches.size()));
    CHECK(batch["image"].shape() == Shape{batch["label"].numel(), 1, 2, 3});
    batches.push_back(labels_of(batch));
  }
  CHECK(batches == std::vector<Labels>{{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9}});
  CHECK(loader.next().epoch == 6);  // the next epoch follows
}

TEST_CASE("loader: images are normalised per channel and stay with their labels") {
  const ImageDataset data = numbered(200);
  DataLoader loader(data, {.batch_size = 7, .seed = 3});
  for (const Batch& batch : loader.epoch(0))
    for (std::size_t i = 0; i < batch["image"].view().size(); ++i) {
      const std::size_t channel = i % 3;
      const double expected =
          (labels_of(batch)[i / 6] / 255. - data.normalisation.mean[channel]) / data.normalisation.deviation[channel];
      CHECK(batch["image"].view()[i] == static_cast<Real>(expected));
    }
}

TEST_CASE("loader: images of PixelCodes are their bytes as signed codes, placed as normalised ones are") {
  const auto data = std::make_shared<ImageDataset>(numbered(200));
  const PixelCodes codes(data);
  const LoaderOptions plain{.batch_size = 7, .seed = 3};
  DataLoader loader(codes, plain);
  for (const Batch& batch : loader.epoch(0)) {
    const Coded* const coded = batch["image"].coded();
    REQUIRE(coded != nullptr);
    CHECK(coded->is_signed());
    CHECK(coded->bits() == 8);
    for (std::int64_t i = 0; i < batch["image"].numel(); ++i) {
      CHECK(coded->signed_codes()[i] == labels_of(batch)[static_cast<std::size_t>(i / 6)] - 128);
      CHECK(batch["image"][i] == static_cast<Real>(coded->signed_codes()[i]) / 64);
    }
  }
  // What a byte of 128 becomes is 0, as the mean colour is: so that where a normalised image of mean 128 has 0, so have
  // codes.
  auto grey = std::make_shared<ImageDataset>(numbered(200));
  grey->normalisation = {std::vector<double>(3, 128 / 255.), std::vector<double>(3, 64 / 255.)};
  LoaderOptions changed = plain;
  changed.augmentation = {.flip = true, .cutout = 1};
  DataLoader normalised(*grey, changed);
  const PixelCodes grey_codes(grey);
  DataLoader coded(grey_codes, changed);
  for (int i = 0; i < 40; ++i) {
    const Tensor expected = normalised.next()["image"], x = coded.next()["image"];
    for (std::int64_t k = 0; k < x.numel(); ++k) REQUIRE(std::abs(x[k] - expected[k]) < 1e-14);
  }
}

TEST_CASE("pixel codes: numbers become the nearest codes there are") {
  const Tensor y = pixel_codes(Tensor({6}, {0, Real(0.0079), Real(-0.03), 5, -5, Real(1.5)}));
  CHECK(std::ranges::equal(y.view(), std::vector<Real>{0, Real(1) / 64, Real(-2) / 64, Real(127) / 64, -2, Real(1.5)}));
  CHECK_THROWS_AS(pixel_codes(Tensor({1}, static_cast<Real>(std::nan("")))), Error);
  CHECK_THROWS_AS(PixelCodes(nullptr), Error);
}

TEST_CASE("loader: a shuffled epoch holds every image once, in an order that seed and epoch decide") {
  const ImageDataset data = numbered(100);
  DataLoader loader(data, {.batch_size = 8, .seed = 1}), same(data, {.batch_size = 9, .seed = 1}),
      other(data, {.batch_size = 8, .seed = 2});
  const Labels first = labels_of_epoch(loader, 0), second = labels_of_epoch(loader, 1);
  Labels sorted = first;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == data.labels);
  CHECK(first != data.labels);
  CHECK(first != second);
  CHECK(first == labels_of_epoch(same, 0));  // whatever the batch size
  CHECK(first == labels_of_epoch(loader, 0));
  CHECK(first != labels_of_epoch(other, 0));
}

TEST_CASE("loader: over many epochs every image is as likely at the start as at the end") {
  const ImageDataset data = numbered(8);
  DataLoader loader(data, {.batch_size = 8, .seed = 5});
  std::map<std::pair<int, int>, int> count;  // (place, image) -> epochs
  const int epochs = 4000;
  for (int e = 0; e < epochs; ++e) {
    const Labels order = labels_of(loader.next());
    for (int place = 0; place < 8; ++place) ++count[{place, order[static_cast<std::size_t>(place)]}];
  }
  double chi2 = 0;  // 49 degrees of freedom: above 85.4 once in a thousand
  for (int place = 0; place < 8; ++place)
    for (int image = 0; image < 8; ++image) chi2 += std::pow(count[{place, image}] - epochs / 8., 2) / (epochs / 8.);
  CHECK(chi2 < 85.4);
}

/// Points on a line: x (2) with a mask of bytes, y (1) = the sum; a kind of sample that has no image.
class Points : public Dataset {
 public:
  Description description() const override {
    return {"points",
            {{.name = "x", .shape = {2}},
             {.name = "mask", .shape = {2}, .type = ElementType::uint8},
             {.name = "y", .shape = {1}}}};
  }
  std::int64_t size() const override { return 10; }
  Sample sample(std::int64_t i) const override {
    Sample s;
    const auto v = static_cast<Real>(i);
    s.add("x", Tensor({2}, {v, -v / 2}));
    s.add("mask", Tensor::of<std::uint8_t>({2}, {1, static_cast<std::uint8_t>(i % 2)}));
    s.add("y", Tensor({1}, v / 2));
    return i == broken ? Sample() : s;
  }
  std::int64_t broken = -1;
};

TEST_CASE("loader: samples of a data set of one's own come in batches, each field with its type") {
  Points data;
  DataLoader loader(data, {.batch_size = 4, .seed = 2});
  std::multiset<Real> seen;
  for (const Batch& batch : loader.epoch(1)) {
    const std::int64_t n = batch["y"].size(0);
    CHECK(batch["x"].shape() == Shape{n, 2});
    CHECK(batch["mask"].type() == ElementType::uint8);
    CHECK(batch["mask"].shape() == Shape{n, 2});
    for (std::int64_t i = 0; i < n; ++i) {
      const Real v = batch["x"][2 * i];
      CHECK(batch["y"][i] == v / 2);
      CHECK(batch["mask"].view_of<std::uint8_t>()[static_cast<std::size_t>(2 * i + 1)] == static_cast<int>(v) % 2);
      seen.insert(v);
    }
  }
  CHECK(seen == std::multiset<Real>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9});
  CHECK_SAYS(complaint_of([&] { loader.next()["label"]; }), "given 'label', expected one of: x mask y");
  CHECK_SAYS(complaint_of([&] { DataLoader(data, {.augmentation = kCropAndFlip}); }), "there are no images");
  data.broken = 3;
  CHECK_SAYS(complaint_of([&] {
               for (const Batch& batch : loader.epoch(2)) static_cast<void>(batch);
             }),
             "given 'x', expected one of:");
}

TEST_CASE(
    "loader: images read from their files when asked for are those in memory, in the same order and augmented alike") {
  const TempFolder folder;
  std::filesystem::create_directory(folder / "cifar10");
  for (int i = 1; i <= 5; ++i)
    write_cifar10(folder / cat("cifar10/data_batch_", i, ".bin"),
                  drawn_shapes(7 + i, 1, static_cast<std::uint64_t>(i)));
  write_cifar10(folder / "cifar10/test_batch.bin", drawn_shapes(3, 1));
  const ImageDataset whole = load_cifar10(folder.path(), Verify::layout).train;
  const auto held = std::make_shared<Cifar10Files>(folder.path(), Cifar10Files::Part::train);
  const Cifar10Files& files = *held;
  REQUIRE(files.size() == whole.size());
  const LoaderOptions options{.batch_size = 6, .seed = 4, .augmentation = kAll};
  CHECK(serve(files, options, 20) == serve(whole, options, 20));
  const std::vector<std::int64_t> some{41, 3, 12};
  const Subset part(held, some);
  CHECK(serve(part, options, 3) == serve(subset(whole, some), options, 3));
  CHECK_THROWS_AS(Subset(held, {files.size()}), Error);
  CHECK_THROWS_AS(files.sample(-1), Error);
}

TEST_CASE("loader: drop_last leaves out the smaller batch") {
  const ImageDataset data = numbered(10);
  DataLoader loader(data, {.batch_size = 4, .drop_last = true});
  CHECK(loader.batches_per_epoch() == 2);
  CHECK(labels_of_epoch(loader, 0).size() == 8);
  DataLoader even(data, {.batch_size = 5});
  CHECK(even.batches_per_epoch() == 2);
}

TEST_CASE("loader: prefetching and the number of threads change nothing, with and without augmentation") {
  const ImageDataset data = drawn_shapes(50, 1);
  for (const Augmentation& augmentation : {Augmentation{}, kAll}) {
    const auto with = [&](int prefetch, int threads) {
      set_num_threads(threads);
      return serve(data, {.batch_size = 16, .seed = 9, .prefetch = prefetch, .augmentation = augmentation}, 11);
    };
    const auto reference = with(0, 1);
    for (int prefetch : {0, 1, 2, 7})
      for (int threads : {1, 2}) CHECK(with(prefetch, threads) == reference);
  }
}

TEST_CASE("loader: augmentation goes with the image and the epoch, whatever the batch size and the order") {
  const ImageDataset data = numbered(60, {32, 32, 3});
  const auto images_of_epoch = [&](const LoaderOptions& options, std::int64_t epoch) {
    DataLoader loader(data, options);
    std::map<int, std::vector<Real>> images;
    for (const Batch& batch : loader.epoch(epoch))
      for (std::size_t i = 0; i < labels_of(batch).size(); ++i) {
        const auto image = batch["image"].view().subspan(i * 3072, 3072);
        images[labels_of(batch)[i]].assign(image.begin(), image.end());
      }
    return images;
  };
  const auto reference = images_of_epoch({.batch_size = 16, .seed = 2, .augmentation = kAll}, 3);
  CHECK(reference.size() == 60);
  CHECK(reference == images_of_epoch({.batch_size = 7, .seed = 2, .augmentation = kAll}, 3));
  CHECK(reference == images_of_epoch({.shuffle = false, .seed = 2, .augmentation = kAll}, 3));
  CHECK(reference != images_of_epoch({.batch_size = 16, .seed = 2, .augmentation = kAll}, 4));
  CHECK(reference != images_of_epoch({.batch_size = 16, .seed = 3, .augmentation = kAll}, 3));
}

TEST_CASE("loader: starting at (epoch, batch) gives what an unbroken run sees from there on") {
  const ImageDataset data = drawn_shapes(50, 1);
  for (int prefetch : {0, 2}) {
    const LoaderOptions options{.batch_size = 16, .seed = 4, .prefetch = prefetch, .augmentation = kAll};
    const auto whole = serve(data, options, 12);  // 3 epochs of 4
    for (int start = 0; start < 12; ++start) {
      const auto rest = serve(data, options, 12 - start, start / 4, start % 4);
      CHECK(rest == std::vector<Served>(whole.begin() + start, whole.end()));
    }
    CHECK(serve(data, options, 1, 1, 0) != serve(data, options, 1, 2, 0));  // the comparison can fail
  }
}

TEST_CASE("loader: its state is the batch that comes next, and another loader goes on with that one") {
  const ImageDataset data = drawn_shapes(50, 1);
  const LoaderOptions options{.batch_size = 16, .seed = 4, .augmentation = kAll};
  DataLoader whole(data, options);
  for (int served = 0; served < 10; ++served) {
    DataLoader other(data, options);
    const State state = whole.state();
    CHECK(state.count("epoch") == static_cast<std::uint64_t>(served / 4));
    CHECK(state.count("batch") == static_cast<std::uint64_t>(served % 4));
    other.load_state(state);
    CHECK(copy_of(other.next()) == copy_of(whole.next()));
  }
  State wrong = whole.state();
  wrong.counts["batch"] = {4};
  CHECK_SAYS(complaint_of([&] { whole.load_state(wrong); }), "given batch 4 of epoch 2");
  wrong.counts.erase("epoch");
  CHECK_SAYS(complaint_of([&] { whole.load_state(wrong); }), "'epoch' is missing");
}

TEST_CASE("loader: seeking while batches are being prepared always lands where it should") {
  const ImageDataset data = numbered(40);
  DataLoader in_order(data, {.batch_size = 4, .shuffle = false, .prefetch = 3});
  std::uint32_t place = 1;
  for (int i = 0; i < 2000; ++i) {
    place = place * 1664525u + 1013904223u;
    const std::int64_t epoch = place >> 30, index = (place >> 16) % 10;
    in_order.seek(epoch, index);
    for (std::uint32_t k = 0; k < (place >> 8) % 3; ++k) {
      const Batch& batch = in_order.next();
      CHECK(batch.epoch * 10 + batch.index == epoch * 10 + index + k);
      CHECK(labels_of(batch)[0] == 4 * batch.index);
    }
  }
}

TEST_CASE("loader: an epoch can be entered late, left early, or have nothing left") {
  const ImageDataset data = numbered(20);
  DataLoader loader(data, {.batch_size = 4, .shuffle = false});
  std::vector<std::int64_t> seen;
  for (const Batch& batch : loader.epoch(2, 3)) seen.push_back(batch.index);
  CHECK(seen == std::vector<std::int64_t>{3, 4});
  for (const Batch& batch : loader.epoch(2))
    if (batch.index == 1) break;
  CHECK(labels_of_epoch(loader, 3) == data.labels);
  for (const Batch& batch : loader.epoch(2, 5)) FAIL("unexpected batch ", batch.index);
  CHECK_THROWS_AS(loader.epoch(2, 6), Error);
  CHECK_THROWS_AS(loader.epoch(-1), Error);
  CHECK_THROWS_AS(loader.seek(0, 5), Error);
  CHECK_THROWS_AS(loader.seek(0, -1), Error);
}

TEST_CASE("loader: what goes wrong in the prefetch thread reaches the consumer at its batch") {
  for (int prefetch : {0, 2}) {
    ImageDataset data = numbered(10);
    DataLoader loader(data, {.batch_size = 4, .shuffle = false, .prefetch = prefetch});
    data.pixels.resize(5 * 6);  // behind the loader's back
    CHECK(labels_of(loader.next()) == Labels{0, 1, 2, 3});
    CHECK_SAYS(complaint_of([&] { loader.next(); }), "numbered: given image 5");
    loader.seek(0, 0);
    CHECK(labels_of(loader.next()) == Labels{0, 1, 2, 3});
  }
}

TEST_CASE("loader: once warm, batches of every size reuse the same buffers and ask for no memory") {
  const ImageDataset data = drawn_digits(300, 1);
  for (int prefetch : {0, 2}) {
    DataLoader loader(data, {.batch_size = 128, .prefetch = prefetch});
    for (int i = 0; i < 4; ++i) loader.next();
    const auto before = pool_stats();
    std::map<const Real*, int> buffers;
    for (int i = 0; i < 60; ++i) ++buffers[loader.next()["image"].data()];
    CHECK(pool_stats().misses == before.misses);
    CHECK(buffers.size() == static_cast<std::size_t>(prefetch) + 1);
  }
}

TEST_CASE("loader: a batch that somebody keeps is never written to again") {
  const ImageDataset data = numbered(30);
  for (int prefetch : {0, 2}) {
    DataLoader loader(data, {.batch_size = 4, .shuffle = false, .prefetch = prefetch});
    const Tensor kept = loader.next()["image"];
    const std::vector<Real> before(kept.view().begin(), kept.view().end());
    for (int i = 0; i < 40; ++i) loader.next();
    CHECK(before == std::vector<Real>(kept.view().begin(), kept.view().end()));
  }
}

TEST_CASE("loader: batches are prepared while the consumer computes") {
  const ImageDataset data = drawn_digits(64, 1);
  DataLoader loader(data, {.batch_size = 16, .prefetch = 2});
  loader.next();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto start = std::chrono::steady_clock::now();
  loader.next();
  loader.next();
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::milliseconds(50));
}

TEST_CASE("loader: a loader that was never used, or is dropped in mid-epoch, ends cleanly") {
  const ImageDataset data = numbered(30);
  { DataLoader unused(data, {}); }
  for (int i = 0; i < 50; ++i) {
    DataLoader loader(data, {.batch_size = 2, .prefetch = 3});
    if (i % 2) loader.next();
  }
}

TEST_CASE("loader: in a process forked after its first batch it says so, others work there" *
          doctest::test_suite("native")) {
  const ImageDataset data = numbered(10);
  auto used = std::make_unique<DataLoader>(data, LoaderOptions{.batch_size = 4});
  DataLoader unused(data, {.batch_size = 4}), alone(data, {.batch_size = 4, .prefetch = 0});
  used->next();
  alone.next();
  const auto says_so = [](auto f) {
    try {
      f();
    } catch (const Error& e) {
      return std::string(e.what()).find("forked after the first batch") != std::string::npos;
    }
    return false;
  };
  const int code = testing::in_child([&] {
    if (!says_so([&] { used->next(); }) || !says_so([&] { used->seek(1, 0); })) return 1;
    used.reset();
    return unused.next()["image"].numel() == alone.next()["image"].numel() ? 0 : 2;
  });
  CHECK(code == 0);
  CHECK(used->next().index == 1);
}

TEST_CASE("loader: options and data that make no sense are refused") {
  static_assert(!std::is_constructible_v<DataLoader, ImageDataset, LoaderOptions>);  // dangling from the start
  static_assert(std::is_constructible_v<DataLoader, const ImageDataset&, LoaderOptions>);
  const ImageDataset data = numbered(10);
  CHECK_THROWS_AS(DataLoader(data, {.batch_size = 0}), Error);
  CHECK_THROWS_AS(DataLoader(data, {.batch_size = -1}), Error);
  CHECK_THROWS_AS(DataLoader(data, {.batch_size = 11, .drop_last = true}), Error);
  CHECK_NOTHROW(DataLoader(data, {.batch_size = 11}));
  CHECK_THROWS_AS(DataLoader(data, {.prefetch = -1}), Error);
  CHECK_THROWS_AS(DataLoader(data, {.prefetch = 65}), Error);
  CHECK_THROWS_AS(DataLoader(data, {.augmentation = {.pad = 4}}), Error);
  ImageDataset bad = data;
  bad.classes = 5;
  CHECK_THROWS_AS(DataLoader(bad, {}), Error);
}
