// DoReFa-Net's weights and activations: golden values, grids, the backward pass by differences, and what of a
// network is quantized.
#include "quant/activations/dorefa.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>

#include "core/base/check.h"
#include "core/deferred.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/graph.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "quant/weights/dorefa.h"
#include "quant/weights/projection.h"
#include "quant/weights/weight_rule.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using quant::Bounding;
using Values = std::vector<double>;

namespace {

const std::vector<Real> kWeights{Real(.9),  Real(-.35), Real(.12), Real(-.05),
                                 Real(.02), Real(.6),   Real(-.2), Real(.01)};
const std::vector<Real> kSlopes{1, -2, Real(.5), 3, -1, Real(.25), 2, Real(-.5)};

const double kGolden = sizeof(Real) == sizeof(double) ? 1e-9 : 2e-6;

// Equation 9 with one bit.
std::unique_ptr<quant::WeightProjection> signs_through_tanh(bool detach_max) {
  return quant::weight_projection(
      {"dorefa", quant::DorefaWeightOptions{.bits = 1, .detach_max = detach_max, .through_tanh = true}});
}

std::unique_ptr<quant::WeightProjection> dorefa(int bits, bool detach_max = false) {
  return quant::weight_projection({"dorefa", quant::DorefaWeightOptions{.bits = bits, .detach_max = detach_max}});
}

Tensor activated(const std::vector<Real>& x, int bits, Bounding h = Bounding::clip) {
  return quant::DorefaActivation(bits, h)(Tensor({static_cast<std::int64_t>(x.size())}, x)).value();
}

void check_close(const Tensor& got, const Values& expected, double tolerance = 1e-6) {
  REQUIRE(got.numel() == static_cast<std::int64_t>(expected.size()));
  for (std::int64_t i = 0; i < got.numel(); ++i) {
    INFO("element ", i, " given ", got[i]);
    CHECK(std::abs(static_cast<double>(got[i]) - expected[static_cast<std::size_t>(i)]) <= tolerance);
  }
}

#ifdef COARSEGRAD_DOUBLE
// tanh(w) / max|tanh(w)| times slopes, summed: what the backward pass of k >= 2 is the derivative of.
double smooth_sum(std::vector<double> w, const Tensor& slopes, double fixed_max) {
  double max = 0, sum = 0;
  for (double& v : w) max = std::max(max, std::abs(v = std::tanh(v)));
  for (std::size_t i = 0; i < w.size(); ++i)
    sum += static_cast<double>(slopes[static_cast<std::int64_t>(i)]) * w[i] / (fixed_max > 0 ? fixed_max : max);
  return sum;
}
#endif

}  // namespace

TEST_SUITE("paper-dorefa") {
  TEST_CASE("paper-dorefa 7.1: golden weights of 1, 2, 3, 4 and 8 bits") {
    const Tensor w({8}, kWeights);
    const double e = 0.28125, third = 1. / 3;
    check_close(dorefa(1)->project(w), {e, -e, e, -e, e, e, -e, e});
    check_close(dorefa(2)->project(w), {1, -third, third, -third, third, 1, -third, third});
    check_close(dorefa(3)->project(w), {1, -.428571, .142857, -.142857, .142857, .714286, -.142857, .142857});
    check_close(dorefa(4)->project(w), {1, -.466667, .2, -.066667, .066667, .733333, -.333333, .066667});
    check_close(dorefa(8)->project(w), {1, -.466667, .168627, -.066667, .027451, .749020, -.278431, .011765});
  }

  TEST_CASE("paper-dorefa 7.1: golden gradients of the weights, with the maximum's term and without") {
    const Tensor w({8}, kWeights), g({8}, kSlopes);
    Values expected{-.281953, -2.476209, .688078, 4.177749, -1.395509, .248353, 2.683361, -.697964};
    for (const int bits : {2, 3, 8}) check_close(dorefa(bits)->gradient(w, g).weight, expected, 2e-6);
    expected[0] = .679769;
    check_close(dorefa(4, true)->gradient(w, g).weight, expected, 2e-6);
    CHECK(std::ranges::equal(dorefa(1)->gradient(w, g).weight.view(), g.view()));
  }

  TEST_CASE("paper-dorefa 7.1: golden activations of 1, 2 and 3 bits, ties to the even level") {
    const std::vector<Real> x{Real(-.3), 0,         Real(.1), Real(.2),  Real(.34),
                              Real(.5),  Real(.51), Real(.7), Real(.99), Real(1.4)};
    const double third = 1. / 3, seventh = 1. / 7;
    check_close(activated(x, 1), {0, 0, 0, 0, 0, 0, 1, 1, 1, 1});
    check_close(activated(x, 2), {0, 0, 0, third, third, 2 * third, 2 * third, 2 * third, 1, 1});
    check_close(activated(x, 3), {0, 0, seventh, seventh, 2 * seventh, 4 * seventh, 4 * seventh, 5 * seventh, 1, 1});
  }

  TEST_CASE("paper-dorefa 7.2: weights lie on the levels -1 + 2 j / n, the largest at an end, and are odd") {
    const Tensor w = nn::uniform({40, 25}, 2, Rng(1)), minus = map(w, [](Real v) { return -v; });
    const auto largest = std::ranges::max_element(w.view(), {}, [](Real v) { return std::abs(v); }) - w.view().begin();
    for (int bits = 2; bits <= 8; ++bits) {
      INFO(bits, " bits");
      const int n = (1 << bits) - 1;
      const Tensor p = dorefa(bits)->project(w), m = dorefa(bits)->project(minus);
      CHECK((p.coded() != nullptr) == (bits < 8));
      CHECK(std::abs(p[largest]) == doctest::Approx(1).epsilon(1e-6));
      int odd = 0;
      std::set<int> levels;
      for (std::int64_t i = 0; i < w.numel(); ++i) {
        const double j = (static_cast<double>(p[i]) + 1) * n / 2;
        CHECK(std::abs(j - std::round(j)) < 1e-4);
        levels.insert(static_cast<int>(std::lround(j)));
        odd += p[i] == -m[i];
        if (p.coded()) CHECK(p.coded()->signed_codes()[i] == 2 * std::lround(j) - n);
      }
      CHECK(*levels.begin() >= 0);
      CHECK(*levels.rbegin() <= n);
      CHECK(levels.size() >= static_cast<std::size_t>(0.9 * (n + 1)));
      CHECK(odd == w.numel());  // no ties among these
      if (p.coded()) CHECK(p.coded()->scales()[0] == 1 / static_cast<Real>(n));
    }
    // Zero is a tie, n / 2 between two integers of which the upper one is even: +1/n on both sides.
    for (int bits = 2; bits <= 7; ++bits) {
      const Tensor p = dorefa(bits)->project(Tensor({3}, {1, 0, Real(-0.0)}));
      for (const int i : {1, 2}) CHECK(p[i] == 1 / static_cast<Real>((1 << bits) - 1));
    }
  }

  TEST_CASE(
      "paper-dorefa 7.8: quantized are the weights but the first and the last, and all activations but the "
      "one into the last layer") {
    const auto net = nn::bnn_convnet(quant::dorefa_activation(2), Rng(1), {.classes = 10, .width = 8});
    REQUIRE(quant::keep_last_activation_float(*net, {32, 32, 3}));
    quant::WeightRule rule(*net, Part{"dorefa", quant::DorefaWeightOptions{.bits = 1}}, Part{"none"},
                           quant::LayerExceptions({"first: weights=float", "last: weights=float"}));
    rule.deploy();
    std::set<std::string> weights, activations, all_activations;
    for (const auto& [name, parameter] : net->named_parameters())
      if (parameter->effective.defined() && parameter->effective.coded()) weights.insert(name);
    const nn::Graph graph = nn::trace_image(*net, {32, 32, 3});
    for (const nn::Graph::Call& call : graph.calls)
      if (call.kind == "DorefaActivation") all_activations.insert(call.module);
    for (const nn::Graph::Node& node : graph.nodes)
      if (node.op == "quantize_activation") {
        activations.insert(node.module);
        CHECK(*find_attribute<std::int64_t>(node.attributes, "bits") == 2);
      }
    CHECK(weights == std::set<std::string>{"conv2.weight", "conv3.weight", "conv4.weight", "conv5.weight",
                                           "conv6.weight", "fc1.weight", "fc2.weight"});
    CHECK(activations == std::set<std::string>{"act1", "act2", "act3", "act4", "act5", "act6", "act7"});
    CHECK(all_activations.size() == 8);
    // What is not quantized is still bounded.
    quant::DorefaActivation bounded(2);
    bounded.quantize(false);
    check_close(bounded(Tensor({4}, {-1, Real(.3), 1, 7})).value(), {0, .3, 1, 1});
  }
}

TEST_SUITE("paper-dorefa") {
  TEST_CASE("paper-dorefa 7.11: quantize_k: golden levels, idempotent, monotone, and max pooling commutes with it") {
    const std::vector<Real> golden{0, Real(.1), Real(.2), Real(.34), Real(.5), Real(.6), Real(.84), Real(.99), 1};
    const std::vector<int> levels[] = {{0, 0, 0, 0, 0, 1, 1, 1, 1},
                                       {0, 0, 1, 1, 2, 2, 3, 3, 3},
                                       {0, 1, 1, 2, 4, 4, 6, 7, 7},
                                       {0, 2, 3, 5, 8, 9, 13, 15, 15}};
    for (int bits = 1; bits <= 8; ++bits) {
      INFO(bits, " bits");
      const int n = (1 << bits) - 1;
      std::vector<Real> r(golden);
      for (int j = 1; j <= n; ++j) r.push_back((j - Real(0.5)) / static_cast<Real>(n));  // ties
      const Tensor random = nn::uniform({500}, Real(0.5), Rng(9));
      for (const Real v : random.view()) r.push_back(v + Real(0.5));
      const Tensor q = activated(r, bits);
      for (std::size_t i = 0; bits <= 4 && i < golden.size(); ++i)
        CHECK(std::lround(n * static_cast<double>(q.view()[i])) == levels[bits - 1][i]);
      for (const Real v : q.view()) {
        CHECK(std::abs(n * static_cast<double>(v) - std::round(n * static_cast<double>(v))) < 1e-4);
        CHECK((v >= 0 && v <= 1));
      }
      const std::vector<Real> once(q.view().begin(), q.view().end());
      CHECK(std::ranges::equal(activated(once, bits).view(), once));
      std::vector<Real> ascending = r;
      std::ranges::sort(ascending);
      CHECK(std::ranges::is_sorted(activated(ascending, bits).view()));
      std::vector<Real> other(r.rbegin(), r.rend()), largest;
      std::ranges::transform(r, other, std::back_inserter(largest), [](Real a, Real b) { return std::max(a, b); });
      const Tensor of_other = activated(other, bits), of_largest = activated(largest, bits);
      bool same = true;
      for (std::int64_t i = 0; i < q.numel(); ++i) same = same && of_largest[i] == std::max(q[i], of_other[i]);
      CHECK(same);
    }
  }

  TEST_CASE("paper-dorefa 7.11: quantize_k passes its gradient on as it is, at both ends, too") {
    const Tensor r({6}, {0, Real(.2), Real(.5), Real(.7), Real(.99), 1}), g({6}, {1, -2, 3, Real(.5), 7, -1});
    for (int bits = 1; bits <= 8; ++bits) {
      quant::DorefaActivation quantize_k(bits, Bounding::clip, surrogate("identity"));
      const Var leaf = Var::leaf(r);
      quantize_k(leaf).backward(g);
      CHECK(std::ranges::equal(leaf.grad().view(), g.view()));
    }
  }

  TEST_CASE("paper-dorefa 7.12: binary weights: one scale for the layer, sgn(0) = +1, no mask on the gradient") {
    const std::vector<Real> w{Real(.9), Real(-.35), Real(.12), Real(-.05), 0, Real(.6), Real(-.2), Real(.01)};
    const double e = 0.27875;
    check_close(dorefa(1)->project(Tensor({8}, w)), {e, -e, e, -e, e, e, -e, e}, kGolden);
    const Tensor beyond({8}, {Real(1.9), Real(-1.35), Real(.12), Real(-.05), 0, Real(.6), -7, Real(.01)});
    const Tensor g({8}, kSlopes);
    CHECK(std::ranges::equal(dorefa(1)->gradient(beyond, g).weight.view(), g.view()));
    const double one = 0.28125;  // 0.355 and 0.2075 filter by filter
    check_close(dorefa(1)->project(Tensor({2, 4}, kWeights)), {one, -one, one, -one, one, one, -one, one}, kGolden);
  }

  TEST_CASE("paper-dorefa 7.12: binary weights through tanh: -1 and 1 without a scale, 0 becomes -1") {
    const Tensor w({8}, {Real(.9), Real(-.35), Real(.12), Real(-.05), 0, Real(.6), Real(-.2), Real(.01)}),
        g({8}, kSlopes);
    const Tensor p = signs_through_tanh(false)->project(w);
    check_close(p, {1, -1, 1, -1, -1, 1, -1, 1}, 0);
    REQUIRE(p.coded() != nullptr);
    CHECK(p.coded()->scales()[0] == 1);
    CHECK(p.coded()->bits() == 1);
    Values expected{-0.300930549996, -2.476208655838, 0.688077656919, 4.177748680843,
                    -1.396067253030, 0.248352603083,  2.683361274547, -0.697963827806};
    check_close(signs_through_tanh(false)->gradient(w, g).weight, expected, kGolden);
    expected[0] = 0.679769382831;
    check_close(signs_through_tanh(true)->gradient(w, g).weight, expected, kGolden);
  }
}

TEST_SUITE("quant") {
  TEST_CASE("dorefa: an activation that also serves another place stays quantized, and so do foreign ones") {
    const auto resnet = nn::make_network("resnet20", quant::dorefa_activation(2), Rng(1), {.width = 8});
    CHECK(!quant::keep_last_activation_float(*resnet, {32, 32, 3}));
    for (const auto& [name, module] : resnet->named_modules())
      if (const auto* act = dynamic_cast<quant::DorefaActivation*>(module)) CHECK(act->bits() == 2);
    const auto plain = nn::lenet5(nn::relu_activation(), Rng(1));
    CHECK(!quant::keep_last_activation_float(*plain, {28, 28, 1}));
    nn::Sequential bare;
    bare.add<nn::Flatten>("flatten");
    CHECK(!quant::keep_last_activation_float(bare, {4, 4, 1}));
    CHECK_THROWS_AS(quant::keep_last_activation_float(*plain, {28, 28}), Error);
  }

  TEST_CASE("dorefa: the last activation is found behind pooling, too, and with more bits than codes have") {
    for (const int bits : {2, 12}) {
      const auto net = nn::make_network("preresnet20", quant::dorefa_activation(bits), Rng(1), {.width = 8});
      const auto last_bits = [&] {
        const auto modules = net->named_modules();
        const auto act = std::ranges::find(modules, "act", [](const auto& m) { return m.first; });
        return dynamic_cast<quant::DorefaActivation&>(*act->second).bits();
      };
      CHECK(last_bits() == bits);
      CHECK(quant::keep_last_activation_float(*net, {32, 32, 3}));
      CHECK(last_bits() == 32);
    }
  }

  TEST_CASE("dorefa: zero, not finite and empty weights") {
    for (const int bits : {1, 2, 4, 8}) {
      for (const Real v : dorefa(bits)->project(Tensor({3, 5})).view()) CHECK(v == 0);
      CHECK(dorefa(bits)->project(Tensor({0, 5})).shape() == Shape{0, 5});
      for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), std::numeric_limits<Real>::infinity()})
        for (const Real v : dorefa(bits)->project(Tensor({3}, {1, bad, 2})).view()) CHECK(std::isnan(v));
    }
    const Tensor g({3}, {1, 2, 3});
    CHECK(std::ranges::equal(dorefa(4)->gradient(Tensor({3}), g).weight.view(), g.view()));
    CHECK_THROWS_AS(dorefa(4)->gradient(Tensor({2}), g), Error);
    CHECK_THROWS_AS(quant::weight_projection({"dorefa", quant::DorefaWeightOptions{.bits = 17}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projection({"dorefa", quant::DorefaWeightOptions{.bits = 0}}), UsageError);
    CHECK_THROWS_AS(quant::weight_projections().part("dorefa").with("per-channel", true), UsageError);
  }

  TEST_CASE("dorefa: products of codes in a convolution are those of the values, and exact integers") {
    const Tensor w = nn::uniform({16, 3, 3, 8}, 1, Rng(2)), x = nn::uniform({2, 6, 6, 8}, 2, Rng(3));
    for (const int bits : {2, 3, 4}) {
      const Tensor wq = dorefa(bits)->project(w);
      quant::DorefaActivation act(bits);
      const Tensor aq = act(x).value();
      const Tensor plain_w(wq.shape(), std::vector<Real>(wq.view().begin(), wq.view().end())),
          plain_a(aq.shape(), std::vector<Real>(aq.view().begin(), aq.view().end()));
      const Tensor y = conv2d(aq, wq, {}, {.padding = 1}).value(),
                   expected = conv2d(plain_a, plain_w, {}, {.padding = 1}).value();
      const double steps = std::pow((1 << bits) - 1, 2);
      for (std::int64_t i = 0; i < y.numel(); ++i) {
        CHECK(std::abs(y[i] - expected[i]) <= Real(2e-5));
        const double k = static_cast<double>(y[i]) * steps;
        CHECK(std::abs(k - std::round(k)) < 1e-3);
      }
    }
  }

  TEST_CASE("dorefa: the three ways into 0 to 1, forward and backward") {
    const std::vector<Real> x{-2, Real(-.4), Real(.4), Real(.9), 2};
    check_close(activated(x, 8, Bounding::absolute), {1, .4, .4, .9, 1}, 1. / 510 + 1e-6);
    Values expected;
    for (const Real v : x) expected.push_back((std::tanh(static_cast<double>(v)) + 1) / 2);
    check_close(activated(x, 8, Bounding::tanh), expected, 1. / 510 + 1e-6);
    const auto slopes = [&](Bounding h) {
      quant::DorefaActivation act(2, h);
      const Var leaf = Var::leaf(Tensor({5}, x));
      act(leaf).backward(Tensor({5}, Real(3)));
      return leaf.grad();
    };
    check_close(slopes(Bounding::clip), {0, 0, 3, 3, 0});
    check_close(slopes(Bounding::absolute), {0, -3, 3, 3, 0});
    for (double& v : expected) v = 3 * 2 * v * (1 - v);  // (1 - tanh^2) / 2
    check_close(slopes(Bounding::tanh), expected, 2e-6);
    CHECK_THROWS_AS(quant::DorefaActivation(2, Bounding::tanh, surrogate("relu")), UsageError);
  }

  TEST_CASE("dorefa: gradients have the same bits for 1 and 2 threads") {
    const Tensor w = nn::uniform({100001}, 1, Rng(4)), g = nn::uniform({100001}, 1, Rng(5));
    CHECK(same_with_two_threads([&] {
      const Tensor d = dorefa(4)->gradient(w, g).weight;
      return std::vector<Real>(d.view().begin(), d.view().end());
    }));
  }

#ifdef COARSEGRAD_DOUBLE
  TEST_CASE("dorefa: the gradient of the weights is that of tanh(w) / max|tanh(w)| by differences") {
    for (const bool detached : {false, true}) {
      const Tensor w = nn::uniform({30}, 2, Rng(6)), g = nn::uniform({30}, 1, Rng(7));
      const std::vector<double> at(w.view().begin(), w.view().end());
      double max = 0;
      for (const double v : at) max = std::max(max, std::abs(std::tanh(v)));
      const Tensor d = dorefa(3, detached)->gradient(w, g).weight;
      const double h = 1e-6, fixed = detached ? max : 0;
      for (std::size_t i = 0; i < at.size(); ++i) {
        std::vector<double> right = at, left = at;
        right[i] += h;
        left[i] -= h;
        const double quotient = (smooth_sum(right, g, fixed) - smooth_sum(left, g, fixed)) / (2 * h);
        CHECK(std::abs(d[static_cast<std::int64_t>(i)] - quotient) < 1e-8);
      }
    }
  }
#endif
}
