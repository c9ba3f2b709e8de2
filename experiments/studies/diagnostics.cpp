#include "experiments/studies/diagnostics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "datasets/loader.h"
#include "experiments/support/run.h"
#include "experiments/training/network_state.h"
#include "experiments/training/training.h"
#include "nn/graph.h"

namespace coarsegrad::experiments {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

struct Layer {
  std::string name;
  Parameter* weight;
  double inputs = 0, active = 0;  // of the activation behind it
};

// The largest input that each quantized activation whose levels begin with 0 tells apart, by name.
std::map<std::string, double> tops_of(const nn::Graph& graph) {
  std::map<std::string, double> tops;
  for (const nn::Graph::Node& node : graph.nodes) {
    const auto* scale = find_attribute<double>(node.attributes, "scale");
    if (node.op != "quantize_activation" || !scale) continue;
    if (*find_attribute<std::string>(node.attributes, "rounding") != "sign")
      tops[node.module] = static_cast<double>(*find_attribute<std::int64_t>(node.attributes, "levels")) * *scale;
  }
  return tops;
}

// One forward pass that writes down which layers were called and what reached the activation behind each.
class Recorder {
 public:
  Recorder(nn::Module& net, const std::map<std::string, double>& tops) {
    for (const auto& [name, module] : net.named_modules()) {
      if (Parameter* weight = module->weight_parameter())
        hook(*module, [this, name = name, weight](nn::Module&, const Var&, const Var&) {
          layers.push_back({name, weight});
        });
      else if (const auto top = tops.find(name); top != tops.end())
        hook(*module,
             [this, top = top->second](nn::Module&, const Var& x, const Var&) { count(top, x.value().view()); });
    }
  }
  ~Recorder() {
    for (const auto& [module, number] : hooks_) module->remove_hook(number);
  }
  Recorder(const Recorder&) = delete;
  Recorder& operator=(const Recorder&) = delete;

  std::vector<Layer> layers;

 private:
  void hook(nn::Module& module, nn::Module::ForwardHook f) {
    hooks_.emplace_back(&module, module.register_forward_hook(std::move(f)));
  }
  void count(double top, std::span<const Real> inputs) {
    if (layers.empty()) return;
    layers.back().inputs += static_cast<double>(inputs.size());
    layers.back().active += static_cast<double>(
        std::ranges::count_if(inputs, [top](Real x) { return x > 0 && static_cast<double>(x) <= top; }));
  }
  std::vector<std::pair<nn::Module*, int>> hooks_;
};

double dot(std::span<const Real> a, std::span<const Real> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
  return sum;
}

double cosine(double ab, double aa, double bb) { return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : kNaN; }

double loss_of(nn::Module& net, const datasets::Batch& batch) {
  const NoGrad constant;
  return static_cast<double>(cross_entropy(net(batch["image"]), batch["label"]).item());
}

// The gradients of the layers' weights.
std::vector<Tensor> gradients(nn::Module& net, const datasets::Batch& batch, std::vector<Layer>& layers) {
  for (Parameter* p : net.parameters()) p->zero_grad();
  {
    Recorder recorder(net, tops_of(nn::trace(net, {batch["image"].shape().with(0, 1)})));
    cross_entropy(net(batch["image"]), batch["label"]).backward();
    layers = recorder.layers;
  }
  std::vector<Tensor> all;
  for (const Layer& layer : layers) all.push_back(layer.weight->grad());
  for (Parameter* p : net.parameters()) p->zero_grad();
  return all;
}

double cosine_to_descent(nn::Module& net, const datasets::Batch& batch, Parameter& weight, const Tensor& gradient,
                         const DiagnosticsOptions& options, const Rng& rng) {
  const Tensor at = weight.value;
  const auto n = static_cast<std::size_t>(at.numel());
  const double h = options.step * std::sqrt(dot(at.view(), at.view()));
  double ab = 0, aa = 0, bb = 0;
  for (int k = 0; k < options.directions; ++k) {
    check_stop();
    Tensor u = Tensor::uninitialized(at.shape());
    Rng stream = rng.split(static_cast<std::uint64_t>(k));
    stream.normal(u.mutable_data(), n);
    const double length = std::sqrt(dot(u.view(), u.view()));
    const auto moved = [&](double distance) {
      Tensor w = at;
      const auto to = w.mut();
      for (std::size_t i = 0; i < n; ++i)
        to[i] += static_cast<Real>(distance / length * static_cast<double>(u.view()[i]));
      weight.value = w;
      const double loss = loss_of(net, batch);
      weight.value = at;
      return loss;
    };
    const double difference = (moved(h) - moved(-h)) / (2 * h);
    const double predicted = dot(gradient.view(), u.view()) / length;
    ab += difference * predicted;
    aa += difference * difference;
    bb += predicted * predicted;
  }
  return cosine(ab, aa, bb);
}

}  // namespace

std::vector<std::string> layer_names(nn::Module& net, const Shape& image) {
  std::map<std::string, nn::Module*> modules;
  for (const auto& [name, module] : net.named_modules()) modules[name] = module;
  std::vector<std::string> names;
  for (const nn::Graph::Call& call : nn::trace_image(net, image).calls)
    if (modules.at(call.module)->weight_parameter()) names.push_back(call.module);
  return names;
}

std::vector<LayerDiagnostics> diagnose(nn::Module& net, nn::Module& reference, const datasets::Dataset& images,
                                       const DiagnosticsOptions& options, const Rng& rng) {
  const FlushDenormals flush;
  const NetworkScope scope(net), other_scope(reference);
  const ModeScope mode(net, true), other_mode(reference, true);
  datasets::DataLoader loader(images, {.batch_size = images.size(), .shuffle = false, .prefetch = 0});
  const datasets::Batch& batch = loader.next();
  std::vector<Layer> layers, other_layers;
  const std::vector<Tensor> own = gradients(net, batch, layers);
  const std::vector<Tensor> wanted = gradients(reference, batch, other_layers);
  check(own.size() == wanted.size(), "diagnose: given networks of ", own.size(), " and ", wanted.size(),
        " layers, expected the same");
  std::vector<LayerDiagnostics> all;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const auto a = own[i].view(), b = wanted[i].view();
    const double aa = dot(a, a);
    all.push_back({cosine(dot(a, b), aa, dot(b, b)),
                   options.directions > 0
                       ? cosine_to_descent(net, batch, *layers[i].weight, own[i], options, rng.split(layers[i].name))
                       : kNaN,
                   std::sqrt(aa), layers[i].inputs > 0 ? layers[i].active / layers[i].inputs : kNaN});
  }
  return all;
}

}  // namespace coarsegrad::experiments
