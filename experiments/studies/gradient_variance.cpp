// How much variance do quantized gradients add, and which law does it follow? Exact variances against Monte
// Carlo: for reference cases, for one outlier among many samples, over the bits, and through the layers of a net.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <numeric>
#include <string>
#include <vector>

#include "core/ops.h"
#include "experiments/studies/gradient_statistics.h"
#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "quant/activations/minmax.h"
#include "quant/gradients/gradient_quantizer.h"
#include "quant/gradients/gradient_rule.h"
#include "quant/theory/estimates.h"
#include "quant/weights/weight_rule.h"

using namespace coarsegrad;
namespace lab = coarsegrad::experiments;
using theory::Measured;

namespace {

const std::vector<std::string> kQuantizers{"dorefa", "ptq", "psq", "bhq"};

struct Flags {
  int draws = 2000, layer_draws = 20000, rows = 64, columns = 256, bits = 8;
};

double sum(const std::vector<double>& x) { return std::accumulate(x.begin(), x.end(), 0.0); }

// E |Q(g) - g|^2, the sum of all variances: Q is unbiased.
Measured measured_variance(const quant::GradientQuantizer& q, const Tensor& g, int draws, const Rng& rng) {
  double mean = 0, squares = 0;
  for (int draw = 0; draw < draws; ++draw) {
    lab::check_stop();
    const Tensor y = q.quantize(g, rng.split(static_cast<std::uint64_t>(draw)));
    double distance = 0;
    for (std::int64_t i = 0; i < g.numel(); ++i) {
      const double d = static_cast<double>(y[i]) - static_cast<double>(g[i]);
      distance += d * d;
    }
    const double from_mean = distance - mean;
    mean += from_mean / (draw + 1);
    squares += from_mean * (distance - mean);
  }
  return {mean, std::sqrt(squares / (draws - 1) / draws)};
}

// What all tables of variances have: exact, measured, its error, the bound.
std::vector<double> variances(const std::string& name, int bits, const Tensor& g, int draws, const Rng& rng) {
  const auto q = quant::gradient_quantizer(name, {.bits = bits});
  const Measured m = measured_variance(*q, g, draws, rng.split(name));
  return {sum(q->variance(g)), m.value, m.se, q->variance_bound(g)};
}
std::vector<lab::Column> with_variances(std::vector<lab::Column> columns) {
  columns.insert(columns.end(), {{"exact", "1", "sum of the exact variances of all entries"},
                                 {"measured", "1", "mean of |Q(g) - g|^2 over the draws"},
                                 {"measured_se", "1", "standard error of measured"},
                                 {"bound", "1", "D / 4 |S^-1|_F^2"}});
  return columns;
}

struct Case {
  std::string name;
  std::vector<double> scales;  // of the rows a_i sin(1 + 0.7 i + 1.3 j)
};
const std::vector<Case> kCases{{"one outlier", {1, .01, .01, .01, .01, .01, .01, .01}},
                               {"two groups", {1, .6, .02, .015, .01, .01, .008, .005}},
                               {"flat", {1, 1, 1, 1, 1, 1, 1, 1}}};
Tensor gradient_of(const Case& c) {
  Tensor x = Tensor::uninitialized({8, 16});
  for (int i = 0; i < 8; ++i)
    for (int j = 0; j < 16; ++j)
      x.mutable_data()[16 * i + j] =
          static_cast<Real>(c.scales[static_cast<std::size_t>(i)] * std::sin(1 + 0.7 * i + 1.3 * j));
  return x;
}

// Gaussian rows with standard deviations `scale(i)`.
template <class Scale>
Tensor gaussian_rows(const Flags& f, Rng rng, Scale scale) {
  Tensor x = Tensor::uninitialized({f.rows, f.columns});
  rng.normal(x.mutable_data(), static_cast<std::size_t>(x.numel()));
  for (std::int64_t i = 0; i < x.numel(); ++i)
    x.mutable_data()[i] *= static_cast<Real>(scale(static_cast<std::size_t>(i / f.columns)));
  return x;
}

// The law of an outlier: one row that spans l1, N - 1 rows that span up to l2 / 2. Constants are those of the
// bounds; a sixth instead of a quarter is what p (1 - p) is on average.
double outlier_law(const std::string& name, const Tensor& g, int bits) {
  const std::int64_t n = g.size(0), d = g.size(1);
  const double bins = (1 << bits) - 1;
  double first = 0, others = 0, total = 0, most = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto [low, high] = std::minmax_element(g.data() + i * d, g.data() + (i + 1) * d);
    const double range = static_cast<double>(*high - *low), size = static_cast<double>(std::max(-*low, *high));
    const double spanned = name == "dorefa" ? 2 * size : range;
    total += spanned * spanned;
    most = std::max(most, range);
    if (i == 0)
      first = range;
    else
      others = std::max(others, 2 * size);
  }
  const double unit = static_cast<double>(d) / (6 * bins * bins), rows = static_cast<double>(n);
  if (name == "ptq") return unit * rows * most * most;
  if (name != "bhq") return unit * total;
  return unit * std::pow(std::pow(first, 2.0 / 3) * std::pow(rows, -1.0 / 3) +
                             std::pow(others, 2.0 / 3) * std::pow(rows, 1.0 / 3),
                         3);
}

void append(std::vector<double>& row, const std::vector<double>& more) {
  row.insert(row.end(), more.begin(), more.end());
}

void log_cases(const lab::Table& table, const Flags& f, const Rng& rng, lab::TextTable& found) {
  for (std::size_t c = 0; c < kCases.size(); ++c)
    for (std::size_t q = 0; q < kQuantizers.size(); ++q)
      for (int bits = 2; bits <= 8; ++bits) {
        std::vector<double> row{static_cast<double>(c), static_cast<double>(q), static_cast<double>(bits)};
        const auto v = variances(kQuantizers[q], bits, gradient_of(kCases[c]), f.draws,
                                 rng.split(kCases[c].name).split(static_cast<std::uint64_t>(bits)));
        append(row, v);
        table.add(row);
        if (bits == 4) found.row(kCases[c].name, kQuantizers[q], v[0], v[1], v[2], v[3]);
      }
}

void log_outlier(const lab::Table& table, const Flags& f, const Rng& rng, lab::ProgressBar& progress) {
  for (int step = 0; step <= 16; ++step, progress.update(step)) {
    const double epsilon = std::pow(10.0, -step / 4.0);
    const Tensor g = gaussian_rows(f, rng.split("g"), [&](std::size_t i) { return i == 0 ? 1 : epsilon; });
    for (std::size_t q = 0; q < kQuantizers.size(); ++q) {
      std::vector<double> row{static_cast<double>(q), epsilon};
      append(row, variances(kQuantizers[q], f.bits, g, std::max(2, f.draws / 20),
                            rng.split(static_cast<std::uint64_t>(step))));
      row.push_back(outlier_law(kQuantizers[q], g, f.bits));
      table.add(row);
    }
  }
}

void log_bits(const lab::Table& table, const Flags& f, const Rng& rng) {
  std::vector<double> scales(static_cast<std::size_t>(f.rows));
  rng.split("scales").normal(scales.data(), scales.size());
  const Tensor g = gaussian_rows(f, rng.split("g"), [&](std::size_t i) { return std::exp(scales[i]); });
  for (std::size_t q = 0; q < kQuantizers.size(); ++q)
    for (int bits = 1; bits <= 8; ++bits) {
      std::vector<double> row{static_cast<double>(q), static_cast<double>(bits)};
      append(row, variances(kQuantizers[q], bits, g, std::max(2, f.draws / 20),
                            rng.split(static_cast<std::uint64_t>(bits))));
      table.add(row);
    }
}

// Three dense layers with weights and activations of 8 bits, and a batch for them.
struct Net {
  nn::Sequential net;
  std::unique_ptr<quant::WeightRule> weights;
  Tensor x, target;

  explicit Net(const Rng& rng)
      : x(nn::uniform({16, 12}, 1, rng.split("x"))), target(nn::uniform({16, 5}, 1, rng.split("target"))) {
    const auto layer = [&](const char* name, int in, int out) {
      auto& added = net.add<nn::Linear>(name, in, out, rng.split(name));
      added.weight.value = nn::kaiming_normal(added.weight.value.shape(), rng.split(name).split("start"));
    };
    layer("bottom", 12, 10);
    net.add<quant::MinMaxActivation>("act1", 8);
    layer("middle", 10, 8);
    net.add<quant::MinMaxActivation>("act2", 8);
    layer("top", 8, 5);
    weights = std::make_unique<quant::WeightRule>(net, Part{"minmax"});
    weights->deploy();
  }
};

void log_layers(const lab::Table& table, const Flags& f, const Rng& rng, lab::TextTable& found) {
  const std::vector<std::string> names{"dorefa", "ptq", "psq"};  // those with independent entries
  for (const std::string& name : names)
    for (int bits = 2; bits <= 8; bits += 2) {
      Net net(rng.split("net"));
      const auto quantizer = [](std::string_view which, int b) {
        return std::shared_ptr<const quant::GradientQuantizer>(quant::gradient_quantizer(which, {.bits = b}));
      };
      const quant::GradientRuleOptions options{quantizer(name, bits), name == "dorefa" ? nullptr : quantizer("ptq", 8)};
      const auto layers = lab::gradient_statistics(
          net.net, [&net] { return mse_loss(net.net(net.x), net.target); }, options, f.layer_draws,
          std::max(1, f.layer_draws / 10), rng.split(name).split(static_cast<std::uint64_t>(bits)));
      for (std::size_t k = 0; k < layers.size(); ++k) {
        const auto q = std::find(kQuantizers.begin(), kQuantizers.end(), name) - kQuantizers.begin();
        double bias = 0;  // |mean - exact|^2 in units of what chance makes of it
        for (std::size_t i = 0; i < layers[k].exact.size(); ++i)
          bias += std::pow(layers[k].mean[i] - layers[k].exact[i], 2);
        table.add({static_cast<double>(q), static_cast<double>(bits), static_cast<double>(k), layers[k].measured,
                   layers[k].predicted, bias * f.layer_draws / layers[k].measured});
        if (bits == 4)
          found.row(name, layers[k].layer, layers[k].measured, layers[k].predicted,
                    layers[k].measured / layers[k].predicted);
      }
    }
}

void run_experiment(lab::RunLog& log, const lab::Args& args, const Flags& f) {
  std::vector<std::string> cases;
  for (const Case& c : kCases) cases.push_back(c.name);
  const lab::Column quantizer{"quantizer", "1", "quantizer of the gradient", kQuantizers},
      bits{"bits", "1", "bits of the gradient"};
  const auto case_table = log.table("cases", with_variances({{"case", "1", "reference case", cases}, quantizer, bits}));
  auto columns = with_variances({quantizer, {"epsilon", "1", "scale of all rows but the first"}});
  columns.push_back({"law", "1", "the law of an outlier, with 1/6 for p (1 - p)"});
  const auto outlier_table = log.table("outlier", columns);
  const auto bits_table = log.table("bits", with_variances({quantizer, bits}));
  const auto layer_table =
      log.table("layers", {quantizer,
                           {"bits", "1", "bits of the activations' gradient"},
                           {"layer", "1", "which layer's weight", {"bottom", "middle", "top"}},
                           {"measured", "1", "variance of its gradient over the draws"},
                           {"predicted", "1", "sum of the shares of the quantizers above (theorem 2)"},
                           {"bias", "1", "|mean - gradient without quantizers|^2 draws / measured"}});
  log.start();
  const Rng rng(args.seed());
  lab::TextTable found({"case, 4 bits", "quantizer", "exact", "measured", "standard error", "bound"}),
      layers({"quantizer, 4 bits", "layer", "measured", "predicted", "ratio"});
  log_cases(case_table, f, rng.split("cases"), found);
  lab::ProgressBar progress("scales of the other rows", 17, args.quiet());
  log_outlier(outlier_table, f, rng.split("outlier"), progress);
  log_bits(bits_table, f, rng.split("bits"));
  log_layers(layer_table, f, rng.split("layers"), layers);
  if (!args.quiet()) std::cout << found.str() << layers.str();
}

}  // namespace

int main(int argc, char** argv) {
  Flags f;
  lab::Args args("gradient_variance",
                 "Variance that quantizers add to gradients: exact, by Monte Carlo, and its laws.");
  args.add("draws", f.draws, "draws for each measured variance of the reference cases; other tables take a 20th",
           {40, 10000000});
  args.add("layer-draws", f.layer_draws, "backward passes through the net for each quantizer", {20, 10000000});
  args.add("rows", f.rows, "number of samples N in the tables outlier and bits", {3, 65536});
  args.add("columns", f.columns, "elements D of each sample in the tables outlier and bits", {2, 1048576});
  args.add("bits", f.bits, "bits of the gradient in the table outlier", {1, 8});
  return lab::run(args, argc, argv, [&](lab::RunLog& log) { run_experiment(log, args, f); });
}
