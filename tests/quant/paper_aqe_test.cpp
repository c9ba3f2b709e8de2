// What the paper on the asymptotic-quantized estimator says of its mix, its networks and its training, item by item.
// Thresholds, schedule and factor are choices where it says nothing (quant/math/level_set.h, quant/mix_schedule.h).
#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <set>

#include "core/ops.h"
#include "nn/graph.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/mix.h"
#include "quant/evaluation_scope.h"
#include "quant/quantized_optimizer.h"
#include "quant/summary.h"
#include "quant/weights/fixed_levels.h"
#include "quant/weights/mix.h"
#include "quant/weights/weight_rule.h"
#include "tests/support/errors.h"

using namespace coarsegrad;
using quant::MixActivation, quant::MixFactor, quant::MixOptions, quant::MixSchedule;

namespace {

constexpr double kTolerance = sizeof(Real) == 8 ? 1e-12 : 2e-6;

using Values = std::vector<double>;

Tensor tensor(const Shape& shape, const Values& v) { return {shape, std::vector<Real>(v.begin(), v.end())}; }
Tensor tensor(const Values& v) { return tensor({std::ssize(v)}, v); }
Values values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

/// Within the tolerance, times `scale`, of every value.
void check_close(const Tensor& found, const Values& expected, double scale = 1) {
  REQUIRE(found.numel() == std::ssize(expected));
  for (std::int64_t i = 0; i < found.numel(); ++i) {
    CAPTURE(i);
    const double difference = static_cast<double>(found[i]) - expected[static_cast<std::size_t>(i)];
    CHECK(std::abs(difference) <= kTolerance * scale);
  }
}

MixOptions constant(double a, MixFactor factor = MixFactor::paper) { return {.first = a, .last = a, .factor = factor}; }
std::unique_ptr<quant::WeightProjection> levels(int bits) { return quant::fixed_levels({.bits = bits}); }

Tensor h(int bits, const Tensor& x) { return levels(bits)->project(x); }
Tensor mixed(int bits, double a, const Tensor& w) {
  return quant::mix_relaxation(constant(a))->effective(*levels(bits), w);
}

struct Gradients2 {
  Tensor weights, activations;
};
/// What becomes of g on its way back through the mix at x.
Gradients2 backward(int bits, const MixOptions& mix, const Tensor& x, const Tensor& g) {
  const Var leaf = Var::leaf(x);
  MixActivation act({.bits = bits, .mix = mix});
  act(leaf).backward(g);
  return {quant::mix_relaxation(mix)->gradient(*levels(bits), x, g).weight, leaf.grad()};
}

}  // namespace

TEST_SUITE("paper-aqe") {
  TEST_CASE("paper-aqe 11.5: the forward map of weights and activations") {
    const Tensor x = tensor({-1, -.5, -.05, 0, .02, .3, .8, 1});
    const std::map<std::pair<int, double>, Values> golden{{{1, .25}, {-1, -.625, -.2875, -.25, .265, .475, .85, 1}},
                                                          {{1, .5}, {-1, -.75, -.525, -.5, .51, .65, .9, 1}},
                                                          {{1, .75}, {-1, -.875, -.7625, -.75, .755, .825, .95, 1}},
                                                          {{2, .25}, {-1, -.625, -.0375, 0, .015, .475, .85, 1}},
                                                          {{2, .5}, {-1, -.75, -.025, 0, .01, .65, .9, 1}},
                                                          {{2, .75}, {-1, -.875, -.0125, 0, .005, .825, .95, 1}},
                                                          {{3, .25}, {-1, -.5, -.0375, 0, .015, .2875, .85, 1}},
                                                          {{3, .5}, {-1, -.5, -.025, 0, .01, .275, .9, 1}},
                                                          {{3, .75}, {-1, -.5, -.0125, 0, .005, .2625, .95, 1}}};
    for (const auto& [key, expected] : golden) {
      const auto& at = key;
      INFO(at.first, " bits, a = ", at.second);
      check_close(mixed(at.first, at.second, x), expected);
      MixActivation act({.bits = at.first, .mix = constant(at.second)});
      check_close(act(x).value(), expected);
    }
  }

  TEST_CASE("paper-aqe 11.6: with a = 0 the mix is the identity, with a = 1 the quantizer") {
    const Tensor x = nn::uniform({2001}, 1, Rng(1));
    for (const int bits : {1, 2, 3}) {
      CHECK(values(mixed(bits, 0, x)) == values(x));
      CHECK(values(mixed(bits, 1, x)) == values(h(bits, x)));
      MixActivation none({.bits = bits, .mix = constant(0)}), all({.bits = bits, .mix = constant(1)});
      CHECK(values(none(x).value()) == values(x));
      CHECK(values(all(x).value()) == values(h(bits, x)));
    }
  }

  TEST_CASE("paper-aqe 11.7: the gradient is multiplied by 2a where |x| <= 1, both ends included") {
    const Tensor x = tensor({-1.2, -1, -.5, 0, .3, 1, 1.0001}), g = tensor({1, -2, .5, 4, -.25, 3, 1});
    const std::map<double, Values> golden{
        {.75, {0, -3, .75, 6, -.375, 4.5, 0}}, {.25, {0, -1, .25, 2, -.125, 1.5, 0}}, {0, {0, 0, 0, 0, 0, 0, 0}}};
    for (const auto& [key, expected] : golden)
      for (const int bits : {1, 2, 3}) {
        const double a = key;
        INFO(bits, " bits, a = ", a);
        const Gradients2 d = backward(bits, constant(a), x, g);
        check_close(d.weights, expected);
        check_close(d.activations, expected);
      }
  }

  TEST_CASE("paper-aqe 11.8: with a = 1/2 the way back is the straight-through estimator's, the way forth is not") {
    const Tensor x = nn::normal({1000}, 1, Rng(2)), g = nn::normal({1000}, 1, Rng(3));
    Values straight;
    for (std::int64_t i = 0; i < 1000; ++i) straight.push_back(std::abs(x[i]) <= 1 ? static_cast<double>(g[i]) : 0);
    for (const int bits : {1, 2, 3}) {
      for (const MixOptions& mix : {constant(.5), constant(1, MixFactor::one)}) {
        const Gradients2 d = backward(bits, mix, x, g);
        CHECK(values(d.weights) == straight);
        CHECK(values(d.activations) == straight);
      }
      CHECK(values(backward(bits, constant(1), x, g).activations) != straight);
      MixActivation half({.bits = bits, .mix = constant(.5)}), one({.bits = bits, .mix = constant(1)});
      double most = 0;
      const Tensor y = half(x).value(), quantized = h(bits, x);
      for (std::int64_t i = 0; i < 1000; ++i)
        most = std::max(most, std::abs(static_cast<double>(y[i]) - static_cast<double>(quantized[i])));
      CHECK(most > (bits == 3 ? .1 : .4));
      CHECK(values(one(x).value()) == values(quantized));
    }
  }

  TEST_CASE("paper-aqe 11.11: iterated, the mix of one bit approaches the sign as a power of 1 - a") {
    struct Golden {
      double a, start;
      std::map<int, double> after;
    };
    for (const auto& [a, start, after] :
         {Golden{.5, .2, {{1, .6}, {2, .8}, {5, .975}, {10, .99921875}}},
          Golden{.1, .2, {{1, .28}, {2, .352}, {5, .527608}, {10, .72105724792}, {20, .9027386763275445}}},
          Golden{.25, -.7, {{1, -.775}, {2, -.83125}, {5, -.92880859375}, {10, -.9831059455871582}}}}) {
      Tensor x = tensor({start});
      const double s = std::copysign(1, start);
      for (int n = 1; n <= 20; ++n) {
        CAPTURE(n);
        x = mixed(1, a, x);
        check_close(x, {s + std::pow(1 - a, n) * (start - s)});
        CHECK(std::abs(s * (1 - std::pow(1 - a, n)) + std::pow(1 - a, n - 1) * start - double(x[0])) > 1e-9);
        if (after.contains(n)) check_close(x, {after.at(n)});
      }
    }
  }

  TEST_CASE("paper-aqe 11.12: float weights are clipped to [-1, 1] after the step") {
    nn::Linear layer(3, 1, Rng(1), false);
    layer.weight.value = tensor({1, 3}, {.95, -.99, .2});
    quant::WeightRule rule(layer, {"fixed_levels"}, {"mix", constant(.5)});
    optim::Sgd sgd({&layer.weight}, {.lr = .1});
    quant::QuantizedOptimizer optimizer(sgd, layer, {.weights = &rule}, {1, 1});
    optimizer.zero_grad();
    layer.weight.set_grad(tensor({1, 3}, {-1, .5, 3}));
    optimizer.step();
    check_close(layer.weight.value, {1, -1, -.1});
  }

  TEST_CASE("paper-aqe 11.13: one layer, forth and back, and as it is evaluated") {
    const Tensor x = tensor({2, 3}, {.4, -.2, .9, -1.3, .05, .6}), w = tensor({3, 2}, {.3, -.6, -.01, .8, 1, -.25}),
                 g = tensor({2, 2}, {1, -2, .5, .25});
    const struct {
      int inputs, weights;
      Values y, of_w, of_x, evaluated;
    } kGolden[] = {{1,
                    1,
                    {2.27825, -2.3171875, -.49878125, .893125},
                    {.525, -2.925, -.628125, 2.6859375, 2.1375, -2.5875},
                    {3.9375, -3.97875, 3.9375, 0, -.208125, .4453125},
                    {3, -3, -1, 1}},
                   {2,
                    3,
                    {1.200125, -1.45, .63746875, .311875},
                    {.525, -2.925, -1.190625, 2.4046875, 2.1375, -2.5875},
                    {1.96875, -2.85375, 2.25, 0, .354375, .65625},
                    {1.25, -1.75, .75, .25}},
                   {3,
                    2,
                    {1.36746875, -1.4453125, -.30003125, .4853125},
                    {-.0375, -1.8, -.346875, .7171875, 1.85625, -2.728125},
                    {3.9375, -2.85375, 3.9375, 0, .354375, .4453125},
                    {1.5, -1.75, -.5, .5}}};
    for (const auto& golden : kGolden) {
      INFO(golden.inputs, "-bit inputs, ", golden.weights, "-bit weights");
      MixActivation act({.bits = golden.inputs, .mix = constant(.75)});
      const auto mix = quant::mix_relaxation(constant(.75));
      const auto projection = levels(golden.weights);
      const Var in = Var::leaf(x), weight = Var::leaf(mix->effective(*projection, w));
      const Var y = matmul(act(in), weight);
      y.backward(g);
      check_close(y.value(), golden.y);
      check_close(mix->gradient(*projection, w, weight.grad()).weight, golden.of_w);
      check_close(in.grad(), golden.of_x);
      for (const double a : {0.0, .5, .75, 1.0}) {
        MixActivation at({.bits = golden.inputs, .mix = constant(a)});
        at.eval();
        check_close(matmul(at(x), projection->project(w)).value(), golden.evaluated, 0);  // 11.17, exactly
      }
    }
  }

  TEST_CASE("paper-aqe 11.14: a whole step of algorithm 1") {
    nn::Sequential net;
    auto& fc1 = net.add<nn::Linear>("fc1", 3, 2, Rng(1), false);
    auto& act = net.add<MixActivation>("act", quant::MixActivationOptions{.bits = 1, .mix = constant(.75)});
    auto& fc2 = net.add<nn::Linear>("fc2", 2, 2, Rng(2), false);
    fc1.weight.value = tensor({2, 3}, {.3, -.01, .95, -.6, .8, -.25});  // (out, in)
    fc2.weight.value = tensor({2, 2}, {.7, -.02, -.95, .4});
    const Tensor image = tensor({2, 3}, {.5, -1.5, 2, 1, .25, -.75}), unit = tensor({2, 2}, {1, 0, 0, 1});
    quant::WeightRule rule(net, {"fixed_levels", quant::FixedLevelsOptions{.bits = 1}}, {"mix", constant(.75)});
    optim::Sgd sgd(net.parameters(), {.lr = .1});
    quant::QuantizedOptimizer optimizer(sgd, net, {.weights = &rule}, {1, 1});
    const auto evaluated = [&] {
      const quant::EvaluationScope scope(net, &rule);
      return values(net(image).value());
    };
    CHECK(evaluated() == Values{2, -2, 0, 0});
    optimizer.zero_grad();
    const Var z1 = Var::leaf(fc1(image).value()), x1 = act(z1), z2 = fc2(x1);  // for the gradient between the layers
    const Var loss = sum(square(z2 - unit)) * Real(.25);
    check_close(z1.value(), {3.51625, -3.5, -.10375, -.053125});
    check_close(x1.value(), {1, -1, -.7759375, -.76328125});
    check_close(z2.value(), {1.68, -1.8375, -.14146484375, .11744921875});
    check_close(loss.value(), {1.1594286083755492});
    loss.backward();
    check_close(z1.grad(), {0, 0, .5554979370117188, -.48252165527343743});
    optimizer.zero_grad();
    (sum(square(net(image) - unit)) * Real(.25)).backward();
    optimizer.collect_gradients();
    check_close(fc2.weight.grad(), {.5923259078979494, -.4290169029235841, -.8645218148803708, 1.8833508476257323});
    check_close(fc1.weight.grad(), {.8332469055175782, .20831172637939455, -.6249351791381836, -.7237824829101561,
                                    -.18094562072753903, .5428368621826171});
    optimizer.step();
    check_close(fc1.weight.value, {.21667530944824215, -.030831172637939455, 1, -.5276217517089844, .818094562072754,
                                   -.30428368621826174});
    check_close(fc2.weight.value, {.640767409210205, .022901690292358407, -.8635478185119628, .21166491523742678});
    CHECK(evaluated() == Values{0, -2, -2, 0});
  }

  TEST_CASE("paper-aqe 11.16: the share rises along a line from first to last, and stays where it has arrived") {
    const auto shares = [](const MixOptions& options, const Values& at) {
      MixSchedule schedule(options);
      Values all;
      for (const double s : at) {
        schedule.advance({s, 1});
        all.push_back(schedule.share());
      }
      return all;
    };
    const auto check_shares = [&](const MixOptions& options, const Values& at, const Values& expected) {
      const Values found = shares(options, at);
      for (std::size_t i = 0; i < at.size(); ++i) CHECK(std::abs(found[i] - expected[i]) <= 1e-12);
    };
    check_shares({}, {0, .1, .25, .5, .75, 1}, {.5, .55, .625, .75, .875, 1});
    check_shares({.until = .47}, {0, .1, .25, .47, 1}, {.5, .6063829787234043, .7659574468085106, 1, 1});
    check_shares(constant(.3), {0, .5, 1}, {.3, .3, .3});
    check_shares({.until = 2}, {0, 1}, {.5, .75});
    CHECK(MixSchedule({}).share() == .5);
    MixSchedule steps({});
    for (int k = 0; k < 5; ++k) {
      steps.advance({double(k), 4});
      CHECK(steps.share() == Values{.5, .625, .75, .875, 1}[static_cast<std::size_t>(k)]);
      CHECK(steps.factor() == static_cast<Real>(2 * steps.share()));
    }
    const auto relaxation = quant::relaxation({"mix"});
    CHECK(relaxation->strength() == .5);
    relaxation->advance({3, 4});
    CHECK(relaxation->strength() == .875);
    for (const MixOptions& bad : {MixOptions{.first = -.1}, MixOptions{.last = 1.1},
                                  MixOptions{.first = .9, .last = .8}, MixOptions{.until = 0}, MixOptions{.until = -1},
                                  MixOptions{.first = std::nan("")}, MixOptions{.until = HUGE_VAL}})
      CHECK_SAYS(complaint_of([&] { MixSchedule schedule(bad); }), "expected 0 <= first <= last <= 1 and until > 0");
    for (const auto& [option, value] : {std::pair{"first", 1.5}, std::pair{"last", -.5}, std::pair{"until", 0.}})
      CHECK_THROWS_AS(quant::relaxations().part("mix").with(option, value), UsageError);
  }

  TEST_CASE("paper-aqe 11.17: evaluation knows levels alone, and mean squares behind the mix grow with the share") {
    constexpr std::int64_t kPoints = 400000;
    std::vector<Real> points;
    for (std::int64_t i = 0; i < kPoints; ++i) points.push_back(static_cast<Real>((i + .5) / (kPoints / 2) - 1));
    const Tensor x({kPoints}, points);
    const double shares[] = {.5, .75, 1};
    const Values golden[] = {
        {.5833333333, .7708333333, 1}, {.5702083333, .7422395833, .95}, {.3430989583, .3504231771, .359375}};
    for (int bits = 1; bits <= 3; ++bits)
      for (std::size_t i = 0; i < 3; ++i) {
        INFO(bits, " bits, a = ", shares[i]);
        MixActivation act({.bits = bits, .mix = constant(shares[i])});
        double sum = 0;
        for (const Real v : act(x).value().view()) sum += static_cast<double>(v) * static_cast<double>(v);
        CHECK(std::abs(sum / kPoints - golden[bits - 1][i]) <= 1e-6);
        act.eval();
        const Tensor y = act(x).value();
        const std::set<double> found(y.view().begin(), y.view().end());
        CHECK(Values(found.begin(), found.end()) == level_set(bits).levels());
      }
  }

  TEST_CASE("paper-aqe 11.18: weights per layer and in sum, sides of feature maps, products per image") {
    const auto weights_of = [](nn::Module& net) {
      std::vector<std::int64_t> all;
      for (const auto& [name, module] : net.named_modules())
        if (const Parameter* weight = module->weight_parameter()) all.push_back(weight->value.numel());
      return all;
    };
    const auto sum_of = [](const std::vector<std::int64_t>& all) {
      std::int64_t sum = 0;
      for (const std::int64_t n : all) sum += n;
      return sum;
    };
    const auto made = [](const std::string& name, nn::NetworkOptions options = {}) {
      return nn::make_network(name, nn::relu_activation(), Rng(1), options);
    };
    const struct {
      const char* name;
      std::vector<std::int64_t> layers;
      std::int64_t of_10, of_100, products;
    } kModels[] = {{"bnn_convnet_a",
                    {3456, 147456, 294912, 589824, 1179648, 2359296, 4718592, 1048576, 10240},
                    10352000,
                    10444160,
                    514072064},
                   {"bnn_convnet_b",
                    {1728, 36864, 73728, 147456, 294912, 589824, 2359296, 1048576, 10240},
                    4562624,
                    4654784,
                    131269376},
                   {"bnn_convnet_c",
                    {1728, 36864, 73728, 147456, 294912, 589824, 1179648, 262144, 5120},
                    2591424,
                    2637504,
                    129298176},
                   {"bnn_convnet_d",
                    {1728, 36864, 73728, 147456, 294912, 589824, 589824, 65536, 2560},
                    1802432,
                    1825472,
                    128509184}};
    for (const auto& model : kModels) {
      CAPTURE(std::string(model.name));
      const auto net = made(model.name);
      CHECK(weights_of(*net) == model.layers);
      CHECK(sum_of(weights_of(*net)) == model.of_10);
      CHECK(sum_of(weights_of(*made(model.name, {.classes = 100}))) == model.of_100);
      CHECK(quant::summarize(*net, {32, 32, 3}).macs == model.products);
    }
    CHECK(sum_of(weights_of(*made("bnn_convnet"))) == 14022016);
    const auto side = [&](const std::string& name) {
      const auto net = made(name, {.width = 4});
      for (const nn::Graph::Node& node : nn::trace_image(*net, {32, 32, 3}).nodes)
        if (node.module == "pool3") return node.shape[1];
      return std::int64_t{0};
    };
    CHECK(side("bnn_convnet_d") == 3);
    CHECK(side("bnn_convnet") == 4);
    CHECK(sum_of(weights_of(*nn::resnet(110, nn::relu_activation(), Rng(1)))) == 1719856);
    CHECK(sum_of(weights_of(*nn::resnet(110, nn::relu_activation(), Rng(1), {.classes = 100}))) == 1725616);
    MESSAGE("skipped: DenseNet-100, AlexNet and ResNet-18, which are no networks here");
  }

  TEST_CASE("paper-aqe 2: the weights that a training starts from are 0 nearly everywhere with 2 bits") {
    const auto net = nn::make_network("bnn_convnet_a", nn::relu_activation(), Rng(1));
    for (const auto& [name, most] : std::map<std::string, double>{{"conv2", .051}, {"conv6", .026}, {"fc1", .033}})
      for (const auto& [path, p] : net->named_parameters()) {
        if (path != name + ".weight") continue;
        double largest = 0;
        for (const Real v : p->value.view()) largest = std::max(largest, std::abs(static_cast<double>(v)));
        CHECK(std::abs(largest - most) < 6e-4);
        std::int64_t others = 0;
        const Tensor projected = h(2, p->value);
        for (const Real v : projected.view()) others += v != 0;
        CHECK(static_cast<double>(others) < .03 * static_cast<double>(p->value.numel()));
      }
  }
}
