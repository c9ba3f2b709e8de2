// A trained network as a packed model: a small file that runs without the framework.
//   freeze results/resnet20.best.safetensors --model resnet20.cgpacked
//   freeze results/resnet20.checkpoint --model resnet20.cgpacked
// What the file of the network says decides how it is deployed (experiments/training/network_file.h). A checkpoint has
// the network of the best epoch so far of a training. The model computes what `evaluate` computes, bit for bit with the
// same kernel table; `infer MODEL --verify NET` proves it.
#include "quant/export/freeze.h"

#include <cstdio>
#include <string>

#include "datasets/pixel_codes.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string network, model;
};

packed::Model frozen(const std::string& path) {
  const TensorFile file = read_network_file(path);
  const NetworkSettings settings = expect_settings_in(file, path);
  const auto images = images_for(settings);
  const DeployedNetwork network = deployed(file, path, settings, images);
  packed::Model model = quant::freeze(*network.net, images.image, network.rule.get(),
                                      settings.pixels == "codes" ? datasets::kPixelScale : 0);
  if (const auto split = split_in(file, path)) model.metadata["dataset"] = split->dataset;
  for (const char* measured : {"test_accuracy", "kernels", "cpu"})  // experiments/training/network_file.h
    if (const auto found = file.metadata.find(measured); found != file.metadata.end()) model.metadata.insert(*found);
  return model;
}

std::int64_t norm_bytes(const packed::Model& model) {
  std::size_t numbers = 0;
  for (const packed::Node& node : model.nodes)
    if (const auto* norm = std::get_if<packed::Norm>(&node.operation))
      numbers += norm->mean.size() + norm->factor.size() + norm->shift.size();
  return static_cast<std::int64_t>(4 * numbers);
}

std::string bits(int n) { return n == 32 ? "float" : std::to_string(n); }

void print(const packed::Runtime& net, std::size_t file_bytes) {
  TextTable table(
      {"layer", "kind", "weight", "weight bits", "bits in", "kernel", "thresholds to", "writes", "bytes", "as floats"});
  std::int64_t floats = 0;
  for (const packed::LayerPlan& l : net.plan()) {
    table.row(l.name, std::string(l.operation), l.weight.str(), bits(l.weight_bits), bits(l.input_bits),
              packed::name_of(l.kernel), l.thresholds, packed::name_of(l.writes), l.bytes, l.float_bytes);
    floats += l.float_bytes;
  }
  const std::int64_t norms = norm_bytes(net.model()), all = floats + norms;
  table.row("normalisations", "", "", "float", "", "", "", "", norms, norms);
  std::fputs(table.str().c_str(), stdout);
  std::printf("the file has %zu bytes, %s times less than the %lld of its numbers as floats\n", file_bytes,
              number(static_cast<double>(all) / static_cast<double>(file_bytes), 3).c_str(),
              static_cast<long long>(all));
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("freeze", "A trained network as a packed model, a small file that `infer` runs.");
  args.add("network", s.network, "tensor file with the network, or a checkpoint of its training");
  args.add_positional("network");
  args.add("model", s.model, "packed model to write");
  return run(args, argc, argv, [&](RunLog& log) {
    check_usage(!s.network.empty() && !s.model.empty(), "expected a network and a model: freeze FILE --model FILE");
    packed::Model model = frozen(s.network);
    const std::string bytes = packed::bytes_of(model);
    log.start();
    write_file_atomically(s.model, bytes);
    print(packed::Runtime(std::move(model)), bytes.size());
  });
}
