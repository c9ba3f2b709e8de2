// Hooks of normalisations and activations: always called, with the right values, and without a trace in the numbers.
#include "nn/activation.h"

#include <doctest/doctest.h>

#include <functional>
#include <map>

#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/sign.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;

namespace {

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

struct Step {
  std::vector<std::vector<Real>> numbers;  // loss, gradients, buffers
  std::map<std::string, int> calls;
};

enum class Hooks { none, that_look, that_read };

// Two steps' worth of a network's numbers in training, then one pass of evaluation.
Step run(const std::string& net_name, const nn::MakeActivation& activation, nn::Shortcut shortcut, Hooks hooks) {
  const auto net = nn::make_network(net_name, activation, Rng(1), {.classes = 5, .width = 8, .shortcut = shortcut});
  Step step;
  if (hooks != Hooks::none)
    for (const auto& [name, module] : net->named_modules())
      module->register_forward_hook([&step, hooks, name = name](nn::Module&, const Var& x, const Var& y) {
        ++step.calls[name];
        if (hooks != Hooks::that_read) return;
        CHECK(x.value().data() != nullptr);
        CHECK(y.value().data() != nullptr);
      });
  const Shape image = nn::network_input(net_name);
  const Var images = nn::uniform({4, image[0], image[1], image[2]}, 1, Rng(2));
  for (int i = 0; i < 2; ++i) {
    const Var loss = sum(square((*net)(images)));
    loss.backward();
    step.numbers.push_back(values(loss.value()));
  }
  for (const auto& [name, p] : net->named_parameters())
    if (p->grad().defined()) step.numbers.push_back(values(p->grad()));
  for (const auto& [name, buffer] : net->named_buffers()) step.numbers.push_back(values(*buffer));
  net->eval();
  step.numbers.push_back(values((*net)(images).value()));
  return step;
}

}  // namespace

TEST_CASE("hooks of every module are called, and networks have the bits that they have without hooks" *
          doctest::test_suite("long")) {
  struct Row {
    const char* net;
    nn::Shortcut shortcut;
  };
  const Row rows[] = {{"lenet5", nn::Shortcut::subsample},
                      {"vgg11", nn::Shortcut::subsample},
                      {"resnet20", nn::Shortcut::subsample},
                      {"resnet20", nn::Shortcut::projection},
                      {"preresnet20", nn::Shortcut::projection}};
  const std::pair<const char*, nn::MakeActivation> activations[] = {
      {"relu", nn::relu_activation()},
      {"clipped_relu, 4 bits", quant::uniform_activation(4, surrogate("clipped_relu"))},
      {"sign, triangular",
       [](const std::string&) { return std::make_unique<quant::SignActivation>(surrogate("triangular")); }},
      {"lsq", [](const std::string&) {
         return std::make_unique<quant::LearnedStepActivation>(quant::LearnedStepOptions{.bits = 2});
       }}};
  for (const Row& row : rows)
    for (const auto& [key, activation] : activations) {
      const std::string name = key;
      INFO(row.net, " ", name);
      const Step plain = run(row.net, activation, row.shortcut, Hooks::none);
      for (const Hooks hooks : {Hooks::that_look, Hooks::that_read}) {
        const Step seen = run(row.net, activation, row.shortcut, hooks);
        CHECK(seen.numbers == plain.numbers);
        const auto net = nn::make_network(row.net, activation, Rng(1), {.width = 8, .shortcut = row.shortcut});
        const bool one_act_twice = std::string(row.net).ends_with("resnet20");
        for (const auto& [key_of_module, module] : net->named_modules()) {
          const std::string& path = key_of_module;
          const bool in_block = path.starts_with("stages.") && path.ends_with(".act");
          CAPTURE(path);
          CHECK(seen.calls.at(path) == 3 * (one_act_twice && in_block ? 2 : 1));
        }
      }
    }
}

TEST_CASE("hooks of a normalisation and of the activation behind it see the values of the formulas") {
  for (const bool with_shortcut : {false, true}) {
    nn::BatchNorm norm(8);
    nn::ReLU act;
    norm.running_mean = nn::uniform({8}, 1, Rng(1));
    norm.scale->value = nn::uniform({8}, 2, Rng(2));
    norm.eval();
    const Tensor x = nn::uniform({3, 2, 2, 8}, 3, Rng(3)), shortcut = nn::uniform({3, 2, 2, 8}, 1, Rng(4));
    int called = 0;
    norm.register_forward_hook([&](nn::Module&, const Var& in, const Var& out) {
      ++called;
      for (std::int64_t i = 0; i < x.numel(); ++i) {
        CHECK(in.value()[i] == x[i]);
        const double inv_std = 1 / std::sqrt(1 + 1e-5);
        CHECK(static_cast<double>(out.value()[i]) ==
              doctest::Approx((x[i] - norm.running_mean[i % 8]) * inv_std * norm.scale->value[i % 8]).epsilon(1e-4));
      }
    });
    Tensor seen;
    act.register_forward_hook([&](nn::Module&, const Var& in, const Var& out) {
      ++called;
      seen = in.value();
      for (std::int64_t i = 0; i < x.numel(); ++i) CHECK(out.value()[i] == std::max(in.value()[i], Real(0)));
    });
    const Var t = norm(x);
    act(with_shortcut ? t + shortcut : t);
    CHECK(called == 2);
    for (std::int64_t i = 0; i < x.numel(); ++i)
      CHECK(seen[i] == (with_shortcut ? t.value()[i] + shortcut[i] : t.value()[i]));
  }
}

TEST_CASE("a gradient that a hook draws from a normalisation's output is added to that of the activation") {
  const auto gradients = [](bool through_hook) {
    nn::Sequential net;
    auto& norm = net.add<nn::BatchNorm>("norm", 8);
    auto& act = net.add<nn::ReLU>("act");
    const Var x = Var::leaf(nn::uniform({6, 8}, 2, Rng(1)));
    Var penalty;
    norm.register_forward_hook([&](nn::Module&, const Var&, const Var& t) { penalty = sum(square(t)); });
    Var loss;
    if (through_hook) {
      loss = sum(exp(net(x))) + penalty;
    } else {
      const Var t = norm.forward(x), in_memory = t * Var(Real(1));
      loss = sum(exp(act.forward(in_memory))) + sum(square(in_memory));
    }
    loss.backward();
    return std::vector{values(x.grad()), values(norm.scale->grad()), values(norm.shift->grad())};
  };
  CHECK(gradients(true) == gradients(false));
}

TEST_CASE("a block of a user's own that reads a normalisation twice has the bits of one that keeps it in memory") {
  class Block : public nn::Module {
   public:
    explicit Block(bool in_memory)
        : in_memory_(in_memory),
          norm_(register_module<nn::BatchNorm>("norm", 8)),
          act_(register_module<nn::ReLU>("act")) {}
    Var forward(const Var& x) override {
      Var t = norm_(x);
      if (in_memory_) t = t * Var(Real(1));
      return act_(t) * t + act_(t + x);
    }

   private:
    const bool in_memory_;
    nn::BatchNorm& norm_;
    nn::ReLU& act_;
  };
  const auto numbers = [](bool in_memory) {
    Block block(in_memory);
    const Var x = Var::leaf(nn::uniform({5, 3, 3, 8}, 2, Rng(1)));
    const Var y = block(x);
    y.backward(nn::uniform(y.shape(), 1, Rng(2)));
    std::vector<std::vector<Real>> all{values(y.value()), values(x.grad())};
    for (const Parameter* p : block.parameters()) all.push_back(values(p->grad()));
    return all;
  };
  CHECK(numbers(false) == numbers(true));
}
