// Step 4: a method of one's own. A part that there is not yet is a class with options; the rest is an expression.
#include <cstdio>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/assembly.h"
#include "quant/weights/relaxation.h"

using namespace coarsegrad;

struct DecayOptions {
  double share = 0.001;
};
void describe(OptionVisitor& v, DecayOptions& o) {
  v.number({"share", "1", "what a step takes of them"}, o.share, {0, 1});
}

// Float weights shrink a little after each step of the optimizer.
struct Decay : quant::Relaxation {
  explicit Decay(const DecayOptions& o) : keep(static_cast<Real>(1 - o.share)) {}
  std::string name() const override { return "decay"; }
  void after_step(quant::WeightProjection&, double, Tensor& w) override {
    for (std::int64_t i = 0; i < w.numel(); ++i) w.mutable_data()[i] *= keep;
  }
  const Real keep;
};

std::unique_ptr<quant::Relaxation> decay(const DecayOptions& o) { return std::make_unique<Decay>(o); }
std::unique_ptr<nn::Module> lenet5(const nn::MakeActivation& activation) { return nn::lenet5(activation, Rng(1)); }
std::unique_ptr<optim::Optimizer> sgd(std::vector<Parameter*> all) {
  return std::make_unique<optim::Sgd>(std::move(all), optim::SgdOptions{.lr = 0.05, .momentum = 0.9});
}

int main() {
  quant::relaxations().add("decay", "this tutorial", DecayOptions{}, decay);  // flags and files would know it, too
  const quant::Method method{.weights = {"twn"}, .relaxation = {"decay", DecayOptions{.share = 0.0005}}};
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
