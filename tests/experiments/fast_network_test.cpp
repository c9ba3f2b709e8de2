#include "experiments/studies/fast_network.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

std::unique_ptr<nn::Module> small_network() {
  return fast_network(nn::relu_activation(), Rng(3), {.classes = 10, .first = 16, .later = 32});
}

Tensor images_of(const datasets::Dataset& data, std::int64_t count) {
  datasets::DataLoader loader(data, {.batch_size = count, .shuffle = false, .prefetch = 0});
  return loader.next()["image"];
}

Tensor mirrored(const Tensor& x) {
  Tensor y = Tensor::uninitialized(x.shape());
  const std::int64_t width = x.size(2), channels = x.size(3);
  for (std::int64_t row = 0; row < x.size(0) * x.size(1); ++row)
    for (std::int64_t i = 0; i < width; ++i)
      std::copy_n(x.data() + (row * width + width - 1 - i) * channels, channels,
                  y.mutable_data() + (row * width + i) * channels);
  return y;
}

Parameter& parameter(nn::Module& net, const std::string& name) {
  for (const auto& [key, p] : net.named_parameters())
    if (key == name) return *p;
  FAIL("no parameter ", name);
  std::abort();
}

}  // namespace

TEST_CASE("fast network: the first layer makes patches white, and is not trained") {
  const auto data = datasets::drawn_shapes(300, 1);
  const auto net = small_network();
  whiten_first_layer(*net, data, 300);
  const Parameter& w = parameter(*net, "layers.whiten.weight");
  CHECK(w.rate_factor == 0);
  CHECK(!w.decay);
  const Tensor y = conv2d(images_of(data, 300), w.value).value();
  const std::int64_t channels = 24, pixels = y.numel() / channels;
  REQUIRE(y.size(3) == channels);
  for (std::int64_t a = 0; a < 12; ++a)
    for (std::int64_t b = 0; b < 12; ++b) {
      double sum = 0, mean_a = 0, mean_b = 0;
      for (std::int64_t p = 0; p < pixels; ++p) {
        const double u = y[p * channels + a], v = y[p * channels + b];
        sum += u * v, mean_a += u, mean_b += v;
      }
      const auto n = static_cast<double>(pixels);
      const double covariance = sum / n - mean_a * mean_b / n / n;
      INFO(a, " and ", b);
      if (a == b) {  // small variances are raised by what is added to them
        CHECK(covariance > 0.2);
        CHECK(covariance < 1.001);
      } else {
        CHECK(std::abs(covariance) < 1e-3);
      }
    }
  for (std::int64_t i = 0; i < 12 * 12; ++i) CHECK(w.value[i] == -w.value[12 * 12 + i]);
}

TEST_CASE("fast network: convolutions begin as the identity on the channels that come in") {
  const auto net = small_network();
  Tensor x({1, 4, 4, 16});
  Rng(1).normal(x.mutable_data(), static_cast<std::size_t>(x.numel()));
  const Tensor y = conv2d(x, parameter(*net, "layers.conv2a.weight").value, {}, {.padding = 1}).value();
  for (std::int64_t pixel = 0; pixel < 16; ++pixel)
    for (std::int64_t c = 0; c < 16; ++c)
      CHECK(std::abs(y[pixel * 32 + c] - x[pixel * 16 + c]) <
            1e-4);  // Winograd's algorithm: 128 epsilons of the largest
}

TEST_CASE("fast network: an image and its mirror image are judged alike, and trained on as they are") {
  const auto net = small_network();
  const Tensor x = images_of(datasets::drawn_shapes(8, 1), 8);
  const auto logits = [&](const Tensor& images) { return (*net)(images).value(); };
  const auto distance = [](const Tensor& a, const Tensor& b) {
    double most = 0;
    for (std::int64_t i = 0; i < a.numel(); ++i) most = std::max<double>(most, std::abs(a[i] - b[i]));
    return most;
  };
  CHECK(distance(logits(x), logits(mirrored(x))) > 1e-3);
  net->eval();
  CHECK(distance(logits(x), logits(mirrored(x))) < 1e-5);
}
