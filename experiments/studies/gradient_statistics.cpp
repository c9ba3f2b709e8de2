#include "experiments/studies/gradient_statistics.h"

#include <cmath>

#include "core/base/check.h"
#include "core/ops.h"
#include "experiments/support/run.h"

namespace coarsegrad::experiments {
namespace {

struct Layer {
  std::string name;
  nn::Module* module;
  Parameter* weight;
};

std::vector<Layer> layers_of(nn::Module& net) {
  std::vector<Layer> layers;
  for (const auto& [name, module] : net.named_modules())
    if (Parameter* weight = module->weight_parameter(); weight && module->output_gradient_map())
      layers.push_back({name, module, weight});
  return layers;
}

void zero_gradients(const std::vector<Layer>& layers) {
  for (const Layer& layer : layers) layer.weight->zero_grad();
}

std::vector<double> gradient(const Layer& layer) {
  const Tensor& g = layer.weight->grad();
  return {g.view().begin(), g.view().end()};
}

// |gamma_kl e|^2 for the output elements e of layer l, one list for each layer k.
std::vector<std::vector<double>> gains(const std::vector<Layer>& layers, const Layer& from,
                                       const std::function<Var()>& loss) {
  Var output;
  const int hook = from.module->register_forward_hook([&output](nn::Module&, const Var&, const Var& y) { output = y; });
  loss();
  const Shape shape = output.shape();
  std::vector<std::vector<double>> all(layers.size(), std::vector<double>(static_cast<std::size_t>(shape.numel())));
  for (std::int64_t e = 0; e < shape.numel(); ++e) {
    check_stop();
    zero_gradients(layers);
    loss();
    Tensor unit(shape);
    unit.mutable_data()[e] = 1;
    output.backward(unit);
    for (std::size_t k = 0; k < layers.size(); ++k)
      for (const Real v : layers[k].weight->grad().view())
        all[k][static_cast<std::size_t>(e)] += static_cast<double>(v) * static_cast<double>(v);
  }
  from.module->remove_hook(hook);
  return all;
}

// Adds what the quantizers of layer l add to each layer's variance, given the gradient of its output.
class Prediction {
 public:
  Prediction(const std::vector<Layer>& layers, const std::function<Var()>& loss,
             const quant::GradientRuleOptions& options)
      : options_(options), sum_(layers.size()) {
    for (const Layer& layer : layers) gains_.push_back(gains(layers, layer, loss));
  }

  void add(std::size_t l, const Tensor& g) {
    const auto input = options_.input->variance(g);
    const auto weight = options_.weight ? options_.weight->variance(g) : input;
    for (std::size_t k = 0; k < sum_.size(); ++k)
      for (std::size_t e = 0; e < input.size(); ++e) sum_[k] += (k == l ? weight : input)[e] * gains_[l][k][e];
  }
  double sum(std::size_t k) const { return sum_[k]; }

 private:
  const quant::GradientRuleOptions& options_;
  std::vector<std::vector<std::vector<double>>> gains_;
  std::vector<double> sum_;
};

// The map tells `see` about every gradient before it quantizes it for the weight.
void watch(OutputGradientMap& map, std::function<void(const Tensor&)> see) {
  auto& watched = map.for_weight ? map.for_weight : map.for_input;
  watched = [inner = watched, see = std::move(see)](const Tensor& g) {
    see(g);
    return inner(g);
  };
}

}  // namespace

std::vector<LayerStatistics> gradient_statistics(nn::Module& net, const std::function<Var()>& loss,
                                                 const quant::GradientRuleOptions& options, std::int64_t draws,
                                                 std::int64_t predictions, const Rng& rng) {
  check(draws >= 2 && predictions >= 1 && predictions <= draws, "gradient statistics: given ", draws, " draws and ",
        predictions, " predictions, expected 2 draws or more, some of them predicted from");
  const std::vector<Layer> layers = layers_of(net);
  std::vector<LayerStatistics> all;
  zero_gradients(layers);
  loss().backward();
  for (const Layer& layer : layers) {
    const std::vector<double> exact = gradient(layer);
    all.push_back({layer.name, exact, std::vector<double>(exact.size()), std::vector<double>(exact.size()), 0, 0});
  }
  Prediction prediction(layers, loss, options);
  quant::GradientRule rule(net, options, rng);
  std::int64_t draw = 0;
  for (std::size_t l = 0; l < layers.size(); ++l)
    watch(*layers[l].module->output_gradient_map(), [&prediction, &draw, predictions, l](const Tensor& g) {
      if (draw < predictions) prediction.add(l, g);
    });
  for (; draw < draws; ++draw) {
    check_stop();
    rule.set_step(draw);
    zero_gradients(layers);
    loss().backward();
    for (std::size_t k = 0; k < layers.size(); ++k) {
      const std::span<const Real> g = layers[k].weight->grad().view();
      for (std::size_t i = 0; i < g.size(); ++i) {  // Welford's recurrence; sigma holds the sum of squares
        const double from_mean = static_cast<double>(g[i]) - all[k].mean[i];
        all[k].mean[i] += from_mean / static_cast<double>(draw + 1);
        all[k].sigma[i] += from_mean * (static_cast<double>(g[i]) - all[k].mean[i]);
      }
    }
  }
  for (std::size_t k = 0; k < layers.size(); ++k) {
    for (double& s : all[k].sigma) {
      all[k].measured += s / static_cast<double>(draws - 1);
      s = std::sqrt(s / static_cast<double>(draws - 1));
    }
    all[k].predicted = prediction.sum(k) / static_cast<double>(predictions);
  }
  return all;
}

}  // namespace coarsegrad::experiments
