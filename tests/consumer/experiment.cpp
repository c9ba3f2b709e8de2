// Does a softsign surrogate train a network of 1-bit weights and 2-bit activations as well as the clipped ReLU does?
//   experiment --ste softsign --seed 3 --out results/softsign.h5
#include <cmath>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "experiments/support/run.h"
#include "nn/networks.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "quant/activations/uniform.h"
#include "quant/quantized_optimizer.h"

using namespace coarsegrad;

int main(int argc, char** argv) {
  // A surrogate is a smooth function and its derivative; from here on --ste knows it by name.
  register_surrogate(
      "softsign", [](auto x, auto) { return x / (1 + std::abs(x)); },
      [](auto x, auto) { return 1 / ((1 + std::abs(x)) * (1 + std::abs(x))); });
  std::string ste = "softsign";
  int bits = 2, epochs = 2, images = 4000;
  double lr = 0.05;
  experiments::Args args("experiment", "Does a softsign surrogate train a binary network as well as the clipped ReLU?");
  args.add("ste", ste, "surrogate of the backward pass", surrogate_names());
  args.add("bits", bits, "bits of the activations", {1, 8});
  args.add("epochs", epochs, "passes over the images", {1, 1000});
  args.add("images", images, "training images", {64, 1000000});
  args.add("lr", lr, "learning rate, falls to 0 along half a cosine", {0, 10});

  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const auto train_loss = log.series("train/loss", "1", "mean cross entropy of a batch");
    log.start();
    const Rng rng(args.seed());  // the only source of randomness, split by name
    const auto digits = datasets::drawn_digits(images, args.seed());
    const auto net = nn::lenet5(quant::uniform_activation(bits, surrogate(ste)), rng.split("net"));
    quant::WeightRule binary(*net, {"binary"});
    datasets::DataLoader loader(digits, {.batch_size = 64, .seed = args.seed()});
    optim::Sgd sgd(net->parameters(), {.lr = lr, .momentum = 0.9});
    quant::QuantizedOptimizer optimizer(sgd, *net, {.weights = &binary}, {loader.batches_per_epoch(), epochs});
    const auto rate = optim::cosine(lr, epochs * loader.batches_per_epoch());
    std::int64_t step = 0;
    for (int epoch = 0; epoch < epochs; ++epoch)
      for (const auto& batch : loader.epoch(epoch)) {
        experiments::check_stop();  // Ctrl-C ends the run cleanly here
        optimizer.lr = rate(step);
        optimizer.zero_grad();  // makes the weights that the network computes with
        const Var loss = cross_entropy((*net)(batch["image"]), batch["label"]);
        train_loss.add(step++, experiments::check_finite("loss", loss.item()));
        loss.backward();   // through the hard quantizer with the surrogate's derivative
        optimizer.step();  // moves their float copies
      }
  });
}
