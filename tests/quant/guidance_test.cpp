// Guided training: the loss between two networks, and which of them it moves.
#include "quant/guidance.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/base/check.h"
#include "core/gradcheck.h"
#include "core/map.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/uniform.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;
using Names = std::vector<std::string>;

namespace {

// round(3 clip(x, 0, 1)) / 3, straight through inside of [0, 1].
Var two_bits(const Var& x) {
  const Tensor v = x.value();
  const auto q = [](Real a) { return std::nearbyint(3 * std::min(std::max(a, Real(0)), Real(1))) / 3; };
  return record("two_bits", map(v, q), {x}, [v](const Tensor& g) -> Gradients {
    return {zip(g, v, [](Real d, Real a) { return a >= 0 && a <= 1 ? d : Real(0); })};
  });
}

const std::vector<Real> kMu{Real(.6917), Real(.1777), Real(-.1426), Real(-.1769), Real(.9386), Real(1.0779)};
const std::vector<Real> kNu{Real(.6066), Real(.7295), Real(.5436), Real(.9351), Real(.8159), Real(.0027)};

/// A float network and a low-bit one beside it, the same start.
struct Couple {
  const Tensor labels_ = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 7});
  std::unique_ptr<nn::Module> student = nn::lenet5(quant::uniform_activation(2, surrogate("clipped_relu")), Rng(1));
  std::unique_ptr<nn::Module> partner = nn::lenet5(nn::relu_activation(), Rng(1));
  optim::Sgd student_step{student->parameters(), {.lr = 0.05, .momentum = 0.9}};
  optim::Sgd partner_step{partner->parameters(), {.lr = 0.05, .momentum = 0.9}};
  Tensor images = nn::uniform({8, 28, 28, 1}, 1, Rng(2));

  quant::Outcome look(nn::Module& net) const {
    const Var logits = net(images);
    return {logits, cross_entropy(logits, labels_)};
  }
};

bool same(const nn::StateDict& a, const nn::StateDict& b) {
  return std::ranges::equal(
      a, b, [](const auto& x, const auto& y) { return std::ranges::equal(x.second.view(), y.second.view()); });
}

bool untouched(nn::Module& net) {
  return std::ranges::all_of(net.parameters(), [](const Parameter* p) {
    return !p->grad().defined() || std::ranges::all_of(p->grad().view(), [](Real g) { return g == 0; });
  });
}

}  // namespace

TEST_SUITE("paper-telcnn") {
  TEST_CASE("paper-telcnn 7.2: the guidance loss of two feature maps and its gradients") {
    const Var mu = Var::leaf(Tensor({2, 3}, kMu)), nu = Var::leaf(Tensor({2, 3}, kNu));
    const Var quantized = two_bits(mu);
    const Var loss = quant::guidance_loss(quantized, nu);
    const double count = 6;  // the loss is a mean, the numbers below belong to the sum
    CHECK(loss.item() * count == doctest::Approx(1.1794).epsilon(1e-3));
    const std::vector<double> q{.6667, .3333, 0, 0, 1, 1};
    const std::vector<double> to_nu{-.0600, .3962, .5436, .9351, -.1841, -.9973};
    const std::vector<double> to_mu{.0600, -.3962, 0, 0, .1841, 0};
    loss.backward();
    for (std::size_t i = 0; i < 6; ++i) {
      CHECK(quantized.value().view()[i] == doctest::Approx(q[i]).epsilon(1e-3));
      const double at_nu = nu.grad().view()[i] * count, at_mu = mu.grad().view()[i] * count;
      CHECK(std::abs(at_nu - to_nu[i]) <= 1e-3);
      CHECK(std::abs(at_mu - to_mu[i]) <= 1e-3);
      CHECK((at_mu == 0) == (to_mu[i] == 0));
      CHECK(std::signbit(at_nu) == std::signbit(to_nu[i]));
    }
  }

  TEST_CASE("paper-telcnn 7.3: each loss reaches its own network, and the update of one leaves the other's bits") {
    for (const std::string& name : quant::guide_names()) {
      CAPTURE(name);
      Couple pair;
      quant::Guidance guidance(*pair.student, *pair.partner, {.guide = name, .weight = 2, .partner_weight = 3},
                               two_bits);
      const auto losses = [&] {
        pair.student_step.zero_grad();
        pair.partner_step.zero_grad();
        return guidance.losses(pair.look(*pair.student), pair.look(*pair.partner));
      };
      losses().student.backward();
      CHECK(untouched(*pair.partner));
      CHECK_FALSE(untouched(*pair.student));
      const nn::StateDict partner = pair.partner->state_dict();
      pair.student_step.step();
      CHECK(same(pair.partner->state_dict(), partner));

      losses().partner.backward();
      CHECK(untouched(*pair.student));
      CHECK_FALSE(untouched(*pair.partner));
      const nn::StateDict student = pair.student->state_dict();
      pair.partner_step.step();
      CHECK(same(pair.student->state_dict(), student));
      CHECK_FALSE(same(pair.partner->state_dict(), partner));
    }
  }

  TEST_CASE("paper-telcnn 7.4: with weight 0 both networks train as each does alone, bit for bit" *
            doctest::test_suite("paper-telcnn long")) {
    const auto train = [](const std::string& guide, double weight) {
      Couple pair;
      const quant::GuidanceOptions options{.guide = guide, .weight = weight, .partner_weight = weight};
      quant::Guidance guidance(*pair.student, *pair.partner, options, two_bits);
      for (int step = 0; step < 4; ++step) {
        pair.student_step.zero_grad();
        pair.partner_step.zero_grad();
        const auto losses = guidance.losses(pair.look(*pair.student), pair.look(*pair.partner));
        losses.student.backward();
        losses.partner.backward();
        pair.student_step.step();
        pair.partner_step.step();
      }
      return std::pair(pair.student->state_dict(), pair.partner->state_dict());
    };
    Couple alone;
    for (int step = 0; step < 4; ++step)
      for (auto [net, optimizer] :
           {std::pair(alone.student.get(), &alone.student_step), std::pair(alone.partner.get(), &alone.partner_step)}) {
        optimizer->zero_grad();
        alone.look(*net).task.backward();
        optimizer->step();
      }
    for (const std::string& guide : quant::guide_names()) {
      CAPTURE(guide);
      const auto [student, partner] = train(guide, 0);
      CHECK(same(student, alone.student->state_dict()));
      CHECK(same(partner, alone.partner->state_dict()));
      const auto [drawn, drawing] = train(guide, 1);
      CHECK_FALSE(same(drawn, student));
      CHECK_FALSE(same(drawing, partner));
    }
  }

  TEST_CASE("guidance: the losses of both networks, written out") {
    Couple pair;
    const quant::GuidanceOptions options{
        .layers = {"act2"}, .weight = 0.5, .partner_weight = 0.25, .task_weight = 2, .partner_task_weight = 3};
    quant::Guidance guidance(*pair.student, *pair.partner, options, two_bits);
    Var nu, mu;
    for (auto [net, place] : {std::pair(pair.student.get(), &nu), std::pair(pair.partner.get(), &mu)})
      for (const auto& [name, module] : net->named_modules())
        if (name == "act2")
          module->register_forward_hook([place = place](nn::Module&, const Var&, const Var& y) { *place = y; });
    const quant::Outcome student = pair.look(*pair.student), partner = pair.look(*pair.partner);
    const auto losses = guidance.losses(student, partner);
    double sum = 0;
    const Tensor q = two_bits(mu).value();
    for (std::int64_t i = 0; i < q.numel(); ++i) {
      const double d = static_cast<double>(q[i]) - static_cast<double>(nu.value()[i]);
      sum += d * d;
    }
    const double r = sum / 2 / static_cast<double>(q.numel());
    CHECK(r > 0.01);
    CHECK(losses.student.item() == doctest::Approx(2 * student.task.item() + 0.5 * r).epsilon(1e-5));
    CHECK(losses.partner.item() == doctest::Approx(3 * partner.task.item() + 0.25 * r).epsilon(1e-5));
  }

  TEST_CASE("guidance on logits: mean squares, and the Kullback-Leibler divergence at a temperature") {
    const Tensor z({2, 3}, {1, 2, Real(0.5), -1, 0, 3}), target({2, 3}, {0, 1, 1, 2, -2, Real(0.5)});
    for (const double t : {1.0, 2.5}) {
      double expected = 0;
      for (int n = 0; n < 2; ++n) {
        double sum_z = 0, sum_t = 0;
        for (int c = 0; c < 3; ++c) {
          sum_z += std::exp(static_cast<double>(z[3 * n + c]) / t);
          sum_t += std::exp(static_cast<double>(target[3 * n + c]) / t);
        }
        for (int c = 0; c < 3; ++c) {
          const double p = std::exp(static_cast<double>(target[3 * n + c]) / t) / sum_t;
          expected += p * std::log(p * sum_z / std::exp(static_cast<double>(z[3 * n + c]) / t));
        }
      }
      CHECK(quant::distillation_loss(z, target, t).item() == doctest::Approx(t * t * expected / 2).epsilon(1e-5));
    }
    CHECK(quant::distillation_loss(z, z, 2).item() == doctest::Approx(0).epsilon(1e-6));
    const Var logits = Var::leaf(z), fixed = Var::leaf(target);
    quant::distillation_loss(logits, fixed, 2).backward();
    CHECK(logits.grad().defined());
    CHECK_FALSE(fixed.grad().defined());
    CHECK_THROWS_AS(quant::distillation_loss(z, target, 0), Error);
    CHECK_THROWS_AS(quant::distillation_loss(z, Tensor({3, 2}), 1), Error);
  }

  TEST_CASE("guidance: the last activations by default, which are what a ResNet's blocks put out") {
    Couple pair;
    CHECK(quant::last_activations(*pair.student, 2) == Names{"act2", "act3"});
    CHECK(quant::last_activations(*pair.student, 9) == Names{"act1", "act2", "act3"});
    const auto narrow = [](const char* name) {
      return nn::make_network(name, nn::relu_activation(), Rng(1), {.width = 4});
    };
    const auto pre = narrow("preresnet20"), post = narrow("resnet20");
    CHECK(quant::last_activations(*pre, 2) == Names{"stages.stage3_block3.act", "act"});
    CHECK(quant::last_activations(*post, 2) == Names{"stages.stage3_block2.act", "stages.stage3_block3.act"});
    std::map<std::string, Tensor> seen;
    for (const auto& [name, module] : post->named_modules())
      module->register_forward_hook(
          [&seen, name = name](nn::Module&, const Var&, const Var& y) { seen[name] = y.value(); });
    (*post)(Tensor({2, 32, 32, 3}, Real(0.5)));
    for (const char* block : {"stages.stage3_block2", "stages.stage3_block3"})
      CHECK(std::ranges::equal(seen[block].view(), seen[cat(block, ".act")].view()));
  }

  TEST_CASE("guidance: layers by name, and what is not there is refused") {
    Couple pair;
    const auto made = [&](const quant::GuidanceOptions& options) {
      quant::Guidance(*pair.student, *pair.partner, options, two_bits);
    };
    CHECK_THROWS_AS(made({.layers = {"act9"}}), UsageError);
    CHECK_THROWS_AS(made({.weight = -1}), Error);
    CHECK_THROWS_AS(made({.temperature = 0}), Error);
    for (const double bad : {std::nan(""), HUGE_VAL}) {
      CHECK_THROWS_AS(made({.weight = bad}), Error);
      CHECK_THROWS_AS(made({.temperature = bad}), Error);
    }
    CHECK_THROWS_AS(made({.guide = "attention"}), UsageError);
    // A pass without gradients, an evaluation say, is not taken for one of the training.
    quant::Guidance guidance(*pair.student, *pair.partner, {}, two_bits);
    {
      const NoGrad constant;
      pair.look(*pair.student);
      pair.look(*pair.partner);
    }
    const quant::Outcome nothing{Tensor({8, 10}), Tensor({}, Real(0))};
    CHECK_THROWS_AS(guidance.losses(nothing, nothing), Error);
  }

  TEST_CASE("guidance: its hooks are gone with it") {
    Couple pair;
    {
      const quant::Guidance guidance(*pair.student, *pair.partner, {}, two_bits);
      CHECK(std::ranges::any_of(pair.student->named_modules(), [](const auto& m) { return m.second->has_hooks(); }));
    }
    CHECK(std::ranges::none_of(pair.student->named_modules(), [](const auto& m) { return m.second->has_hooks(); }));
    CHECK(std::ranges::none_of(pair.partner->named_modules(), [](const auto& m) { return m.second->has_hooks(); }));
  }
}
