// What do quantized weights cost a training step? Projecting all weights of a network, making their values,
// and what the relaxation does around the optimizer's step.
//   bench_projection --net resnet20,vgg11 --threads 2
#include <cstdio>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "experiments/bench/kernel_flag.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"
#include "nn/networks.h"
#include "quant/quantized_optimizer.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using experiments::number, experiments::Timing;

namespace {

struct Setting {
  const char* projection;
  int bits;
  bool per_channel = false;
  const char* relaxation = "none";
  std::string name() const {
    return cat(projection, " ", bits, bits == 1 ? " bit" : " bits", per_channel ? ", per channel" : "",
               relaxation == std::string("none") ? "" : cat(", ", relaxation));
  }
};
const Setting kSettings[] = {{"binary", 1},
                             {"sign", 1},
                             {"ternary", 2},
                             {"twn", 2},
                             {"lloyd", 4},
                             {"warm_lloyd", 4},
                             {"exact", 4},
                             {"exact", 8},
                             {"binary", 1, true},
                             {"xnor", 1},
                             {"ternary", 2, true},
                             {"warm_lloyd", 4, true},
                             {"exact", 4, true},
                             {"binary", 1, false, "blend"},
                             {"binary", 1, false, "relax"},
                             {"binary", 1, false, "prox"},
                             {"binary", 1, false, "prox_squared"},
                             {"fixed_levels", 1, false, "mix"},
                             {"binary", 1, false, "clip"},
                             {"dorefa", 1},
                             {"dorefa", 2},
                             {"dorefa", 8},
                             {"lsq", 2},
                             {"lsq", 8},
                             {"power_of_two", 2},
                             {"power_of_two", 4},
                             {"power_of_two", 6},
                             {"power_of_two", 4, true},
                             {"power_of_two_exact", 4},
                             {"power_of_two_exact", 6},
                             {"power_of_two_exact", 4, true},
                             {"fixed_levels", 1},
                             {"fixed_levels", 3}};

// Moves nothing, so that what is done around its step is all that is timed.
class Still : public optim::Optimizer {
 public:
  explicit Still(std::vector<Parameter*> parameters) : Optimizer(0.1), parameters_(std::move(parameters)) {}
  std::vector<Parameter*> parameters() const override { return parameters_; }
  void step() override {}
  void check_step() override {}
  State state() const override { return {}; }
  void load_state(const State&) override {}

 private:
  std::vector<Parameter*> parameters_;
};

// What is timed of a weight rule, each part with the projection that it follows from.
struct Times {
  Timing project, values, step;
  double around_step() const { return step.median - project.median; }
};
Times times_of(nn::Module& net, const Setting& s) {
  Part projection = quant::weight_projections().part(s.projection).with("bits", s.bits);
  if (s.per_channel) projection.options.set("per-channel", true);
  quant::WeightRule rule(net, projection, Part{s.relaxation});
  std::vector<Parameter*> parameters = rule.parameters();
  std::vector<Tensor> start;
  for (const auto& entry : rule.weights()) {
    parameters.push_back(entry.weight);
    start.push_back(entry.weight->value);
  }
  Still still(parameters);
  // From the second of 10 epochs on, in which relaxations act; it is longer than what is timed.
  constexpr std::int64_t kEpoch = std::int64_t{1} << 40;
  quant::QuantizedOptimizer optimizer(still, net, {.weights = &rule}, {kEpoch, 10});
  optimizer.load_state({{}, {{"schedule.step", {kEpoch}}}, {}, {}});
  Times t;
  t.project = experiments::time_of([&] { optimizer.zero_grad(); });
  t.values = experiments::time_of([&] {
    optimizer.zero_grad();
    for (const auto& entry : rule.weights()) entry.weight->effective.data();
  });
  t.step = experiments::time_of([&] {
    optimizer.zero_grad();
    for (std::size_t i = 0; i < start.size(); ++i) rule.weights()[i].weight->set_grad(start[i]);
    optimizer.step();
  });
  for (std::size_t i = 0; i < start.size(); ++i) {
    rule.weights()[i].weight->value = start[i];
    rule.weights()[i].weight->zero_grad();
  }
  return t;
}

std::int64_t weights_of(nn::Module& net) {
  std::int64_t n = 0;
  for (const auto& [name, p] : net.named_parameters())
    if (p->value.shape().rank() > 1) n += p->value.numel();
  return n;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> nets{"resnet20", "vgg11"};
  std::string kernels = "auto";
  experiments::Args args("bench_projection", "What quantized weights cost a training step.");
  args.add("net", nets, "networks", nn::network_names());
  experiments::declare_kernels(args, kernels);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    std::vector<std::string> settings;
    for (const Setting& s : kSettings) settings.push_back(s.name());
    const auto results =
        log.table("projections", {{"net", "1", "network of the weights", nets},
                                  {"projection", "1", "projection or relaxation that is timed", settings},
                                  {"weights", "1", "number of weights"},
                                  {"project", "s", "codes and scales, median of 15 samples"},
                                  {"values", "s", "codes, scales and values"},
                                  {"step", "s", "what the relaxation does around the optimizer's step"}});
    log.start();
    std::printf("%d threads, table %s\n", args.threads(), active_kernels().name);
    experiments::TextTable table(
        {"net", "weights", "projection", "project ms", "with values ms", "around the step ms", "spread %"});
    for (std::size_t i = 0; i < nets.size(); ++i) {
      const auto net = nn::make_network(nets[i], nn::relu_activation(), Rng(args.seed()));
      const std::int64_t weights = weights_of(*net);
      for (std::size_t j = 0; j < std::size(kSettings); ++j) {
        experiments::check_stop();
        const Times t = times_of(*net, kSettings[j]);
        results.add({static_cast<double>(i), static_cast<double>(j), static_cast<double>(weights), t.project.median,
                     t.values.median, t.around_step()});
        table.row(nets[i], std::to_string(weights), settings[j], number(t.project.median * 1e3, 3),
                  number(t.values.median * 1e3, 3), number(t.around_step() * 1e3, 3),
                  number(t.values.spread_percent(), 2));
      }
    }
    std::fputs(table.str().c_str(), stdout);
  });
}
