// How fast are the layers of LeNet-5 beside the convolutions, at the sizes that they have there?
//   bench_layers --batch 128 --threads 2
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "core/compute/norm.h"
#include "core/compute/pool.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/support/timing.h"

using namespace coarsegrad;
using experiments::number, experiments::Timing;

namespace {

// bytes: what the layer must read and write, each array as often as its algorithm has to.
struct Layer {
  std::string name;
  double bytes;
  std::function<void()> call;
};

class LeNetLayers {
 public:
  LeNetLayers(std::int64_t batch, Rng rng) {
    const std::int64_t largest = batch * 24 * 24 * 32;
    for (auto* array : {&x_, &dy_, &y_}) array->resize(static_cast<std::size_t>(largest));
    rng.normal(x_.data(), x_.size());
    rng.normal(dy_.data(), dy_.size());
    number_.resize(x_.size());
    mask_.resize(mask_bytes(largest));
    for (auto* stats : {&mean_, &inv_std_}) stats->assign(512, 1.f);
    var_.assign(512, 1);
    add_max_pool({batch, 24, 24, 32, 2, 2, 2, 2});
    add_max_pool({batch, 8, 8, 64, 2, 2, 2, 2});
    for (const auto& [pixels, channels] : {std::pair{12 * 12, 32}, {4 * 4, 64}, {1, 512}}) {
      add_batch_norm(batch * pixels, channels);
      add_activations(batch * pixels, channels);
    }
  }

  const std::vector<Layer>& layers() const { return layers_; }

 private:
  void add(const std::string& name, std::int64_t rows, std::int64_t channels, double bytes,
           std::function<void()> call) {
    layers_.push_back({cat(name, " (", rows, " x ", channels, ")"), bytes, std::move(call)});
  }

  void add_max_pool(const PoolShape& s) {
    const std::int64_t in_rows = s.batch * s.height * s.width;
    const double in = 4.0 * static_cast<double>(in_rows * s.channels), bytes = in + in / 4 + in / 8;
    add("max pool", in_rows, s.channels, bytes,
        [this, s] { max_pool_forward(s, x_.data(), y_.data(), number_.data()); });
    add("max pool backward", in_rows, s.channels, bytes,
        [this, s] { max_pool_backward(s, dy_.data(), number_.data(), y_.data()); });
  }

  void add_batch_norm(std::int64_t rows, std::int64_t channels) {
    const double array = 4.0 * static_cast<double>(rows * channels);
    add("batch norm", rows, channels, 3 * array, [this, rows, channels] {
      batch_norm_statistics<float>(rows, channels, x_.data(), 1e-5f, mean_.data(), var_.data(), inv_std_.data());
      batch_norm_apply<float>(rows, channels, x_.data(), {mean_.data(), inv_std_.data(), nullptr, nullptr}, y_.data());
    });
    add("batch norm backward", rows, channels, 5 * array, [this, rows, channels] {
      batch_norm_backward<float>(rows, channels, x_.data(), dy_.data(), nullptr,
                                 {mean_.data(), inv_std_.data(), nullptr, nullptr}, BatchStatistics::of_batch,
                                 {y_.data(), nullptr, nullptr, nullptr});
    });
  }

  void add_activations(std::int64_t rows, std::int64_t channels) {
    const std::int64_t n = rows * channels;
    const double bytes = (2 * 4 + 1.0 / 8) * static_cast<double>(n);
    add("2-bit quantizer", rows, channels, bytes, [this, n] {
      quantize_forward<float>(n, x_.data(), {0.6511f, 3}, {0, 3}, y_.data(), nullptr, mask_.data());
    });
    add("relu", rows, channels, bytes, [this, n] { relu_forward(n, x_.data(), y_.data(), mask_.data()); });
    add("their backward", rows, channels, bytes, [this, n] { mask_backward(n, mask_.data(), dy_.data(), y_.data()); });
  }

  std::vector<float> x_, dy_, y_, mean_, inv_std_;
  std::vector<double> var_;
  std::vector<std::uint16_t> number_;
  std::vector<std::uint8_t> mask_;
  std::vector<Layer> layers_;
};

}  // namespace

int main(int argc, char** argv) {
  std::string kernels = "auto";
  int batch = 128;
  experiments::Args args("bench_layers", "Speed of the pooling, normalisation and activation layers of LeNet-5.");
  args.add("batch", batch, "images", {1, 4096});
  args.add("kernels", kernels, "kernel table",
           {"auto", "scalar", "avx2", "avx512", "avx512vnni", "avx512vpopcntdq", "amx"});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    use_kernels(kernels);
    LeNetLayers net(batch, Rng(args.seed()));
    std::vector<std::string> names;
    for (const Layer& layer : net.layers()) names.push_back(layer.name);
    const auto results = log.table("layers", {{"layer", "1", "name of the layer", names},
                                              {"median", "s", "duration, median of 15 samples"},
                                              {"min", "s", "shortest sample"},
                                              {"max", "s", "longest sample"},
                                              {"bytes", "B", "read and written"}});
    log.start();
    std::printf("batch %d, %d threads, table %s; copies of 9 MiB read and write %.0f GB/s, of 256 MiB %.1f\n", batch,
                args.threads(), active_kernels().name, experiments::copy_rate(std::size_t{9} << 20, args.threads()),
                experiments::copy_rate(std::size_t{256} << 20, args.threads()));
    experiments::TextTable table({"layer", "us", "min us", "spread %", "GB/s"});
    for (std::size_t i = 0; i < net.layers().size(); ++i) {
      experiments::check_stop();
      const Layer& layer = net.layers()[i];
      const Timing t = experiments::time_of(layer.call);
      results.add({static_cast<double>(i), t.median, t.min, t.max, layer.bytes});
      table.row(layer.name, number(t.median * 1e6, 4), number(t.min * 1e6, 4), number(t.spread_percent(), 2),
                number(t.rate(layer.bytes), 3));
    }
    std::fputs(table.str().c_str(), stdout);
  });
}
