// Which straight-through estimator trains LeNet-5 with quantized activations best?
//   mnist_ste --data data --ste identity,relu,clipped_relu --bits 2,4 --seeds 3 --out results/mnist_ste.h5
// Pre-trains the float net once, then fine-tunes one net per (STE, bits, seed) from it. Every finished cell
// is kept in the folder FILE.h5.cells beside the log; a sweep that was broken off goes on at the first
// unfinished one. After Yin, Lyu, Zhang, Osher, Qi, Xin, ICLR 2019 (arXiv 1903.05662), section 4.
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "datasets/mnist.h"
#include "datasets/synthetic.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run.h"
#include "experiments/training/comparison.h"
#include "nn/networks.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string digits = "mnist", data = "data", verify = "checksums";
  std::vector<std::string> ste{"identity", "relu", "clipped_relu"};
  std::vector<int> bits{2, 4};
  int images = 60000, held_out = 5000;
  int seeds = 3, float_epochs = 10;
  double float_lr = 0.05;
  OptimSettings optim = {.schedule = "cosine", .epochs = 10, .batch = 64, .lr = 0.1, .weight_decay = 0};
};

void declare(Args& args, Settings& s) {
  args.add("digits", s.digits, "mnist, or digits drawn by the program: for a first try without a download",
           {"mnist", "drawn"});
  args.add("data", s.data, "folder that holds mnist/ (datasets/download mnist makes it)");
  declare_verify(args, s.verify);
  args.add("ste", s.ste, "straight-through estimators", surrogate_names());
  args.add("bits", s.bits, "bits of the activations", {1, 8});
  args.add("seeds", s.seeds, "fine-tuning runs per (STE, bits): seeds 1 to this", {1, 1000});
  args.add("float-epochs", s.float_epochs, "epochs of the float net", {1, 10000});
  args.add("images", s.images, "training images to use, the first ones; a tenth as many test images if drawn",
           {100, 60000});
  args.add("held-out", s.held_out, "training images set aside to choose the best epoch", {1, 59000});
  args.add("float-lr", s.float_lr, "learning rate of the float net, the largest of the same schedule", {0, 10});
  declare(args, s.optim);
  args.add_need({"data"}, "digits", "without --digits mnist", [&s] { return s.digits == "mnist"; });
}

datasets::TrainTest load_digits(const Settings& s, std::uint64_t seed) {
  if (s.digits == "drawn")
    return {datasets::drawn_digits(s.images, seed), datasets::drawn_digits(s.images / 10, seed, 1)};
  datasets::TrainTest mnist = datasets::load_mnist(s.data, datasets::verify(s.verify));
  return {first_images(mnist.train, s.images), std::move(mnist.test)};
}

SplitData load(const Settings& s, std::uint64_t seed) {
  check_usage(s.held_out + s.optim.batch <= s.images, "mnist_ste: given ", s.images, " images, ", s.held_out,
              " of them held out, expected at least a batch of ", s.optim.batch, " to be left");
  return split(load_digits(s, seed), s.held_out, seed, s.digits == "drawn" ? "drawn_digits" : "mnist");
}

void run_sweep(const Settings& s, const Args& args, RunLog& log) {
  const SplitData data = load(s, args.seed());
  Comparison comparison(
      args, log, {{"ste", "1", "straight-through estimator", s.ste}, {"bits", "bit", "bits of the activations"}});
  const Sweep sweep(cells_folder(args.out()), cell_settings(args, {"ste", "bits", "seeds"}));
  log.start();
  CellPlan float_plan;
  float_plan.name = "float";
  float_plan.net.net = "lenet5";
  float_plan.seed = args.seed();
  float_plan.optim = s.optim;
  float_plan.optim.epochs = s.float_epochs;
  float_plan.optim.lr = s.float_lr;
  const auto float_net = [&](const nn::MakeActivation& activation) {
    return nn::lenet5(activation, Rng(args.seed()).split("lenet5"));
  };
  comparison.add_float(train_cell(sweep, float_plan, data, float_net, args.quiet()));
  for (int seed = 1; seed <= s.seeds; ++seed)
    for (const int bits : s.bits)
      for (std::size_t i = 0; i < s.ste.size(); ++i) {
        CellPlan plan;
        plan.name = cat(s.ste[i], "-", bits, "bit-seed", seed);
        plan.net.net = "lenet5";
        plan.method.activations = {"uniform", quant::UniformOptions{.bits = bits, .surrogate = s.ste[i]}};
        plan.seed = static_cast<std::uint64_t>(seed);
        plan.optim = s.optim;
        const auto start = [&](const nn::MakeActivation& activation) {
          auto net = nn::lenet5(activation, Rng(args.seed()));
          load_network(sweep.network("float"), *net);
          return net;
        };
        comparison.add({static_cast<double>(i), static_cast<double>(bits)}, seed,
                       train_cell(sweep, plan, data, start, args.quiet()));
      }
  std::printf("%s", comparison.report().c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("mnist_ste", "Which straight-through estimator trains LeNet-5 with quantized activations best?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { run_sweep(s, args, log); });
}
