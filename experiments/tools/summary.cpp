// What is a network made of, layer by layer, and what does it cost to deploy?
//   summary --net resnet20 --weights exact --activations uniform
//   summary experiments/zoo/resnet20_1w4a.safetensors
#include "quant/summary.h"

#include <cstdio>
#include <memory>

#include "core/base/check.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "quant/assembly.h"
#include "quant/evaluation_scope.h"

using namespace coarsegrad;
using quant::LayerSummary, quant::Summary;

namespace {

struct Settings {
  experiments::NetworkSettings made;
  std::string network;
};

void add_knobs(experiments::Args& args, Settings& s) {
  declare(args, s.made.net);
  args.add("classes", s.made.classes, "classes", {1, 256});
  declare_quantization(args, s.made.method);
  args.add("network", s.network, "tensor file with a network, which says itself how it is made");
  args.add_positional("network");
  args.add_need({"net", "classes", "width", "shortcut", "affine", "weights", "activations", "layers"}, "network",
                "with the file of a network", [&s] { return s.network.empty(); });
}

Summary summary_of(const std::string& path) {
  const auto file = experiments::read_tensor_file(path);
  const auto settings = experiments::expect_settings_in(file, path);
  const auto images = experiments::images_for(settings);
  const auto network = experiments::deployed(file, path, settings, images);
  return quant::summarize(*network.net, images.image, network.rule.get());
}

Summary summary_of(const Settings& s, std::uint64_t seed) {
  if (!s.network.empty()) return summary_of(s.network);
  const auto images = experiments::images_for(s.made);
  const auto net =
      quant::make_network(s.made.method, experiments::network_maker(s.made.net, images, seed), images.image);
  const auto rule = quant::make_rule(s.made.method, *net);
  const quant::EvaluationScope deployed(*net, rule.get());
  return quant::summarize(*net, images.image, rule.get());
}

std::string bits(int n) { return n == 0 ? "" : std::to_string(n); }

std::string millions(std::int64_t count) { return experiments::number(static_cast<double>(count) / 1e6, 4); }

void print(const Summary& s) {
  experiments::TextTable table(
      {"layer", "kind", "output", "parameters", "weight bits", "bits in", "bits out", "bytes", "MACs, M", "BOPs, M"});
  for (const LayerSummary& l : s.layers)
    table.row(l.name, l.kind, l.output.str(), l.parameters, bits(l.weight_bits), l.input_bits, l.output_bits, l.bytes,
              l.macs ? millions(l.macs) : "", l.bops ? millions(l.bops) : "");
  table.row("total", "", "", s.parameters, "", "", "", s.bytes, millions(s.macs), millions(s.bops));
  std::fputs(table.str().c_str(), stdout);
  std::puts(
      "for one image; 32 bits are float; bytes: deployed, weights packed; BOPs: MACs * weight bits * bits "
      "in");
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  experiments::Args args("summary", "Layers, shapes, parameters, bits, bytes and operations of a network.");
  add_knobs(args, s);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const Summary summary = summary_of(s, args.seed());
    std::vector<std::string> names, kinds;
    for (const LayerSummary& l : summary.layers) {
      names.push_back(l.name);
      kinds.push_back(l.kind);
    }
    const auto layers = log.table("layers", {{"layer", "1", "which call of which layer, in order", names},
                                             {"kind", "1", "type of the layer", kinds},
                                             {"parameters", "1", "parameters of the layer, at its first call"},
                                             {"weight_bits", "bit", "bits of the layer's weights; 0: none"},
                                             {"input_bits", "bit", "bits of the activations that come in"},
                                             {"output_bits", "bit", "bits of the activations that go out"},
                                             {"bytes", "B", "bytes of the layer in a deployed network"},
                                             {"macs", "1", "multiplications and additions for one image"},
                                             {"bops", "1", "bit operations: macs * weight_bits * input_bits"}});
    log.start();
    for (std::size_t i = 0; i < summary.layers.size(); ++i) {
      const LayerSummary& l = summary.layers[i];
      const auto n = static_cast<double>(i);
      layers.add({n, n, static_cast<double>(l.parameters), static_cast<double>(l.weight_bits),
                  static_cast<double>(l.input_bits), static_cast<double>(l.output_bits), static_cast<double>(l.bytes),
                  static_cast<double>(l.macs), static_cast<double>(l.bops)});
    }
    print(summary);
  });
}
