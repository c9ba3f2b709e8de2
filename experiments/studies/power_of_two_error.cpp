// What do weights lose to powers of two, and how many become zero?
//   power_of_two_error --bits 3,4,5,6 --out results/power_of_two_error.h5
// LBW-Net chooses the thresholds by one number, mu / max|w|: its error and its zeros over that number, beside
// the exact minimum over all scales, for weights drawn from three distributions and those of a network.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/compute/random.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"
#include "quant/math/power_of_two.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  int weights = 200000, ratios = 77;
  double deviation = 0.03, least = 0.05, most = 1;
  std::vector<int> bits{3, 4, 5, 6};
  std::string network;
};

void declare(Args& args, Settings& s) {
  args.add("weights", s.weights, "weights drawn from each distribution", {1, 100000000});
  args.add("deviation", s.deviation, "standard deviation of the drawn weights", {1e-6, 1e6});
  args.add("network", s.network, "tensor file with a network whose layers are quantized, too; empty: none");
  args.add("bits", s.bits, "bits of the weights", {3, kMostPowerBits});
  args.add("ratios", s.ratios, "number of values of mu / max|w|, equally spaced", {2, 100000});
  args.add("least", s.least, "the smallest value of mu / max|w|", {1e-6, 10});
  args.add("most", s.most, "the largest value of mu / max|w|", {1e-6, 10});
}

const std::vector<std::string> kSources{"gaussian", "laplace", "uniform", "network"};

// Layers, each with a scale of its own.
using Layers = std::vector<std::vector<float>>;

std::vector<float> draw(std::size_t source, const Settings& s, const Rng& seed) {
  Rng rng = seed.split(kSources[source]);
  std::vector<float> w(static_cast<std::size_t>(s.weights));
  if (source == 0) {
    rng.normal(w.data(), w.size(), 0.f, static_cast<float>(s.deviation));
    return w;
  }
  std::vector<double> u(w.size());
  rng.uniform(u.data(), u.size(), -1.0, 1.0);
  const double laplace = s.deviation / std::sqrt(2.0), uniform = s.deviation * std::sqrt(3.0);
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] =
        static_cast<float>(source == 1 ? std::copysign(-laplace * std::log1p(-std::abs(u[i])), u[i]) : uniform * u[i]);
  return w;
}

Layers layers_of(const std::string& network) {
  Layers layers;
  for (StoredTensor& t : read_tensor_file(network).tensors)
    if (t.shape.rank() > 1) layers.push_back(std::move(t.values));
  check(!layers.empty(), "network: ", network, " has no weights of layers");
  return layers;
}

struct Loss {
  double error, zeros;
};
// |w - 2^s Q|^2 / |w|^2 and the share of zeros, over all layers; encode(layer, codes) returns 2^s.
template <class Encode>
Loss loss_of(const Layers& layers, int bits, Encode encode) {
  double left = 0, all = 0;
  std::int64_t zeros = 0, count = 0;
  for (const std::vector<float>& w : layers) {
    std::vector<std::int8_t> codes(w.size());
    const double scale = encode(std::span<const float>(w), codes.data());
    for (std::size_t i = 0; i < w.size(); ++i) {
      const double x = static_cast<double>(w[i]);
      const double d = x - scale * power_value(codes[i], power_magnitudes(bits));
      left += d * d;
      all += x * x;
      zeros += codes[i] == 0;
    }
    count += static_cast<std::int64_t>(w.size());
  }
  return {left / all, static_cast<double>(zeros) / static_cast<double>(count)};
}

// The mean over the layers.
double max_over_deviation(const Layers& layers) {
  double sum = 0;
  for (const std::vector<float>& w : layers) {
    double most = 0, squares = 0;
    for (const float x : w) {
      most = std::max(most, static_cast<double>(std::abs(x)));
      squares += static_cast<double>(x) * static_cast<double>(x);
    }
    sum += most / std::sqrt(squares / static_cast<double>(w.size()));
  }
  return sum / static_cast<double>(layers.size());
}

struct Tables {
  Table by_ratio, exact;
  explicit Tables(RunLog& log)
      : by_ratio(log.table("by_ratio", {{"weights", "1", "where they come from", kSources},
                                        {"bits", "1", "of a weight"},
                                        {"mu_over_max", "1", "mu / max|w|"},
                                        {"error", "1", "|w - 2^s Q|^2 / |w|^2"},
                                        {"zeros", "1", "share of weights that are 0"}})),
        exact(log.table("exact", {{"weights", "1", "where they come from", kSources},
                                  {"bits", "1", "of a weight"},
                                  {"error", "1", "the smallest |w - 2^s Q|^2 / |w|^2"},
                                  {"zeros", "1", "share of weights that are 0"},
                                  {"max_over_deviation", "1", "max|w| / root mean square, mean over the layers"}})) {}
};

// One line of the summary: the default ratio, the best one, the exact minimum.
void compare(const Settings& s, std::size_t source, int bits, const Layers& layers, const Tables& log,
             TextTable& text) {
  const double place = static_cast<double>(source);
  const auto rule = [&](double ratio) {
    return loss_of(layers, bits, [&](std::span<const float> w, std::int8_t* codes) {
      return encode_powers_by_max(w, bits, ratio, codes);
    });
  };
  double best_ratio = s.least, best = HUGE_VAL;
  for (int i = 0; i < s.ratios; ++i) {
    check_stop();
    const double ratio = s.least + (s.most - s.least) * i / (s.ratios - 1);
    const Loss loss = rule(ratio);
    log.by_ratio.add({place, static_cast<double>(bits), ratio, loss.error, loss.zeros});
    if (loss.error < best) {
      best = loss.error;
      best_ratio = ratio;
    }
  }
  const Loss usual = rule(0.75);
  const Loss exact = loss_of(layers, bits, [&](std::span<const float> w, std::int8_t* codes) {
    return encode_powers_exactly(w, bits, codes);
  });
  log.exact.add({place, static_cast<double>(bits), exact.error, exact.zeros, max_over_deviation(layers)});
  text.row(kSources[source], bits, usual.error, 100 * usual.zeros, exact.error, 100 * exact.zeros, best_ratio, best);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("power_of_two_error", "What weights lose to powers of two, and how many become zero.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) {
    check_usage(s.least < s.most, "least: given ", s.least, ", expected less than most, ", s.most);
    const Tables tables(log);
    log.start();
    TextTable text({"weights", "bits", "0.75: error", "zeros %", "exact: error", "zeros %", "best mu/max", "error"});
    for (std::size_t source = 0; source < kSources.size(); ++source) {
      if (source == 3 && s.network.empty()) continue;
      const Layers layers = source == 3 ? layers_of(s.network) : Layers{draw(source, s, Rng(args.seed()))};
      for (const int bits : s.bits) compare(s, source, bits, layers, tables, text);
    }
    if (!args.quiet()) std::fputs(text.str().c_str(), stdout);
  });
}
