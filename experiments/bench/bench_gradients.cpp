// What do quantized gradients cost a training step? Steps with each quantizer take turns with steps without
// one.
//   bench_gradients --net resnet20 --threads 2
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "experiments/bench/kernel_flag.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/quantized_optimizer.h"

using namespace coarsegrad;
using experiments::number;

namespace {

struct Setting {
  std::string name;
  Part gradients;
  quant::LayerExceptions exceptions = {};
};
std::vector<Setting> settings() {
  std::vector<Setting> all{{"float", {"none"}},
                           {"dorefa 6 bits", {"dorefa"}, quant::LayerExceptions({"first: float", "last: float"})}};
  for (const char* name : {"ptq", "psq", "bhq"}) all.push_back({cat(name, " 5 bits, weights ptq 8 bits"), {name}});
  return all;
}

struct Training {
  std::unique_ptr<nn::Module> net;
  Tensor images, labels;
  optim::Sgd sgd;

  Training(const std::string& name, std::int64_t batch, const Rng& rng)
      : net(nn::make_network(name, nn::relu_activation(), rng.split("net"))),
        sgd(net->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4}) {
    const Shape image = nn::network_input(name);
    images = Tensor::uninitialized({batch, image[0], image[1], image[2]});
    rng.split("images").normal(images.mutable_data(), static_cast<std::size_t>(images.numel()));
    Rng draw = rng.split("labels");
    labels = Tensor::uninitialized({batch}, ElementType::int32);
    for (std::int64_t i = 0; i < batch; ++i)
      labels.mutable_data_of<std::int32_t>()[i] = static_cast<std::int32_t>(draw.below(10));
  }

  double step_seconds(const Setting& setting) {
    std::unique_ptr<quant::GradientRule> rule;
    if (setting.gradients.name != "none")
      rule = std::make_unique<quant::GradientRule>(*net, quant::gradient_rules().make(setting.gradients), Rng(1),
                                                   setting.exceptions);
    quant::QuantizedOptimizer optimizer(sgd, *net, {.gradients = rule.get()}, {1, 1});
    const auto start = std::chrono::steady_clock::now();
    optimizer.zero_grad();
    const Var loss = cross_entropy((*net)(images), labels);
    loss.backward();
    optimizer.step();
    experiments::check_finite("loss", loss.item());
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
};

double median(std::vector<double> times) {
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

}  // namespace

int main(int argc, char** argv) {
  std::string net = "resnet20", kernels = "auto";
  int batch = 128, steps = 15;
  experiments::Args args("bench_gradients", "Duration of a training step with quantized gradients.");
  args.add("net", net, "the network", nn::network_names());
  args.add("batch", batch, "images per step", {1, 65536});
  args.add("steps", steps, "timed steps of each kind, after 3 that are not", {1, 100000});
  experiments::declare_kernels(args, kernels);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    const std::vector<Setting> kinds = settings();
    std::vector<std::string> names;
    for (const Setting& s : kinds) names.push_back(s.name);
    const auto results = log.table("steps", {{"gradients", "1", "quantizer of the gradients", names},
                                             {"seconds", "s", "median duration of a step"},
                                             {"share", "1",
                                              "median of what it adds to the float step of the "
                                              "same turn, over that step's duration"}});
    Training training(net, batch, Rng(args.seed()));
    log.start();
    const FlushDenormals flush;
    std::vector<std::vector<double>> times(kinds.size()), shares(kinds.size());
    for (int step = 0; step < 3 + steps; ++step) {
      double plain = 0;
      for (std::size_t k = 0; k < kinds.size(); ++k) {
        experiments::check_stop();
        const double t = training.step_seconds(kinds[k]);
        if (k == 0) plain = t;
        if (step < 3) continue;
        times[k].push_back(t);
        shares[k].push_back((t - plain) / plain);
      }
    }
    std::printf("%s, batch %d, %d threads, table %s\n", net.c_str(), batch, args.threads(), active_kernels().name);
    experiments::TextTable table({"gradients", "step ms", "more than float %"});
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      results.add({static_cast<double>(k), median(times[k]), median(shares[k])});
      table.row(names[k], number(median(times[k]) * 1e3, 4), number(100 * median(shares[k]), 3));
    }
    std::fputs(table.str().c_str(), stdout);
  });
}
