// Gradients with codes, and the backward pass that multiplies them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/compute/conv_codes_backward.h"
#include "core/leveled.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/minmax.h"
#include "quant/assembly.h"
#include "quant/gradients/gradient_quantizer.h"
#include "quant/weights/minmax.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using coarsegrad::testing::same_bits;
using coarsegrad::testing::same_with_two_threads;
using quant::gradient_quantizer;

namespace {

using Values = std::vector<Real>;
Values values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

Tensor gaussian_tensor(const Shape& shape, std::uint64_t seed, double mean = 0) {
  Tensor g = Tensor::uninitialized(shape);
  Rng(seed).normal(g.mutable_data(), static_cast<std::size_t>(g.numel()), static_cast<Real>(mean));
  return g;
}

// Both maps of StatQuant's bifurcation, with the same draws whether there are codes or not.
OutputGradientMap map_of(const char* input, int bits, bool codes, std::uint64_t seed = 1) {
  const auto by = [codes, seed](const char* name, int b, const char* stream) -> OutputGradientMap::Function {
    return [=](const Tensor& g) {
      return gradient_quantizer(name, {.bits = b, .codes = codes})->quantize(g, Rng(seed).split(stream));
    };
  };
  return {by(input, bits, "input"), by("ptq", 8, "weight")};
}

// A layer between codes: activations and weights of statquant, which leave 8 bits each.
struct Layer {
  bool dense;
  Var x, weight;
  Tensor g;

  explicit Layer(bool is_dense, std::int64_t batch = 6) : dense(is_dense) {
    quant::MinMaxActivation activation(8);
    const Var below = Var::leaf(gaussian_tensor(dense ? Shape{batch, 60} : Shape{batch, 5, 4, 3}, 1));
    x = Var::leaf(activation.forward(below).value());
    weight = Var::leaf(quant::weight_projection({"minmax", quant::MinMaxWeightOptions{}})
                           ->project(nn::uniform(dense ? Shape{7, 60} : Shape{7, 3, 3, 3}, 1, Rng(2))));
    g = gaussian_tensor(dense ? Shape{batch, 7} : Shape{batch, 5, 4, 7}, 3, 0.2);
  }

  ConvShape shape() const {
    if (dense)
      return {.batch = x.shape()[0],
              .height = 1,
              .width = 1,
              .in_channels = 60,
              .out_channels = 7,
              .kernel_h = 1,
              .kernel_w = 1};
    return {.batch = x.shape()[0],
            .height = 5,
            .width = 4,
            .in_channels = 3,
            .out_channels = 7,
            .kernel_h = 3,
            .kernel_w = 3,
            .pad_h = 1,
            .pad_w = 1};
  }
  void backward(const OutputGradientMap& map) {
    x.zero_grad();
    weight.zero_grad();
    (dense ? linear(x, weight, {}, map) : conv2d(x, weight, {}, {.padding = 1, .map = map})).backward(g);
  }
};

quant::Assembly statquant(const std::string& net, const Shape& input, const char* gradients, bool integer) {
  quant::Method method = quant::method("statquant");
  method.gradients = {gradients, quant::BifurcatedGradientOptions{.bits = 8, .integer = integer}};
  return quant::assemble(
      {.method = method,
       .network = [net](const nn::MakeActivation& activation) { return nn::make_network(net, activation, Rng(4)); },
       .input = input,
       .optimizer =
           [](std::vector<Parameter*> all) {
             return std::make_unique<optim::Sgd>(all, optim::SgdOptions{.lr = 0.02});
           }});
}

struct Trained {
  Values losses, gradients;  // of each step, and of all weights in the first one
};

Trained trained(const std::string& net, const Shape& image, const char* gradients, bool integer, int steps) {
  quant::Assembly a = statquant(net, image, gradients, integer);
  quant::QuantizedOptimizer optimizer(*a.optimizer, *a.net, a.quantized(), {steps, 1});
  const Tensor images = gaussian_tensor({8, image[0], image[1], image[2]}, 5),
               labels = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});
  Trained all;
  const FlushDenormals flush;
  for (int step = 0; step < steps; ++step) {
    optimizer.zero_grad();
    const Var loss = cross_entropy((*a.net)(images), labels);
    loss.backward();
    optimizer.collect_gradients();
    if (step == 0)
      for (const Parameter* p : a.net->parameters())
        all.gradients.insert(all.gradients.end(), p->grad().view().begin(), p->grad().view().end());
    optimizer.step();
    all.losses.push_back(loss.item());
  }
  return all;
}

double distance(const Values& a, const Values& b) {
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    size += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_SUITE("paper-statquant") {
  TEST_CASE("codes of a gradient leave its elements as they are, bit for bit, and the levels give them back") {
    for (const char* name : {"dorefa", "ptq", "psq"})
      for (const int bits : {1, 5, 8})
        for (const double mean : {0.0, 3.0, -40.0})
          for (const bool stochastic : {true, false}) {
            INFO(name, " ", bits, " bits, mean ", mean);
            const Tensor g = gaussian_tensor({5, 3, 4, 5}, 7, mean);
            const auto make = [&](bool codes) {
              return gradient_quantizer(name, {.bits = bits, .stochastic = stochastic, .codes = codes})
                  ->quantize(g, Rng(2));
            };
            const Tensor plain = make(false), coded = make(true);
            CHECK_FALSE(leveled_codes(plain));
            const auto codes = leveled_codes(coded);
            REQUIRE(codes);
            CHECK(codes->levels.size() == (std::string(name) == "ptq" ? 1 : 5));
            CHECK(same_bits(values(coded), values(plain)));
            const std::int64_t slice = g.numel() / static_cast<std::int64_t>(codes->levels.size());
            for (std::int64_t i = 0; i < g.numel(); ++i) {
              const Levels& l = codes->levels[static_cast<std::size_t>(i / slice)];
              CHECK(l.step * (codes->codes[i] - l.zero) + l.rest ==
                    doctest::Approx(static_cast<double>(plain[i])).epsilon(1e-6));
              CHECK(std::abs(static_cast<double>(plain[i])) >= std::abs(l.rest) * (1 - 1e-6));
            }
          }
  }

  TEST_CASE("gradients that are no codes: bhq, empty, not finite, too small for a grid of floats") {
    const auto coded = [](const char* name, const Tensor& g) {
      return leveled_codes(gradient_quantizer(name, {.codes = true})->quantize(g, Rng(1))).has_value();
    };
    const Tensor g = gaussian_tensor({6, 9}, 2);
    CHECK(coded("ptq", g));
    CHECK_FALSE(coded("bhq", g));
    for (const char* name : {"dorefa", "ptq", "psq"}) {
      CHECK_FALSE(coded(name, Tensor({0, 3})));
      Tensor bad = g, small = g;
      bad.mutable_data()[13] = std::numeric_limits<Real>::quiet_NaN();
      for (Real& v : small.mut()) v *= Real(1e-36);
      CHECK_FALSE(coded(name, bad));
      CHECK_FALSE(coded(name, small));
      const auto quantizer = gradient_quantizer(name, {.codes = true}), plain = gradient_quantizer(name, {});
      CHECK(same_bits(values(quantizer->quantize(bad, Rng(1))), values(plain->quantize(bad, Rng(1)))));
      CHECK(same_bits(values(quantizer->quantize(small, Rng(1))), values(plain->quantize(small, Rng(1)))));
    }
    CHECK(coded("ptq", Tensor({4, 5}, Real(2.5))));  // constants lie on a grid of one point
  }

  TEST_CASE("weights of minmax have codes that give their elements, and none for the forward pass") {
    const Tensor w = nn::uniform({6, 3, 3, 4}, 0.4, Rng(3));
    for (const bool per_channel : {false, true}) {
      const Tensor p =
          quant::weight_projection({"minmax", quant::MinMaxWeightOptions{.per_channel = per_channel}})->project(w);
      CHECK(p.coded() == nullptr);
      const auto codes = leveled_codes(p);
      REQUIRE(codes);
      CHECK(codes->levels.size() == (per_channel ? 6 : 1));
      for (std::int64_t i = 0; i < p.numel(); ++i) {
        const Levels& l = codes->levels[per_channel ? static_cast<std::size_t>(i / 36) : 0];
        CHECK(l.rest == 0);
        CHECK(static_cast<Real>(l.step * (codes->codes[i] - l.zero)) == p[i]);
      }
    }
  }

  TEST_CASE(
      "both products of ptq and of psq are those of the codes; of bhq the weight's is, the input's is a float one") {
    for (const bool dense : {false, true})
      for (const char* input : {"ptq", "psq", "bhq"}) {
        INFO("dense ", dense, " ", input);
        Layer layer(dense);
        const ConvShape s = layer.shape();
        const OutputGradientMap map = map_of(input, 8, true);
        layer.backward(map);
        const Tensor for_input = map.for_input(layer.g), for_weight = map.for_weight(layer.g);
        const auto x = leveled_codes(layer.x.value()), w = leveled_codes(layer.weight.value());
        REQUIRE(x);
        REQUIRE(w);
        Values dw(static_cast<std::size_t>(layer.weight.numel())), dx(static_cast<std::size_t>(layer.x.numel()));
        conv2d_backward_weight_codes(s, *x, *leveled_codes(for_weight), dw.data());
        CHECK(same_bits(values(layer.weight.grad()), dw));
        const Values integer = values(layer.x.grad());
        layer.backward(map_of(input, 8, false));
        const Values simulated = values(layer.x.grad());
        if (std::string(input) == "bhq") {
          CHECK_FALSE(leveled_codes(for_input));
          CHECK(same_bits(integer, simulated));
          continue;
        }
        conv2d_backward_data_codes(s, *leveled_codes(for_input), *w, dx.data());
        CHECK(same_bits(integer, dx));
        CHECK(distance(integer, simulated) < 1e-5);
        CHECK(distance(values(layer.weight.grad()), dw) < 1e-5);
        CHECK(integer != simulated);  // floats round
      }
  }

  TEST_CASE(
      "the mean over draws of the integer products is the float gradient: |z| below 6; rounding to the nearest is "
      "not") {
    constexpr int kDraws = 2000;
    for (const char* input : {"ptq", "psq"}) {
      INFO(input);
      Layer layer(false, 3);
      layer.backward({});
      const Values exact_x = values(layer.x.grad()), exact_w = values(layer.weight.grad());
      const auto worst = [&](const std::function<OutputGradientMap(std::uint64_t)>& map) {
        std::vector<double> sum(exact_x.size() + exact_w.size()), squares(sum.size());
        for (int draw = 0; draw < kDraws; ++draw) {
          layer.backward(map(static_cast<std::uint64_t>(draw)));
          const auto add = [&](std::size_t first, const Tensor& got, const Values& exact) {
            for (std::size_t i = 0; i < exact.size(); ++i) {
              const double d = static_cast<double>(got.view()[i]) - static_cast<double>(exact[i]);
              sum[first + i] += d;
              squares[first + i] += d * d;
            }
          };
          add(0, layer.x.grad(), exact_x);
          add(exact_x.size(), layer.weight.grad(), exact_w);
        }
        double z = 0;
        for (std::size_t i = 0; i < sum.size(); ++i) {
          const double mean = sum[i] / kDraws, variance = squares[i] / kDraws - mean * mean;
          z = std::max(z, (std::abs(mean) - 1e-5) / (std::sqrt(std::max(variance, 0.0) / kDraws) + 1e-12));
        }
        return z;
      };
      CHECK(worst([&](std::uint64_t draw) { return map_of(input, 4, true, draw + 10); }) < 6);
      CHECK(worst([&](std::uint64_t) {
              const auto nearest = [input](const Tensor& g) {
                return gradient_quantizer(input, {.bits = 4, .stochastic = false, .codes = true})->quantize(g, Rng(1));
              };
              return OutputGradientMap{nearest, nearest};
            }) > 100);
    }
  }
}

TEST_SUITE("paper-statquant long") {
  TEST_CASE("statquant trains on integer products as on simulated ones, with the same bits on 1 and 2 threads") {
    for (const auto& [key, image] :
         {std::pair<const char*, Shape>{"lenet5", {28, 28, 1}}, {"preresnet20", {32, 32, 3}}})
      for (const char* gradients : {"ptq", "psq"}) {
        const char* const net = key;
        INFO(net, " ", gradients);
        const Trained integer = trained(net, image, gradients, true, 3),
                      simulated = trained(net, image, gradients, false, 3);
        CHECK(integer.gradients != simulated.gradients);
        CHECK(integer.losses[0] == simulated.losses[0]);
        for (std::size_t i = 1; i < 3; ++i)
          CHECK(static_cast<double>(integer.losses[i]) ==
                doctest::Approx(static_cast<double>(simulated.losses[i])).epsilon(0.02));
        if (std::string(gradients) == "ptq")
          CHECK(same_with_two_threads([&, n = net, i = image] { return trained(n, i, "ptq", true, 1).gradients; }));
      }
  }
}
