// Random networks are deployed as they are evaluated, bit for bit.
#include <doctest/doctest.h>

#include <random>

#include "core/ops.h"
#include "nn/activation.h"
#include "quant/activations/activation_quantizer.h"
#include "quant/activations/dorefa.h"
#include "quant/activations/uniform.h"
#include "quant/weights/dorefa.h"
#include "tests/quant/packed/equality.h"
#include "tests/support/draw.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

class NetDraw : public Draw {
 public:
  using Draw::Draw;
  template <class T>
  const T& one_of(const std::vector<T>& all) {
    return all[static_cast<std::size_t>(integer(0, static_cast<int>(all.size()) - 1))];
  }
  Real normal() { return std::normal_distribution<Real>()(engine_); }
};

// x + f(x), for f that keeps the shape.
class Residual : public nn::Module {
 public:
  explicit Residual(std::unique_ptr<nn::Module> inner) : inner_(adopt("inner", std::move(inner))) {}
  Var forward(const Var& x) override { return inner_(x) + x; }

 private:
  nn::Module& inner_;
};

// Among those for wide nets all have codes of few bits.
std::unique_ptr<nn::Activation> activation(NetDraw& draw, bool wide) {
  const std::vector<Part> parts{{"relu"},
                                {"clipped_relu"},
                                {"uniform", quant::UniformOptions{.bits = 8}},
                                {"sign"},
                                {"mix"},
                                {"lsq"},
                                {"pact"},
                                {"trained"},
                                {"dorefa"},
                                {"dorefa_abs"},
                                {"dorefa_tanh"},
                                {"uniform", quant::UniformOptions{.bits = 1}},
                                {"uniform", quant::UniformOptions{.bits = 2}},
                                {"uniform"},
                                {"dorefa", quant::DorefaOptions{.bits = 4}}};
  constexpr int kOthers = 3;
  const int part = draw.integer(wide ? kOthers : 0, static_cast<int>(parts.size()) - 1);
  return quant::make_activation(parts[static_cast<std::size_t>(part)])("act");
}

// Normalisations with factors of both signs, some of them 0, and channels that saturate.
std::unique_ptr<nn::Module> normalization(std::int64_t channels, NetDraw& draw) {
  auto norm = std::make_unique<nn::BatchNorm>(channels, nn::BatchNormOptions{.affine = draw.chance(70)});
  for (std::int64_t c = 0; c < channels; ++c) {
    norm->running_mean.mutable_data()[c] = draw.normal();
    norm->running_var.mutable_data()[c] = std::abs(draw.normal()) + Real(0.1);
    if (!norm->scale) continue;
    norm->scale->value.mutable_data()[c] = draw.chance(10) ? 0 : draw.normal();
    norm->shift->value.mutable_data()[c] = draw.chance(10) ? 100 * draw.normal() : draw.normal();
  }
  return norm;
}

struct Net {
  nn::Sequential layers;
  Shape image;
  std::int64_t side, channels;
  bool wide;  // enough channels for the kernels of bits
  int count = 0;

  std::string name(const char* kind) { return kind + std::to_string(count++); }
};

void add_convolution(Net& net, NetDraw& draw) {
  const int kernel = draw.one_of(std::vector<int>{1, 3, 5}), dilation = draw.chance(15) ? 2 : 1;
  const int padding = draw.integer(0, kernel / 2 + 1), stride = draw.chance(30) ? 2 : 1;
  const std::int64_t extent = dilation * (kernel - 1) + 1;
  if (net.side + 2 * padding < extent) return;
  const std::int64_t groups = draw.chance(15) ? net.channels : 1;
  const std::int64_t out = groups > 1 ? groups : net.wide ? draw.integer(32, 70) : draw.integer(1, 13);
  net.layers.add<nn::Conv2d>(net.name("conv"),
                             nn::ConvOptions{.in = net.channels,
                                             .out = out,
                                             .kernel = kernel,
                                             .stride = stride,
                                             .padding = padding,
                                             .dilation = dilation,
                                             .groups = groups,
                                             .bias = draw.chance(50)},
                             Rng(static_cast<std::uint64_t>(draw.integer(0, 1 << 20))));
  net.side = (net.side + 2 * padding - extent) / stride + 1;
  net.channels = out;
}

void add_pooling(Net& net, NetDraw& draw) {
  if (net.side < 3) return;
  const PoolOptions options{.kernel = draw.integer(2, 3), .stride = draw.integer(1, 2), .padding = draw.integer(0, 1)};
  if (draw.chance(70))
    net.layers.add<nn::MaxPool2d>(net.name("max"), options);
  else
    net.layers.add<nn::AvgPool2d>(net.name("mean"), options);
  net.side = (net.side + 2 * options.padding.h - options.kernel.h) / options.stride->h + 1;
}

void add_residual(Net& net, NetDraw& draw) {
  auto inner = std::make_unique<nn::Sequential>();
  inner->add<nn::Conv2d>("conv", nn::ConvOptions{.in = net.channels, .out = net.channels, .padding = 1, .bias = false},
                         Rng(static_cast<std::uint64_t>(draw.integer(0, 1 << 20))));
  inner->append("norm", normalization(net.channels, draw));
  net.layers.add<Residual>(net.name("residual"), std::move(inner));
}

std::unique_ptr<Net> random_net(NetDraw& draw, bool wide) {
  auto net = std::make_unique<Net>();
  net->wide = wide;
  net->side = draw.integer(4, wide ? 7 : 11);
  net->channels = draw.integer(1, 5);
  net->image = {net->side, net->side, net->channels};
  for (int block = draw.integer(1, 4); block > 0; --block) {
    if (draw.chance(25))
      add_residual(*net, draw);
    else
      add_convolution(*net, draw);
    if (draw.chance(25)) add_pooling(*net, draw);
    if (draw.chance(75)) net->layers.append(net->name("norm"), normalization(net->channels, draw));
    net->layers.append(net->name("act"), activation(draw, wide));
    if (draw.chance(15)) add_pooling(*net, draw);
  }
  if (draw.chance(50))
    net->layers.add<nn::GlobalAvgPool2d>("all");
  else
    net->layers.add<nn::Flatten>("flatten");
  const std::int64_t features =
      net->layers.named_modules().back().first == "all" ? net->channels : net->side * net->side * net->channels;
  if (wide && draw.chance(50)) {
    net->layers.add<nn::Linear>("dense", features, 64, Rng(2), draw.chance(50));
    net->layers.append("dense_norm", normalization(64, draw));
    net->layers.append("dense_act", activation(draw, wide));
    net->layers.add<nn::Linear>("fc", 64, draw.integer(1, 11), Rng(1), draw.chance(50));
    return net;
  }
  net->layers.add<nn::Linear>("fc", features, draw.integer(1, 11), Rng(1), draw.chance(50));
  return net;
}

Part weights(NetDraw& draw) {
  const std::vector<Part> parts{{"exact"},
                                {"exact", quant::ExactOptions{.bits = 2, .per_channel = true}},
                                {"exact", quant::ExactOptions{.bits = 4}},
                                {"exact", quant::ExactOptions{.bits = 8}},
                                {"twn"},
                                {"sign"},
                                {"sign"},
                                {"xnor"},
                                {"power_of_two"},
                                {"fixed_levels"},
                                {"lsq"},
                                {"dorefa"},
                                {"dorefa", quant::DorefaWeightOptions{.bits = 8}},
                                {"minmax"},
                                {"none"}};
  return draw.one_of(parts);
}

struct Counts {
  int layers = 0, on_bytes = 0, on_bits = 0, with_thresholds = 0, to_planes = 0, on_pixels = 0;

  void add(const packed::Runtime& net, bool pixels) {
    on_pixels += pixels && net.plan().front().kernel == packed::ProductKernel::bytes;
    for (const packed::LayerPlan& l : net.plan()) {
      ++layers;
      on_bytes += l.kernel == packed::ProductKernel::bytes;
      on_bits += l.kernel == packed::ProductKernel::bits;
      with_thresholds += !l.thresholds.empty();
      to_planes += l.writes == packed::Form::planes;
    }
  }
};

Counts compared(unsigned first, unsigned last, bool wide) {
  Counts counts;
  for (unsigned seed = first; seed <= last; ++seed) {
    NetDraw draw(seed);
    const auto net = random_net(draw, wide);
    const Part part = weights(draw);
    INFO("seed ", seed, ", weights ", part.name);
    const quant::LayerExceptions exceptions(draw.chance(50) ? std::vector<std::string>{"last: weights=float"}
                                                            : std::vector<std::string>{});
    std::unique_ptr<quant::WeightRule> rule;
    if (part.name != "none") rule = std::make_unique<quant::WeightRule>(net->layers, part, Part{"none"}, exceptions);
    const std::int64_t most = draw.integer(2, 7);
    const bool pixels = draw.chance(35);
    counts.add(expect_equal(net->layers, rule.get(), net->image, most, seed, pixels), pixels);
  }
  MESSAGE(counts.layers, " layers, ", counts.on_bytes, " on bytes, ", counts.on_bits, " on bits, ",
          counts.with_thresholds, " with thresholds, ", counts.to_planes, " of them to planes, ", counts.on_pixels,
          " on pixels");
  return counts;
}

}  // namespace

TEST_CASE("freeze: random networks over layers, bits, padding, strides, odd channels, batches, threads and tables") {
  const Counts counts = compared(1, 60, false);
  CHECK(counts.on_bytes > 20);
  CHECK(counts.on_pixels > 10);
  CHECK(counts.with_thresholds > 10);
}

TEST_CASE("freeze: random networks with channels enough for kernels of bits, whose values are planes in between") {
  const Counts counts = compared(101, 150, true);
  CHECK(counts.on_bits > 20);
  CHECK(counts.with_thresholds > 10);
  CHECK(counts.to_planes > 3);
}
