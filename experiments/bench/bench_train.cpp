// How many images a second does a training step take in, and how much memory?
//   bench_train --net lenet5 --batch 128 --steps 10 --activations 2
#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "core/matrix_product.h"
#include "core/ops.h"
#include "experiments/support/run.h"
#include "experiments/support/timing.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/evaluation_scope.h"
#include "quant/quantized_optimizer.h"
#include "quant/summary.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;

namespace {

// Largest resident memory so far, in MiB.
double peak_mib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024;
}

nn::MakeActivation activation_for(const std::string& name, const std::string& bits) {
  if (bits == "float") return nn::relu_activation();
  return quant::make_activation(quant::activations().part(name).with("bits", std::stoi(bits)));
}

std::vector<std::string> quantized_activations() {
  auto names = quant::activations().names();
  std::erase_if(names, [](const std::string& name) { return !quant::activations().part(name).options.has("bits"); });
  return names;
}

struct Problem {
  std::unique_ptr<nn::Module> net;
  std::unique_ptr<quant::WeightRule> rule;  // null: float weights
  Tensor images;
  Tensor labels;
};

std::unique_ptr<quant::WeightRule> rule_for(nn::Module& net, const std::string& bits) {
  if (bits == "float") return nullptr;
  const int b = std::stoi(bits);
  return std::make_unique<quant::WeightRule>(
      net, quant::weight_projections().part(b <= 2 ? "exact" : "lloyd").with("bits", b), Part{"blend"},
      quant::LayerExceptions({"last: weights=float"}));
}

Problem make_problem(const std::string& net, int batch, const std::string& weights,
                     const nn::MakeActivation& activation, const Rng& rng) {
  const Shape image = nn::network_input(net);
  Problem p{nn::make_network(net, activation, rng.split("net")), nullptr,
            Tensor::uninitialized({batch, image[0], image[1], image[2]}),
            Tensor::uninitialized({batch}, ElementType::int32)};
  p.rule = rule_for(*p.net, weights);
  rng.split("images").normal(p.images.mutable_data(), static_cast<std::size_t>(p.images.numel()));
  Rng labels = rng.split("labels");
  for (int i = 0; i < batch; ++i)
    p.labels.mutable_data_of<std::int32_t>()[i] = static_cast<std::int32_t>(labels.below(10));
  return p;
}

double step_seconds(Problem& p, optim::Optimizer& optimizer) {
  const auto start = std::chrono::steady_clock::now();
  optimizer.zero_grad();
  const Var loss = cross_entropy((*p.net)(p.images), p.labels);
  loss.backward();
  optimizer.step();
  experiments::check_finite("loss", loss.item());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Operations of a step, in units of 1e9: a multiplication and an addition for each of the three products of a
// layer, but for the first layer's gradient of the images, which nobody needs.
double step_gflop(const Problem& p, const Shape& image, int batch) {
  const quant::EvaluationScope deployed(*p.net, p.rule.get());
  double macs = 0, first = 0;
  for (const quant::LayerSummary& layer : quant::summarize(*p.net, image).layers) {
    if (first == 0) first = static_cast<double>(layer.macs);
    macs += static_cast<double>(layer.macs);
  }
  return 2e-9 * batch * (3 * macs - first);
}

// GFLOP/s of the float matrix product of this size, all sides alike.
double sgemm_rate(std::int64_t n) {
  const std::vector<float> a(static_cast<std::size_t>(n * n), 0.5F), b = a;
  std::vector<float> c = a;
  const double work = 2 * std::pow(static_cast<double>(n), 3);
  return experiments::time_of([&] {
           matrix_product<float>(n, n, n, {a.data(), n}, {b.data(), n}, c.data(), n);
         })
      .rate(work);
}

}  // namespace

int main(int argc, char** argv) {
  std::string net = "lenet5", weights = "float", activations = "float", activation = "uniform", kernels = "auto";
  int batch = 128, steps = 10;
  bool sgemm = false;
  experiments::Args args("bench_train", "Training throughput of a network on random images: one process, one figure.");
  args.add("net", net, "the network", nn::network_names());
  args.add("batch", batch, "images per step", {1, 65536});
  args.add("steps", steps, "timed steps, after 3 that are not", {1, 100000});
  args.add("weights", weights, "bits of the weights (BCGD)", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("activations", activations, "bits of the activations", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("activation", activation, "kind of the quantized activations", quantized_activations());
  args.add_need({"activation"}, "activations", "without --activations",
                [&activations] { return activations != "float"; });
  args.add("kernels", kernels, "kernel table", {"auto", "scalar", "avx2", "avx512", "avx512vnni"});
  args.add("sgemm", sgemm, "also the rate of a large float matrix product, as a scale");
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    const auto seconds = log.series("step_seconds", "s", "duration of one training step");
    const double before = peak_mib();
    Problem problem = make_problem(net, batch, weights, activation_for(activation, activations), Rng(args.seed()));
    optim::Sgd sgd(problem.net->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4});
    quant::QuantizedOptimizer optimizer(sgd, *problem.net, {.weights = problem.rule.get()}, {3 + steps, 1});
    const FlushDenormals flush;
    for (int i = 0; i < 3; ++i) step_seconds(problem, optimizer);
    std::vector<double> times;
    for (int i = 0; i < steps; ++i) times.push_back(step_seconds(problem, optimizer));
    log.start();
    for (int i = 0; i < steps; ++i) seconds.add(i, times[static_cast<std::size_t>(i)]);
    const experiments::Timing t = experiments::timing_of(std::move(times));
    const double peak = peak_mib() - before;
    std::printf(
        "%s batch %d weights=%s activations=%s kernels=%s threads=%d: median step %.2f ms, min %.2f, max "
        "%.2f, "
        "gflop_per_second=%.1f images_per_second=%.1f peak_mib=%.1f\n",
        net.c_str(), batch, weights.c_str(), activations.c_str(), active_kernels().name, args.threads(), t.median * 1e3,
        t.min * 1e3, t.max * 1e3, step_gflop(problem, nn::network_input(net), batch) / t.median, batch / t.median,
        peak);
    if (sgemm) std::printf("sgemm_gflop_per_second=%.1f\n", sgemm_rate(2048));
  });
}
