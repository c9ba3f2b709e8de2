// The quantizers that two-stage, progressive and guided training takes from DoReFa-Net, from 16 bits down.
#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/base/check.h"
#include "core/deferred.h"
#include "nn/init.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/method.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;

namespace {

std::unique_ptr<quant::WeightProjection> projection(int bits) {
  return quant::weight_projection(quant::method("telcnn").weights.with("bits", bits));
}

std::unique_ptr<nn::Activation> activation(int bits) {
  return quant::make_activation(quant::method("telcnn").activations.with("bits", bits))("act");
}

// Sum of (quantized z - z)^2 with z = tanh(w) / (2 max|tanh w|) + 1/2.
double squared_error(const Tensor& w, int bits) {
  double max = 0, sum = 0;
  for (const Real v : w.view()) max = std::max(max, std::abs(std::tanh(static_cast<double>(v))));
  const Tensor q = projection(bits)->project(w);
  for (std::int64_t i = 0; i < w.numel(); ++i) {
    const double z = std::tanh(static_cast<double>(w[i])) / (2 * max) + 0.5;
    const double d = (static_cast<double>(q.view()[static_cast<std::size_t>(i)]) + 1) / 2 - z;
    sum += d * d;
  }
  return sum;
}

}  // namespace

TEST_SUITE("paper-telcnn") {
  TEST_CASE("paper-telcnn 7.1: its quantizers have the golden values of DoReFa-Net") {
    const Tensor w({8}, {Real(.9), Real(-.35), Real(.12), Real(-.05), Real(.02), Real(.6), Real(-.2), Real(.01)});
    const std::vector<std::pair<int, std::vector<double>>> golden{
        {2, {1, -1. / 3, 1. / 3, -1. / 3, 1. / 3, 1, -1. / 3, 1. / 3}},
        {4, {1, -.466667, .2, -.066667, .066667, .733333, -.333333, .066667}},
        {8, {1, -.466667, .168627, -.066667, .027451, .749020, -.278431, .011765}}};
    for (const auto& [bits, expected] : golden) {
      const Tensor q = projection(bits)->project(w);
      for (std::size_t i = 0; i < 8; ++i) CHECK(std::abs(static_cast<double>(q.view()[i]) - expected[i]) <= 1e-6);
    }
    const Tensor x({10},
                   {Real(-.3), 0, Real(.1), Real(.2), Real(.34), Real(.5), Real(.51), Real(.7), Real(.99), Real(1.4)});
    const Tensor y = (*activation(2))(x).value();
    const double thirds[] = {0, 0, 0, 1, 1, 2, 2, 2, 3, 3};
    for (std::size_t i = 0; i < 10; ++i) CHECK(std::abs(static_cast<double>(y.view()[i]) - thirds[i] / 3) <= 1e-6);
  }

  TEST_CASE("paper-telcnn 7.6: the squared error of the weights shrinks by the square of the steps' ratio") {
    const Tensor w = nn::normal({20000}, 1, Rng(3));
    for (const int bits : {3, 4}) {
      const double steps = std::pow(2, bits + 1) - 1, fewer = std::pow(2, bits) - 1;
      const double expected = (steps / fewer) * (steps / fewer);
      const double measured = squared_error(w, bits) / squared_error(w, bits + 1);
      CAPTURE(measured);
      CHECK(measured == doctest::Approx(expected).epsilon(0.25));
    }
  }

  TEST_CASE("paper-telcnn: 16 bits are values without codes, within half a step of what they quantize") {
    const Tensor w = nn::normal({5000}, 1, Rng(4));
    const Tensor q = projection(16)->project(w);
    CHECK(q.coded() == nullptr);
    double max = 0;
    for (const Real v : w.view()) max = std::max(max, std::abs(std::tanh(static_cast<double>(v))));
    std::set<Real> levels;
    for (std::int64_t i = 0; i < w.numel(); ++i) {
      levels.insert(q[i]);
      // Half a step of 2 / 65535 and the rounding of floats.
      CHECK(std::abs(static_cast<double>(q[i]) - std::tanh(static_cast<double>(w[i])) / max) <= 1.01 / 65535 + 1e-6);
    }
    CHECK(levels.size() > 4000);
    const Var x = Var::leaf(Tensor({4}, {Real(-0.1), Real(0.25), Real(0.75), Real(1.25)}));
    const Var y = (*activation(16))(x);
    y.backward(Tensor({4}, {1, 2, 3, 4}));
    for (const auto& [i, value, slope] : {std::tuple(0, 0.0, 0.0), {1, 0.25, 2.0}, {2, 0.75, 3.0}, {3, 1.0, 0.0}}) {
      CHECK(std::abs(static_cast<double>(y.value()[i]) - value) <= 0.51 / 65535);
      CHECK(x.grad()[i] == slope);
    }
    CHECK_THROWS_AS(projection(17), UsageError);
    CHECK_THROWS_AS(activation(17), UsageError);
  }
}
