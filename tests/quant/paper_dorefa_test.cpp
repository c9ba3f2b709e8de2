// The part of the acceptance list of Zhou, Wu, Ni, Zhou, Wen, Zou, "DoReFa-Net" (arXiv 1606.06160) that is about a
// training as a whole: gradients with given noise, Algorithm 1, first and last layers, comparisons with thresholds in
// place of activations, and what it costs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "core/base/check.h"
#include "core/compute/stochastic.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "nn/graph.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/dorefa.h"
#include "quant/assembly.h"
#include "quant/summary.h"
#include "quant/weights/dorefa.h"

using namespace coarsegrad;
using quant::Bounding;
using Values = std::vector<double>;

namespace {

constexpr bool kDouble = sizeof(Real) == sizeof(double);
constexpr double kGolden = kDouble ? 1e-9 : 1e-6;

void check_close(const Tensor& got, const Values& expected, double tolerance = kGolden) {
  REQUIRE(got.numel() == static_cast<std::int64_t>(expected.size()));
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    INFO("element ", i, " given ", got[i]);
    CHECK(std::abs(static_cast<double>(got[i]) - expected[static_cast<std::size_t>(i)]) <= tolerance);
  }
}

Tensor tensor(const Shape& shape, const Values& values) {
  return Tensor(shape, std::vector<Real>(values.begin(), values.end()));
}

// The 16 random bits that stand for the noise sigma / n: sigma = 1/2 rounds up whatever is not a level, -1/2 nothing.
std::uint16_t draw_of(double sigma) {
  return static_cast<std::uint16_t>(std::min(std::lround((0.5 - sigma) * 65536), 65535L));
}

// All of them, from sigma near 1/2 to sigma near -1/2.
const std::vector<std::uint16_t>& all_draws() {
  static const std::vector<std::uint16_t> draws = [] {
    std::vector<std::uint16_t> all(65536);
    std::iota(all.begin(), all.end(), std::uint16_t{0});
    return all;
  }();
  return draws;
}

// What an entry g of a sample with the maximum m becomes under each of all_draws().
std::vector<Real> under_all_draws(double g, double m, int bits) {
  std::vector<Real> x(all_draws().size(), static_cast<Real>(g));
  const Grid<Real> grid = grid_over(Interval<Real>{static_cast<Real>(-m), static_cast<Real>(m)}, (1 << bits) - 1);
  real_kernels<Real>().stochastic.round(static_cast<std::int64_t>(x.size()), grid, all_draws().data(), x.data(),
                                        x.data());
  return x;
}

// The quantizer `dorefa`, range, grid and kernel, with sigma given for each entry.
class GivenNoise : public quant::GradientQuantizer {
 public:
  GivenNoise(int bits, const Values& sigma)
      : bits_(bits), shipped_(quant::gradient_quantizer("dorefa", {.bits = bits})) {
    for (const double s : sigma) draws_.push_back(draw_of(s));
  }
  std::string name() const override { return "given"; }
  int bits() const override { return bits_; }
  Tensor quantize(const Tensor& g, Rng) const override {
    const std::int64_t rows = g.size(0), cols = g.numel() / rows;
    REQUIRE(g.numel() == static_cast<std::int64_t>(draws_.size()));
    std::vector<Interval<Real>> ranges(static_cast<std::size_t>(rows));
    row_ranges(rows, cols, g.data(), RowRange::symmetric, ranges.data());
    Tensor q = Tensor::uninitialized(g.shape());
    for (std::int64_t row = 0; row < rows; ++row) {
      const Grid<Real> grid = grid_over(ranges[static_cast<std::size_t>(row)], (1 << bits_) - 1);
      real_kernels<Real>().stochastic.round(cols, grid, draws_.data() + row * cols, g.data() + row * cols,
                                            q.mutable_data() + row * cols);
    }
    return q;
  }
  std::vector<double> variance(const Tensor& g) const override { return shipped_->variance(g); }
  double variance_bound(const Tensor& g) const override { return shipped_->variance_bound(g); }

 private:
  const int bits_;
  const std::unique_ptr<quant::GradientQuantizer> shipped_;
  std::vector<std::uint16_t> draws_;
};

Tensor golden_gradient() { return tensor({2, 4}, {.3, -1.2, .05, .9, -.02, .005, .04, 0}); }

// The layers of bnn_convnet, numbered from 1: convolutions, then dense layers.
constexpr int kConvolutions = 6, kLayers = 9;
std::string layer(int number) {
  return number <= kConvolutions ? cat("conv", number) : cat("fc", number - kConvolutions);
}

quant::Assembly assembled(const quant::Method& method) {
  const auto network = [](const nn::MakeActivation& activation) {
    return nn::bnn_convnet(activation, Rng(1), {.classes = 10, .width = 8});
  };
  const auto sgd = [](std::vector<Parameter*> parameters) {
    return std::make_unique<optim::Sgd>(std::move(parameters), optim::SgdOptions{.lr = 0.1});
  };
  quant::Assembly a = quant::assemble({.method = method, .network = network, .input = {32, 32, 3}, .optimizer = sgd});
  if (a.weights) a.weights->deploy();
  return a;
}

quant::Method dorefa(int w, int a, int g) {
  quant::Method method = quant::method("dorefa");
  method.weights = {"dorefa", quant::DorefaWeightOptions{.bits = w}};
  method.activations = {"dorefa", quant::DorefaOptions{.bits = a}};
  method.gradients = {"dorefa", quant::DorefaGradientOptions{.bits = g}};
  return method;
}

// The numbers of the layers whose weights, outputs and gradients are quantized.
struct Quantized {
  std::set<int> weights, outputs, gradients;
  bool operator==(const Quantized&) const = default;
};

Quantized quantized(const quant::Method& method) {
  const quant::Assembly a = assembled(method);
  Quantized found;
  const nn::Graph graph = nn::trace_image(*a.net, {32, 32, 3});
  for (int i = 1; i <= kLayers; ++i) {
    const std::string name = layer(i);
    if (a.weights)
      for (const auto& entry : a.weights->weights())
        if (entry.name == name + ".weight") found.weights.insert(i);
    for (const nn::Graph::Node& node : graph.nodes)
      if (node.op == "quantize_activation" && node.module == cat("act", i)) found.outputs.insert(i);
    if (a.gradients && std::ranges::count(a.gradients->layers(), name) > 0) found.gradients.insert(i);
  }
  if (a.weights) CHECK(found.weights.size() == a.weights->weights().size());
  if (a.gradients) CHECK(found.gradients.size() == a.gradients->layers().size());
  return found;
}

std::set<int> from_to(int first, int last) {
  std::set<int> numbers;
  for (int i = first; i <= last; ++i) numbers.insert(i);
  return numbers;
}

// (j - 1/2) / n for j = 1, ..., n: where the level of h(x) becomes j.
Values thresholds(int bits) {
  const int n = (1 << bits) - 1;
  Values all;
  for (int j = 1; j <= n; ++j) all.push_back((j - 0.5) / n);
  return all;
}

// Those of x with h(x) = (tanh(x) + 1) / 2.
Values thresholds_before_tanh(int bits) {
  Values all = thresholds(bits);
  for (double& t : all) t = std::atanh(2 * t - 1);
  return all;
}

int passed(double x, const Values& thresholds) {
  return static_cast<int>(std::ranges::count_if(thresholds, [x](double t) { return x > t; }));
}

bool near_one(double x, const Values& thresholds, double distance) {
  return std::ranges::any_of(thresholds, [=](double t) { return std::abs(x - t) < distance; });
}

std::vector<int> levels(const Tensor& values, int bits) {
  std::vector<int> all;
  for (const Real v : values.view())
    all.push_back(static_cast<int>(std::lround(static_cast<double>(v) * ((1 << bits) - 1))));
  return all;
}

std::vector<int> levels_of(const Values& x, int bits, Bounding h) {
  return levels(quant::DorefaActivation(bits, h)(tensor({static_cast<std::int64_t>(x.size())}, x)).value(), bits);
}

}  // namespace

TEST_SUITE("paper-dorefa") {
  TEST_CASE("paper-dorefa 7.13: gradients quantized with given noise") {
    const Values sigma{.2, -.3, .4, -.45, -.4, .1, .3, .25};
    const Values expected[] = {
        {1.2, -1.2, 1.2, -1.2, -.04, .04, .04, .04},
        {.4, -1.2, .4, .4, -.04, .0133333333333, .04, .0133333333333},
        {.514285714286, -1.2, .171428571429, .857142857143, -.0285714285714, .00571428571429, .04, .00571428571429},
        {.4, -1.2, .08, .88, -.024, .008, .04, .00266666666667}};
    for (int bits = 1; bits <= 4; ++bits)
      check_close(GivenNoise(bits, sigma).quantize(golden_gradient(), Rng(1)), expected[bits - 1]);
    check_close(
        quant::gradient_quantizer("dorefa", {.bits = 2, .stochastic = false})->quantize(golden_gradient(), Rng(1)),
        {.4, -1.2, .4, 1.2, -.0133333333333, .0133333333333, .04, .0133333333333});
  }

  TEST_CASE("paper-dorefa 7.13: probabilities of the upper neighbour, and the variances that follow") {
    const double entries[] = {.3, -1.2, .05, .9}, lower[] = {-.4, -1.2, -.4, .4}, up[] = {.875, 0, .5625, .625};
    const std::vector<double> variances = quant::gradient_quantizer("dorefa", {.bits = 2})->variance(golden_gradient());
    const double expected[] = {.07, 0, .1575, .15};
    for (std::size_t i = 0; i < 4; ++i) {
      INFO("entry ", i);
      const std::vector<Real> q = under_all_draws(entries[i], 1.2, 2);
      const auto above = std::ranges::count_if(q, [&](Real v) { return static_cast<double>(v) > lower[i] + 0.01; });
      CHECK(std::abs(static_cast<double>(above) / 65536 - up[i]) <= 1.0 / 65536);
      CHECK(std::abs(variances[i] - expected[i]) < kGolden);
    }
  }

  TEST_CASE("paper-dorefa 7.13: the largest entry of a sample stays whatever the noise, and none leaves the range") {
    for (int bits = 1; bits <= 4; ++bits)
      for (const double m : {1.2, .04, 3e-5, 7.0}) {
        INFO(bits, " bits, largest ", m);
        double moved = 0, largest = 0;
        for (const double g : {m, -m})
          for (const Real q : under_all_draws(g, m, bits))
            moved = std::max(moved, std::abs(static_cast<double>(q) - g));
        for (int i = -10; i <= 10; ++i)
          for (const Real q : under_all_draws(0.1 * i * m, m, bits))
            largest = std::max(largest, std::abs(static_cast<double>(q)));
        CHECK(moved <= 5e-7 * m);
        CHECK(largest <= (1 + 5e-7) * m);
      }
    const Tensor single = tensor({5, 1}, {.3, -2, 1e-4, 0, 70});
    for (int bits = 1; bits <= 4; ++bits) {
      const Tensor q = quant::gradient_quantizer("dorefa", {.bits = bits})->quantize(single, Rng(4));
      for (std::int64_t i = 0; i < 5; ++i) CHECK(std::abs(q[i] - single[i]) <= Real(5e-7) * std::abs(single[i]));
    }
  }

  TEST_CASE("paper-dorefa 7.13: a gradient of images has one maximum for each, and the forward pass is left alone") {
    Tensor g = nn::uniform({3, 4, 5, 2}, 1, Rng(5));
    const std::int64_t cols = 40;
    for (std::int64_t i = 0; i < g.numel(); ++i)
      g.mutable_data()[i] *= std::pow(Real(10), static_cast<Real>(i / cols - 1));
    constexpr int kBits = 3, kSteps = (1 << kBits) - 1;
    const auto quantizer = quant::gradient_quantizer("dorefa", {.bits = kBits});
    const Tensor q = quantizer->quantize(g, Rng(1)), rows = quantizer->quantize(g.reshaped({3, cols}), Rng(1));
    CHECK(std::ranges::equal(q.view(), rows.view()));
    for (std::int64_t sample = 0; sample < 3; ++sample) {
      const auto magnitude = [](Real v) { return std::abs(v); };
      const double m = std::abs(static_cast<double>(
          *std::ranges::max_element(g.view().subspan(static_cast<std::size_t>(sample * cols), cols), {}, magnitude)));
      for (std::int64_t i = sample * cols; i < (sample + 1) * cols; ++i) {
        const double j = (static_cast<double>(q[i]) / m + 1) * kSteps / 2;
        CHECK(std::abs(j - std::round(j)) < 1e-4);
      }
    }
    const auto net = nn::make_network("preresnet20", quant::dorefa_activation(2), Rng(1), {.width = 4});
    const Var images = nn::uniform({2, 32, 32, 3}, 1, Rng(2));
    net->train(false);
    const Tensor without = (*net)(images).value();
    const quant::GradientRule rule(*net, quant::gradient_rules().make({"dorefa"}), Rng(3));
    const Tensor with = (*net)(images).value();
    CHECK(std::ranges::equal(without.view(), with.view()));
  }

  TEST_CASE("paper-dorefa 7.14: Algorithm 1 on one dense layer: h, then f_g, one draw for both products") {
    const double third = 1. / 3;
    for (const bool detached : {true, false})
      for (const bool last : {false, true}) {
        INFO("maximum detached: ", detached, ", last layer: ", last);
        nn::Sequential net;
        nn::Linear& fc = net.add<nn::Linear>("fc", 3, 2, Rng(1), false);
        auto& act = net.add<quant::DorefaActivation>("act", 2);
        if (last) act.quantize(false);
        fc.weight.value = tensor({2, 3}, {.9, -.35, .6, .12, -.5, .3});
        quant::WeightRule weights(net, Part{"dorefa", quant::DorefaWeightOptions{.bits = 2, .detach_max = detached}});
        quant::GradientRule gradients(net, {std::make_shared<GivenNoise>(2, Values{.3, -.1}), nullptr}, Rng(1));
        optim::Sgd sgd(net.parameters(), {.lr = 0.1});
        quant::QuantizedOptimizer optimizer(sgd, net, {&weights, &gradients}, {1, 1});
        optimizer.zero_grad();
        check_close(fc.weight.effective, {1, -third, 1, third, -third, third});
        const Var input = Var::leaf(tensor({1, 3}, {third, 2 * third, 1}));
        const Var z = fc(input), a = act(z);
        check_close(z.value(), {10. / 9, 2. / 9});
        check_close(a.value(), {1, last ? 2. / 9 : third});
        a.backward(tensor({1, 2}, {.7, -.2}));
        check_close(input.grad(), {0, .0444444444444, 0});                              // by Wq, not by W
        check_close(fc.weight.grad(), {.0222222222222, .0444444444444, .0666666666667,  //
                                       -.0666666666667, -.133333333333, -.2});
        optimizer.collect_gradients();
        check_close(fc.weight.grad(), {detached ? .015105986285 : -.015416147671, .055026859019, .066227360822,
                                       -.091743687589, -.146391190162, -.255518548889});
        const Tensor before = fc.weight.value;
        optimizer.step();
        CHECK(fc.weight.value[1] == doctest::Approx(before[1] - Real(0.1 * .055026859019)).epsilon(1e-6));  // float W
      }
  }

  TEST_CASE("paper-dorefa 7.14: pooling the largest behind the quantizer is pooling before it") {
    const Var x = nn::uniform({2, 8, 8, 3}, 1, Rng(6));
    for (int bits = 1; bits <= 8; ++bits) {
      quant::DorefaActivation act(bits);
      CHECK(std::ranges::equal(max_pool2d(act(x), {}).value().view(), act(max_pool2d(x, {})).value().view()));
    }
  }

  TEST_CASE("paper-dorefa 7.15: what the four schemes of first and last layers quantize") {
    quant::Method method = dorefa(1, 2, 4);
    CHECK(quantized(method) == Quantized{from_to(2, kLayers - 1), from_to(1, kLayers - 2), from_to(2, kLayers - 1)});
    method.layers = {"last: float"};  // the first one, too
    CHECK(quantized(method) == Quantized{from_to(1, kLayers - 1), from_to(1, kLayers - 2), from_to(1, kLayers - 1)});
    method.layers = {"first: float"};  // the last one, too
    CHECK(quantized(method) == Quantized{from_to(2, kLayers), from_to(1, kLayers - 1), from_to(2, kLayers)});
    method.layers = {};
    CHECK(quantized(method) == Quantized{from_to(1, kLayers), from_to(1, kLayers - 1), from_to(1, kLayers)});
  }

  TEST_CASE("paper-dorefa 7.15: 32 bits for a kind removes that kind everywhere") {
    const quant::Method method = dorefa(1, 2, 4);
    const Quantized all = quantized(method);
    quant::Method without = method;
    without.weights = {"none"};
    CHECK(quantized(without) == Quantized{{}, all.outputs, all.gradients});
    without = method;
    without.activations = {"relu"};
    CHECK(quantized(without) == Quantized{all.weights, {}, all.gradients});
    without = method;
    without.gradients = {"none"};
    CHECK(quantized(without) == Quantized{all.weights, all.outputs, {}});
  }

  TEST_CASE("paper-dorefa 7.16: comparing with thresholds gives the levels of activations") {
    constexpr int kPoints = 100000;
    const double away = kDouble ? 1e-9 : 1e-5;
    const Tensor random = nn::uniform({kPoints}, 2, Rng(8));
    const Values x(random.view().begin(), random.view().end());
    for (int bits = 1; bits <= 8; ++bits) {
      INFO(bits, " bits");
      const Values clip = thresholds(bits), tanh = thresholds_before_tanh(bits);
      const std::vector<int> clipped = levels_of(x, bits, Bounding::clip), of_tanh = levels_of(x, bits, Bounding::tanh),
                             absolute = levels_of(x, bits, Bounding::absolute);
      int different = 0, compared = 0;
      for (std::size_t i = 0; i < x.size(); ++i) {
        const double size = std::abs(x[i]);  // min(1, |x|) is not monotone
        if (near_one(size, clip, away) || near_one(x[i], tanh, away)) continue;
        ++compared;
        different += clipped[i] != passed(x[i], clip);
        different += of_tanh[i] != passed(x[i], tanh);
        different += absolute[i] != passed(size, clip);
      }
      CHECK(different == 0);
      CHECK(compared > 0.98 * kPoints);
    }
  }

  TEST_CASE("paper-dorefa 7.16: on a threshold the even level wins") {
    CHECK(levels_of({1. / 6, 0.5, 5. / 6}, 2, Bounding::clip) == std::vector<int>{0, 2, 2});
    CHECK(levels_of({0.5}, 1, Bounding::clip) == std::vector<int>{0});
    CHECK(levels_of({1. / 14, 7. / 14}, 3, Bounding::clip) == std::vector<int>{0, 4});
  }

  TEST_CASE("paper-dorefa 7.16: golden thresholds before a shifted tanh") {
    const double step = kDouble ? 1e-9 : 1e-5;
    const std::pair<int, Values> golden[] = {
        {2, {-.804718956217, 0, .804718956217}},
        {3, {-1.282474678731, -.649641492065, -.293893332451, 0, .293893332451, .649641492065, 1.282474678731}}};
    for (const auto& [bits, at] : golden)
      for (std::size_t j = 0; j < at.size(); ++j)
        CHECK(levels_of({at[j] - step, at[j] + step}, bits, Bounding::tanh) ==
              std::vector<int>{static_cast<int>(j), static_cast<int>(j) + 1});
  }

  TEST_CASE("paper-dorefa 7.16: behind a batch normalisation thresholds move, turn with its sign, or are none") {
    const Values gamma{1.3, -.7, 0}, beta{.2, .4, .37}, mean{.1, -.3, .5}, variance{2, .5, 1};
    nn::BatchNorm norm(3);
    norm.scale->value = tensor({3}, gamma);
    norm.shift->value = tensor({3}, beta);
    norm.running_mean = tensor({3}, mean);
    norm.running_var = tensor({3}, variance);
    norm.train(false);
    const Tensor z = nn::uniform({5000, 3}, 3, Rng(10));
    for (const int bits : {1, 2, 3, 4}) {
      quant::DorefaActivation act(bits);
      const std::vector<int> found = levels(act(norm(z)).value(), bits);
      int different = 0, compared = 0;
      for (std::size_t i = 0; i < found.size(); ++i) {
        const std::size_t c = i % 3;
        const double s = std::sqrt(variance[c] + norm.options.eps), at = static_cast<double>(z.view()[i]);
        Values moved = thresholds(bits);
        int expected = passed(beta[c], moved);
        if (gamma[c] != 0) {
          for (double& t : moved) t = mean[c] + s * (t - beta[c]) / gamma[c];
          if (near_one(at, moved, kDouble ? 1e-9 : 1e-5)) continue;
          expected = passed(at, moved);
          if (gamma[c] < 0) expected = static_cast<int>(moved.size()) - expected;
        }
        ++compared;
        different += found[i] != expected;
      }
      CHECK(different == 0);
      CHECK(compared > 14900);
    }
  }

  TEST_CASE("paper-dorefa 7.16: the columns of complexities are W (A + G), W A and W") {
    struct Row {
      int weights, activations, gradients, training, inference, storage;
    };
    const Row rows[] = {
        {1, 1, 2, 3, 1, 1},  {1, 1, 4, 5, 1, 1}, {1, 1, 8, 9, 1, 1},  {1, 2, 2, 4, 2, 1},
        {1, 2, 3, 5, 2, 1},  {1, 2, 4, 6, 2, 1}, {2, 1, 2, 6, 2, 2},  {2, 1, 4, 10, 2, 2},
        {1, 2, 8, 10, 2, 1}, {1, 3, 3, 6, 3, 1}, {1, 3, 4, 7, 3, 1},  {1, 3, 6, 9, 3, 1},
        {1, 4, 2, 6, 4, 1},  {1, 4, 4, 8, 4, 1}, {1, 4, 8, 12, 4, 1}, {2, 2, 2, 8, 4, 2},  // printed: storage 1
        {1, 1, 6, 7, 1, 1},  {1, 2, 6, 8, 2, 1}};
    for (const Row& row : rows) {
      INFO(row.weights, " ", row.activations, " ", row.gradients);
      const quant::Assembly a = assembled(dorefa(row.weights, row.activations, row.gradients));
      const quant::Summary summary = quant::summarize(*a.net, Shape{32, 32, 3}, a.weights.get());
      const auto conv = std::ranges::find(summary.layers, layer(3), &quant::LayerSummary::name);
      REQUIRE(conv != summary.layers.end());
      CHECK(conv->bops == row.inference * conv->macs);
      CHECK(conv->weight_bits == row.storage);
      const int gradient_bits = a.gradients->options().input->bits();  // of the product with the weights
      CHECK(conv->bops + conv->macs * conv->weight_bits * gradient_bits == row.training * conv->macs);
    }
  }
}
