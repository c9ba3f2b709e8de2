#include "experiments/bench/timed_training.h"

#include <chrono>

#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "core/ops.h"
#include "experiments/bench/kernel_flag.h"
#include "experiments/support/run.h"
#include "experiments/training/settings.h"
#include "nn/networks.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/evaluation_scope.h"
#include "quant/summary.h"
#include "quant/weights/projection.h"

namespace coarsegrad::experiments {
namespace {

nn::MakeActivation activation_of(const TimedTrainingSettings& s) {
  if (s.activations == "float") return nn::relu_activation();
  return quant::make_activation(quant::activations().part(s.activation).with("bits", std::stoi(s.activations)));
}

std::unique_ptr<quant::WeightRule> weight_rule(const TimedTrainingSettings& s, nn::Module& net) {
  if (s.weights == "float") return nullptr;
  const int bits = std::stoi(s.weights);
  if (s.projection != "bcgd")
    return std::make_unique<quant::WeightRule>(net, quant::weight_projections().part(s.projection).with("bits", bits));
  return std::make_unique<quant::WeightRule>(
      net, quant::weight_projections().part(bits <= 2 ? "exact" : "lloyd").with("bits", bits), Part{"blend"},
      quant::LayerExceptions({"last: weights=float"}));
}

// Names of the parts of a catalogue that have bits.
std::vector<std::string> with_bits(const PartCatalogue& parts) {
  auto names = parts.names();
  std::erase_if(names, [&parts](const std::string& name) { return !parts.part(name).options.has("bits"); });
  return names;
}

}  // namespace

void declare(Args& args, TimedTrainingSettings& s) {
  args.add("net", s.net, "the network", nn::network_names());
  args.add("batch", s.batch, "images per step", {1, 65536});
  args.add("steps", s.steps, "timed steps, after 3 that are not", {1, 100000});
  std::vector<std::string> projections = with_bits(quant::weight_projections());
  projections.insert(projections.begin(), "bcgd");
  args.add("weights", s.weights, "bits of the weights", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("projection", s.projection, "kind of the quantized weights; bcgd: of the inner layers, blended",
           projections);
  args.add_need({"projection"}, "weights", "without --weights", [&s] { return s.weights != "float"; });
  args.add("activations", s.activations, "bits of the activations", {"float", "1", "2", "3", "4", "5", "6", "7", "8"});
  args.add("activation", s.activation, "kind of the quantized activations", with_bits(quant::activations()));
  args.add_need({"activation"}, "activations", "without --activations", [&s] { return s.activations != "float"; });
  args.add("gradients", s.gradients, "how gradients are quantized on their way back through layers",
           quant::gradient_rules());
  declare_kernels(args, s.kernels);
  declare_compute(args, s.compute);
}

TimedTraining::TimedTraining(const TimedTrainingSettings& s, std::uint64_t seed)
    : compute_(compute_type_of(s.compute)) {
  use_kernels(s.kernels);
  const Rng rng(seed);
  const Shape image = nn::network_input(s.net);
  net_ = nn::make_network(s.net, activation_of(s), rng.split("net"));
  weights_ = weight_rule(s, *net_);
  images_ = Tensor::uninitialized({s.batch, image[0], image[1], image[2]});
  labels_ = Tensor::uninitialized({s.batch}, ElementType::int32);
  rng.split("images").normal(images_.mutable_data(), static_cast<std::size_t>(images_.numel()));
  Rng labels = rng.split("labels");
  for (int i = 0; i < s.batch; ++i)
    labels_.mutable_data_of<std::int32_t>()[i] = static_cast<std::int32_t>(labels.below(10));
  if (s.gradients.name != "none")
    gradients_ =
        std::make_unique<quant::GradientRule>(*net_, quant::gradient_rules().make(s.gradients), rng.split("gradients"));
  sgd_ = std::make_unique<optim::Sgd>(net_->parameters(),
                                      optim::SgdOptions{.lr = 0.01, .momentum = 0.9, .weight_decay = 1e-4});
  optimizer_ = std::make_unique<quant::QuantizedOptimizer>(
      *sgd_, *net_, quant::QuantizedParts{.weights = weights_.get(), .gradients = gradients_.get()},
      quant::TrainingLength{3 + s.steps, 1});
}

StepTime TimedTraining::step() {
  using Clock = std::chrono::steady_clock;
  const auto seconds = [](Clock::duration d) { return std::chrono::duration<double>(d).count(); };
  const auto start = Clock::now();
  optimizer_->zero_grad();
  const auto before = Clock::now();
  const Var loss = [this] {
    const Autocast compute(compute_);
    return cross_entropy((*net_)(images_), labels_);
  }();
  const auto between = Clock::now();
  loss.backward();
  const auto after = Clock::now();
  optimizer_->step();
  check_finite("loss", loss.item());
  const auto end = Clock::now();
  return {seconds(end - start), seconds(before - start), seconds(between - before), seconds(after - between),
          seconds(end - after)};
}

double TimedTraining::gflop() const {
  const quant::EvaluationScope deployed(*net_, weights_.get());
  const Shape& batch = images_.shape();
  double macs = 0, first = 0;
  for (const quant::LayerSummary& layer : quant::summarize(*net_, {batch[1], batch[2], batch[3]}).layers) {
    if (first == 0) first = static_cast<double>(layer.macs);
    macs += static_cast<double>(layer.macs);
  }
  return 2e-9 * static_cast<double>(batch[0]) * (3 * macs - first);
}

}  // namespace coarsegrad::experiments
