// How many images a second does a training step take in, in which pass does the time go, and how much memory?
//   bench_train --net lenet5 --batch 128 --steps 10 --activations 2
//   bench_train --net vgg11 --weights 1 --activations 1 --activation sign
//   bench_train --net resnet20 --weights 8 --activations 8 --gradients ptq --gradients.bits 8
// The last one multiplies integers in all three products of a layer; with --no-gradients.integer in the forward pass
// alone.
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
#include "quant/gradients/gradient_rule.h"
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

// Names of the parts of a catalogue that have bits.
std::vector<std::string> with_bits(const PartCatalogue& parts) {
  auto names = parts.names();
  std::erase_if(names, [&parts](const std::string& name) { return !parts.part(name).options.has("bits"); });
  return names;
}

struct Problem {
  std::unique_ptr<nn::Module> net;
  std::unique_ptr<quant::WeightRule> rule;  // null: float weights
  Tensor images;
  Tensor labels;
};

std::unique_ptr<quant::WeightRule> rule_for(nn::Module& net, const std::string& bits, const std::string& projection) {
  if (bits == "float") return nullptr;
  const int b = std::stoi(bits);
  if (projection != "bcgd")
    return std::make_unique<quant::WeightRule>(net, quant::weight_projections().part(projection).with("bits", b));
  return std::make_unique<quant::WeightRule>(
      net, quant::weight_projections().part(b <= 2 ? "exact" : "lloyd").with("bits", b), Part{"blend"},
      quant::LayerExceptions({"last: weights=float"}));
}

Problem make_problem(const std::string& net, int batch, const std::string& weights, const std::string& projection,
                     const nn::MakeActivation& activation, const Rng& rng) {
  const Shape image = nn::network_input(net);
  Problem p{nn::make_network(net, activation, rng.split("net")), nullptr,
            Tensor::uninitialized({batch, image[0], image[1], image[2]}),
            Tensor::uninitialized({batch}, ElementType::int32)};
  p.rule = rule_for(*p.net, weights, projection);
  rng.split("images").normal(p.images.mutable_data(), static_cast<std::size_t>(p.images.numel()));
  Rng labels = rng.split("labels");
  for (int i = 0; i < batch; ++i)
    p.labels.mutable_data_of<std::int32_t>()[i] = static_cast<std::int32_t>(labels.below(10));
  return p;
}

// Seconds of a training step, and of its passes.
struct StepTime {
  double step, forward, backward;
};

StepTime time_step(Problem& p, optim::Optimizer& optimizer) {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto start = Clock::now();
  optimizer.zero_grad();
  const auto before = Clock::now();
  const Var loss = cross_entropy((*p.net)(p.images), p.labels);
  const auto between = Clock::now();
  loss.backward();
  const auto after = Clock::now();
  optimizer.step();
  experiments::check_finite("loss", loss.item());
  return {seconds(Clock::now() - start), seconds(between - before), seconds(after - between)};
}

// The median of f(time) over all steps.
template <class F>
double median_of(const std::vector<StepTime>& times, F f) {
  std::vector<double> values;
  for (const StepTime& t : times) values.push_back(f(t));
  return experiments::timing_of(std::move(values)).median;
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

std::vector<std::string> kernel_tables() {
  std::vector<std::string> names{"auto"};
  for (const Kernels* table : all_kernels()) names.emplace_back(table->name);
  return names;
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
  std::string net = "lenet5", weights = "float", projection = "bcgd", activations = "float", activation = "uniform",
              kernels = "auto";
  Part gradients{"none"};
  int batch = 128, steps = 10;
  bool sgemm = false;
  experiments::Args args("bench_train", "Training throughput of a network on random images: one process, one figure.");
  args.add("net", net, "the network", nn::network_names());
  args.add("batch", batch, "images per step", {1, 65536});
  args.add("steps", steps, "timed steps, after 3 that are not", {1, 100000});
  std::vector<std::string> projections = with_bits(quant::weight_projections());
  projections.insert(projections.begin(), "bcgd");
  args.add("weights", weights, "bits of the weights", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("projection", projection, "kind of the quantized weights; bcgd: of the inner layers, blended", projections);
  args.add_need({"projection"}, "weights", "without --weights", [&weights] { return weights != "float"; });
  args.add("activations", activations, "bits of the activations", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("activation", activation, "kind of the quantized activations", with_bits(quant::activations()));
  args.add_need({"activation"}, "activations", "without --activations",
                [&activations] { return activations != "float"; });
  args.add("gradients", gradients, "how gradients are quantized on their way back through layers",
           quant::gradient_rules());
  args.add("kernels", kernels, "kernel table", kernel_tables());
  args.add("sgemm", sgemm, "also the rate of a large float matrix product, as a scale");
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    const auto seconds = log.series("step_seconds", "s", "duration of one training step");
    const auto forward = log.series("forward_seconds", "s", "duration of its forward pass, the loss included");
    const auto backward = log.series("backward_seconds", "s", "duration of its backward pass");
    const double before = peak_mib();
    Problem problem =
        make_problem(net, batch, weights, projection, activation_for(activation, activations), Rng(args.seed()));
    std::unique_ptr<quant::GradientRule> gradient_rule;
    if (gradients.name != "none")
      gradient_rule = std::make_unique<quant::GradientRule>(*problem.net, quant::gradient_rules().make(gradients),
                                                            Rng(args.seed()).split("gradients"));
    optim::Sgd sgd(problem.net->parameters(), {.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4});
    quant::QuantizedOptimizer optimizer(
        sgd, *problem.net, {.weights = problem.rule.get(), .gradients = gradient_rule.get()}, {3 + steps, 1});
    const FlushDenormals flush;
    for (int i = 0; i < 3; ++i) time_step(problem, optimizer);
    std::vector<StepTime> times;
    for (int i = 0; i < steps; ++i) times.push_back(time_step(problem, optimizer));
    log.start();
    std::vector<double> whole;
    for (int i = 0; i < steps; ++i) {
      const StepTime& step = times[static_cast<std::size_t>(i)];
      seconds.add(i, step.step);
      forward.add(i, step.forward);
      backward.add(i, step.backward);
      whole.push_back(step.step);
    }
    const experiments::Timing t = experiments::timing_of(std::move(whole));
    const double peak = peak_mib() - before;
    std::printf(
        "%s batch %d weights=%s activations=%s gradients=%s kernels=%s threads=%d: median step %.2f ms, min %.2f, max "
        "%.2f, "
        "gflop_per_second=%.1f images_per_second=%.1f peak_mib=%.1f forward_ms=%.2f backward_ms=%.2f "
        "of_free_forward=%.3f\n",
        net.c_str(), batch, weights.c_str(), activations.c_str(), gradients.name.c_str(), active_kernels().name,
        args.threads(), t.median * 1e3, t.min * 1e3, t.max * 1e3,
        step_gflop(problem, nn::network_input(net), batch) / t.median, batch / t.median, peak,
        1e3 * median_of(times, [](const StepTime& s) { return s.forward; }),
        1e3 * median_of(times, [](const StepTime& s) { return s.backward; }),
        median_of(times, [](const StepTime& s) { return (s.step - s.forward) / s.step; }));
    if (sgemm) std::printf("sgemm_gflop_per_second=%.1f\n", sgemm_rate(2048));
  });
}
