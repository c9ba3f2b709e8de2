// Step 4: a method of one's own. A part that there is not yet is a class with options; the rest is an expression.
#include <cstdio>

#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/assembly.h"

using namespace coarsegrad;

struct DecayOptions {
  double share = 0.001;
};
void describe(OptionVisitor& v, DecayOptions& o) { v.number({"share", "1", "taken by a step"}, o.share, {0, 1}); }
struct Decay : quant::Relaxation, DecayOptions {  // float weights shrink a little before each step of the optimizer
  explicit Decay(const DecayOptions& o) : DecayOptions(o) {}
  std::string name() const override { return "decay"; }
  void before_step(const Tensor&, Tensor& w) override { w = (Var(w) * Real(1 - share)).value(); }
};

int main() {
  quant::relaxations().add("decay", "own", DecayOptions{}, [](const auto& o) { return std::make_unique<Decay>(o); });
  const quant::Method method{.weights = {"twn"}, .relaxation = {"decay", DecayOptions{.share = 0.0005}}};
  const auto lenet5 = [](const auto& activation) { return nn::lenet5(activation, Rng(1)); };
  auto sgd = [](auto p) { return std::make_unique<optim::Sgd>(p, optim::SgdOptions{.lr = 0.05, .momentum = 0.9}); };
  const auto a = quant::assemble({.method = method, .network = lenet5, .input = {28, 28, 1}, .optimizer = sgd});
  const auto digits = datasets::drawn_digits(1280, 1);
  datasets::DataLoader loader(digits, {.batch_size = 64});
  quant::QuantizedOptimizer optimizer(*a.optimizer, *a.net, a.quantized(), {loader.batches_per_epoch(), 3});
  for (int epoch = 0; epoch < 3; ++epoch)
    for (const auto& batch : loader.epoch(epoch)) {
      optimizer.zero_grad();
      const Var loss = cross_entropy((*a.net)(batch["image"]), batch["label"]);
      if (batch.index == 0) std::printf("epoch %d, loss %.2f\n", epoch, double(loss.item()));
      loss.backward();
      optimizer.step();
    }
}
