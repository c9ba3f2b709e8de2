#include "experiments/studies/fast_network.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "datasets/loader.h"
#include "nn/layers.h"

namespace coarsegrad::experiments {
namespace {

constexpr std::int64_t kPatch = 2 * 2 * 3;  // values of a patch

// x mirrored left to right, where asked for, and moved so many pixels down and right; zeros come in.
Tensor seen(const Tensor& x, bool mirrored, std::int64_t down, std::int64_t right) {
  const std::int64_t height = x.size(1), width = x.size(2), channels = x.size(3);
  Tensor y(x.shape());
  const Real* const from = x.data();
  Real* const to = y.mutable_data();
  parallel_for(x.size(0) * height, [&](std::int64_t row) {
    const std::int64_t source = row % height - down;
    if (source < 0 || source >= height) return;
    const Real* const in = from + (row - down) * width * channels;
    for (std::int64_t i = std::max(right, std::int64_t{0}); i < std::min(width, width + right); ++i) {
      const std::int64_t pixel = mirrored ? width - 1 - (i - right) : i - right;
      std::copy_n(in + pixel * channels, channels, to + (row * width + i) * channels);
    }
  });
  return y;
}

// One filter for each input channel passes it on; the others stay random.
void begin_as_identity(nn::Conv2d& conv) {
  const std::int64_t in = conv.options.in, taps = 9;
  Real* const w = conv.weight.value.mutable_data();
  for (std::int64_t o = 0; o < std::min(in, conv.options.out); ++o) {
    std::fill_n(w + o * taps * in, taps * in, Real(0));
    w[(o * taps + taps / 2) * in + o] = 1;
  }
}

class FastNetwork : public nn::Module {
 public:
  FastNetwork(const nn::MakeActivation& activation, const Rng& rng, const FastNetworkOptions& options)
      : scale_(static_cast<Real>(options.output_scale)), layers_(register_module<nn::Sequential>("layers")) {
    layers_.add<nn::Conv2d>("whiten", nn::ConvOptions{.in = 3, .out = 2 * kPatch, .kernel = 2, .bias = false},
                            rng.split("whiten"));
    layers_.append("act", activation("act"));
    const std::array<std::int64_t, 4> channels{2 * kPatch, options.first, options.later, options.later};
    for (int block = 1; block <= 3; ++block)
      add_block(std::to_string(block), channels[static_cast<std::size_t>(block) - 1],
                channels[static_cast<std::size_t>(block)], activation, rng, options);
    layers_.add<nn::MaxPool2d>("pool", PoolOptions{.kernel = 3});
    layers_.add<nn::Flatten>("flatten");
    layers_.add<nn::Linear>("fc", options.later, options.classes, rng.split("fc"), false);
  }

  Var forward(const Var& x) override {
    if (training()) return logits(x);
    Var sum;
    for (const bool mirrored : {false, true})
      for (const std::int64_t moved : {0, -1, 1}) {
        const Var y = logits(seen(x.value(), mirrored, moved, moved));
        sum = sum.defined() ? sum + y : y;
      }
    return sum * Var(Real(1) / 6);
  }

 private:
  Var logits(const Var& x) { return layers_(x) * Var(scale_); }

  void add_block(const std::string& number, std::int64_t in, std::int64_t out, const nn::MakeActivation& activation,
                 const Rng& rng, const FastNetworkOptions& options) {
    for (const char* half : {"a", "b"}) {
      const std::string name = number + half;
      const bool first = *half == 'a';
      begin_as_identity(layers_.add<nn::Conv2d>(
          "conv" + name, nn::ConvOptions{.in = first ? in : out, .out = out, .padding = 1, .bias = false},
          rng.split("conv" + name)));
      if (first) layers_.add<nn::MaxPool2d>("pool" + name);
      auto& norm = layers_.add<nn::BatchNorm>("norm" + name, out, nn::BatchNormOptions{.momentum = 0.4});
      norm.scale->rate_factor = 0;
      norm.shift->rate_factor = options.shift_rate;
      layers_.append("act" + name, activation("act" + name));
    }
  }

  Real scale_;
  nn::Sequential& layers_;
};

using Matrix = std::array<std::array<double, kPatch>, kPatch>;

// The covariance of the patches of some images.
Matrix covariance(const Tensor& images) {
  const std::int64_t height = images.size(1), width = images.size(2), row = width * 3;
  Matrix sums{};
  std::array<double, kPatch> mean{};
  double count = 0;
  for (std::int64_t n = 0; n < images.size(0); ++n)
    for (std::int64_t y = 0; y + 1 < height; ++y)
      for (std::int64_t x = 0; x + 1 < width; ++x, ++count) {
        std::array<double, kPatch> patch;
        for (std::size_t i = 0; i < kPatch; ++i) {
          const auto tap = static_cast<std::int64_t>(i);
          patch[i] = images[(n * height + y + tap / 6) * row + (x + tap / 3 % 2) * 3 + tap % 3];
          mean[i] += patch[i];
        }
        for (std::size_t i = 0; i < kPatch; ++i)
          for (std::size_t j = 0; j < kPatch; ++j) sums[i][j] += patch[i] * patch[j];
      }
  for (std::size_t i = 0; i < kPatch; ++i)
    for (std::size_t j = 0; j < kPatch; ++j) sums[i][j] = sums[i][j] / count - mean[i] * mean[j] / count / count;
  return sums;
}

// Turns a symmetric matrix into a diagonal one by Jacobi's rotations; the rows of the result are the directions.
Matrix directions_of(Matrix& a) {
  Matrix v{};
  for (std::size_t i = 0; i < kPatch; ++i) v[i][i] = 1;
  for (int sweep = 0; sweep < 30; ++sweep)
    for (std::size_t p = 0; p < kPatch; ++p)
      for (std::size_t q = p + 1; q < kPatch; ++q) {
        if (std::abs(a[p][q]) < 1e-14) continue;
        const double theta = 0.5 * std::atan2(2 * a[p][q], a[q][q] - a[p][p]), c = std::cos(theta), s = std::sin(theta);
        for (std::size_t k = 0; k < kPatch; ++k) {
          const double x = a[k][p], y = a[k][q];
          a[k][p] = c * x - s * y;
          a[k][q] = s * x + c * y;
        }
        for (std::size_t k = 0; k < kPatch; ++k) {
          const double x = a[p][k], y = a[q][k], vx = v[p][k], vy = v[q][k];
          a[p][k] = c * x - s * y;
          a[q][k] = s * x + c * y;
          v[p][k] = c * vx - s * vy;
          v[q][k] = s * vx + c * vy;
        }
      }
  return v;
}

}  // namespace

std::unique_ptr<nn::Module> fast_network(const nn::MakeActivation& activation, const Rng& rng,
                                         const FastNetworkOptions& options) {
  check(options.later >= options.first && options.first >= 1, "fast network: given ", options.first, " and ",
        options.later, " channels, expected at least 1, and not fewer later");
  return std::make_unique<FastNetwork>(activation, rng, options);
}

void whiten_first_layer(nn::Module& net, const datasets::Dataset& data, std::int64_t images) {
  constexpr double kLeast = 5e-4;  // added to variances
  datasets::DataLoader loader(data, {.batch_size = std::min(images, data.size()), .shuffle = false, .prefetch = 0});
  Matrix variances = covariance(loader.next()["image"]);
  const Matrix directions = directions_of(variances);
  for (const auto& [name, parameter] : net.named_parameters()) {
    if (name != "layers.whiten.weight") continue;
    Real* w = parameter->value.mutable_data();
    for (std::size_t i = 0; i < 2 * kPatch; ++i)
      for (std::size_t j = 0; j < kPatch; ++j) {
        const std::size_t k = i % kPatch;
        const double sign = i < kPatch ? 1 : -1;
        w[i * kPatch + j] = static_cast<Real>(sign * directions[k][j] / std::sqrt(variances[k][k] + kLeast));
      }
    parameter->rate_factor = 0;
    parameter->decay = false;
  }
}

}  // namespace coarsegrad::experiments
