// What is a network made of, layer by layer, and what does it cost to deploy?
//   summary --net resnet20 --weights 1 --activations 4
//   summary experiments/zoo/resnet20_1w4a.safetensors
#include "quant/summary.h"

#include <cstdio>
#include <memory>

#include "core/base/check.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "nn/networks.h"
#include "quant/activations/uniform.h"
#include "quant/weights/weight_rule.h"

using namespace coarsegrad;
using quant::LayerSummary, quant::Summary;

namespace {

struct Settings {
  std::string net = "resnet20", shortcut = "subsample", projection = "exact", weights = "float",
              activations = "float", network;
  int classes = 10, width = 0;
  bool first = true, last = false, per_channel = false;
};

void add_knobs(experiments::Args& args, Settings& s) {
  const experiments::Choices bits{"float", "1", "2", "3", "4", "5", "6", "7", "8"};
  args.add("net", s.net, "network", nn::network_names());
  args.add("classes", s.classes, "classes", {1, 256});
  args.add("width", s.width, "channels of its first convolution; 0: as in the paper", {0, 4096});
  args.add("shortcut", s.shortcut,
           "of a ResNet: without parameters, missing channels behind or on both sides, or a 1x1 convolution",
           nn::shortcut_names());
  args.add("weights", s.weights, "bits of the weights", bits);
  args.add("projection", s.projection, "how they are quantized", quant::projection_names());
  args.add("per-channel", s.per_channel, "a scale for each output channel instead of one for the layer");
  args.add("first", s.first, "quantize the weights of the first layer, too");
  args.add("last", s.last, "quantize the weights of the last layer, too");
  args.add("activations", s.activations, "bits of the activations", bits);
  args.add("network", s.network, "tensor file with a network, which says all of this itself");
  args.add_positional("network");
  args.add_need({"net", "classes", "width", "shortcut", "weights", "projection", "per-channel", "first",
                 "last", "activations"},
                "network", "with the file of a network", [&s] { return s.network.empty(); });
  args.add_need({"projection", "per-channel", "first", "last"}, "weights", "without --weights",
                [&s] { return s.weights != "float"; });
}

Summary summary_of(const std::string& path) {
  const auto file = experiments::read_tensor_file(path);
  const auto settings = experiments::expect_settings_in(file, path);
  datasets::ImageDataset images;
  images.image = nn::network_input(settings.net.net);
  images.classes = settings.classes;
  const auto network = experiments::deployed(file, path, settings, images);
  return quant::summarize(*network.net, images.image, network.rule.get());
}

Summary summary_of(const Settings& s, const Rng& rng) {
  if (!s.network.empty()) return summary_of(s.network);
  const auto activation = s.activations == "float" ? nn::relu_activation()
                                                   : quant::uniform_activation(std::stoi(s.activations),
                                                                               surrogate("clipped_relu"));
  const auto net =
      nn::make_network(s.net, activation, rng.split("net"),
                       {.classes = s.classes, .width = s.width, .shortcut = nn::shortcut(s.shortcut)});
  if (s.weights == "float") return quant::summarize(*net, nn::network_input(s.net));
  const auto projections =
      quant::weight_projections(s.projection, {.bits = std::stoi(s.weights), .per_channel = s.per_channel});
  quant::WeightRule rule(*net, projections, {.quantize_first = s.first, .quantize_last = s.last});
  rule.deploy();
  return quant::summarize(*net, nn::network_input(s.net));
}

std::string bits(int n) { return n == 0 ? "" : std::to_string(n); }

std::string millions(std::int64_t count) { return experiments::number(static_cast<double>(count) / 1e6, 4); }

void print(const Summary& s) {
  experiments::TextTable table({"layer", "kind", "output", "parameters", "weight bits", "bits in", "bits out",
                                "bytes", "MACs, M", "BOPs, M"});
  for (const LayerSummary& l : s.layers)
    table.row(l.name, l.kind, l.output.str(), l.parameters, bits(l.weight_bits), l.input_bits, l.output_bits,
              l.bytes, l.macs ? millions(l.macs) : "", l.bops ? millions(l.bops) : "");
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
    const Summary summary = summary_of(s, Rng(args.seed()));
    std::vector<std::string> names, kinds;
    for (const LayerSummary& l : summary.layers) {
      names.push_back(l.name);
      kinds.push_back(l.kind);
    }
    const auto layers =
        log.table("layers", {{"layer", "1", "which call of which layer, in order", names},
                             {"kind", "1", "its type", kinds},
                             {"parameters", "1", "of the layer, at its first call"},
                             {"weight_bits", "bit", "of its weights; 0: none"},
                             {"input_bits", "bit", "of the activations that come in"},
                             {"output_bits", "bit", "of the activations that go out"},
                             {"bytes", "B", "that it takes in a deployed network"},
                             {"macs", "1", "multiplications and additions for one image"},
                             {"bops", "1", "bit operations: macs * weight_bits * input_bits"}});
    log.start();
    for (std::size_t i = 0; i < summary.layers.size(); ++i) {
      const LayerSummary& l = summary.layers[i];
      const auto n = static_cast<double>(i);
      layers.add({n, n, static_cast<double>(l.parameters), static_cast<double>(l.weight_bits),
                  static_cast<double>(l.input_bits), static_cast<double>(l.output_bits),
                  static_cast<double>(l.bytes), static_cast<double>(l.macs), static_cast<double>(l.bops)});
    }
    print(summary);
  });
}
