// A packed model for other runtimes.
//   export resnet20.cgpacked --onnx resnet20.onnx
//   export resnet20.cgpacked --qonnx resnet20.qonnx --thresholds
// `--check` keeps images and what the model itself makes of them, layer by layer: whoever runs the exported file can
// compare.
#include "quant/export/onnx/export.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/compute/random.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string model, onnx, qonnx, check;
  bool thresholds = false;
  int batch = 0, images = 8;
};

void declare(Args& args, Settings& s) {
  args.add("model", s.model, "packed model, as freeze writes it");
  args.add_positional("model");
  args.add("onnx", s.onnx, "file to write: ONNX, opset 21, integer weights behind DequantizeLinear");
  args.add("qonnx", s.qonnx, "file to write: QONNX, quantizers as Quant and BipolarQuant");
  args.add("thresholds", s.thresholds, "QONNX has codes of whole sums, by explicit MultiThreshold");
  args.add("batch", s.batch, "images that go in together; 0: any number in ONNX, 1 in QONNX, whose executor needs one",
           {0, 100'000});
  args.add("check", s.check, "tensor file to write: made-up images, and the outputs of the model and of its layers");
  args.add("images", s.images, "images of --check", {1, 100'000});
  args.add_need({"thresholds"}, "qonnx", "without --qonnx", [&s] { return !s.qonnx.empty(); });
  args.add_need({"images"}, "check", "without --check", [&s] { return !s.check.empty(); });
}

void write(const packed::Model& model, const std::string& path, const onnx::ExportOptions& options) {
  const std::string bytes = onnx::onnx_bytes(model, options);
  write_file_atomically(path, bytes);
  std::printf("%s: %zu bytes\n", path.c_str(), bytes.size());
}

// Sixteenths: sums of them with signs and powers of two are exact whoever adds them up.
std::vector<float> made_up(std::int64_t count, std::uint64_t seed) {
  std::vector<float> x(static_cast<std::size_t>(count));
  Rng(seed).split("images").normal(x.data(), x.size());
  for (float& v : x) v = std::nearbyint(16 * v) / 16;
  return x;
}

// The values of a network's nodes for all samples, from those of groups of samples.
class Kept {
 public:
  explicit Kept(std::int64_t samples) : samples_(samples) {}

  void keep(const packed::Runtime::Step& step, bool with_values) {
    const packed::Value floats = step.value.decoded();
    if (with_values) put(step.node.name, floats, step.first, 1);
    if (step.value.is_coded()) put(step.node.name + ".codes", floats, step.first, step.value.kind().scale);
  }
  std::vector<StoredTensor> all;  // in the order of the network

 private:
  void put(const std::string& name, const packed::Value& floats, std::int64_t first, float scale) {
    const std::int64_t sample = floats.shape().numel() / floats.shape()[0];
    auto at = std::ranges::find(all, name, &StoredTensor::name);
    if (at == all.end()) {
      const Shape shape = packed::batch_of(samples_, packed::sample_of(floats.shape()));
      at = all.insert(all.end(), {name, shape, std::vector<float>(static_cast<std::size_t>(shape.numel()))});
    }
    std::transform(floats.data(), floats.data() + floats.shape().numel(), at->values.begin() + first * sample,
                   [scale](float v) { return scale == 1 ? v : std::nearbyint(v / scale); });
  }

  std::int64_t samples_;
};

void write_check(packed::Model model, const Settings& s, std::uint64_t seed) {
  const packed::Runtime net(std::move(model));
  TensorFile file;
  const std::vector<float> samples = made_up(s.images * net.input().numel(), seed);
  std::vector<float> outputs(static_cast<std::size_t>(s.images * net.output().numel()));
  Kept kept(s.images);
  net.run(s.images, samples, outputs,
          [&](const packed::Runtime::Step& step) { kept.keep(step, &step.node != &net.model().nodes.back()); });
  file.tensors = std::move(kept.all);
  const auto& nodes = net.model().nodes;
  file.tensors.push_back({nodes.front().name, packed::batch_of(s.images, net.input()), samples});
  file.tensors.push_back({nodes.back().name, packed::batch_of(s.images, net.output()), outputs});
  file.metadata = {{"input", nodes.front().name}, {"output", nodes.back().name}};
  write_tensor_file(s.check, file);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("export", "A packed model as ONNX or QONNX, for other runtimes.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) {
    check_usage(!s.model.empty() && !(s.onnx.empty() && s.qonnx.empty() && s.check.empty()),
                "expected a packed model and a file to write: export FILE --onnx FILE");
    packed::Model model = packed::read_model(s.model);
    log.start();
    if (!s.onnx.empty()) write(model, s.onnx, {onnx::Form::onnx, s.batch});
    const auto form = s.thresholds ? onnx::Form::thresholds : onnx::Form::qonnx;
    if (!s.qonnx.empty()) write(model, s.qonnx, {form, s.batch == 0 ? 1 : s.batch});
    if (!s.check.empty()) write_check(std::move(model), s, args.seed());
  });
}
