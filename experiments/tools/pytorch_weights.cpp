// How do the weights of a network get from PyTorch to here, and from here to PyTorch?
//   pytorch_weights --net resnet20 --import theirs.safetensors --check check.safetensors --network ours.safetensors
//   pytorch_weights --net resnet20 --network ours.safetensors --export theirs.safetensors
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "experiments/support/run.h"
#include "experiments/training/network_file.h"
#include "experiments/training/pytorch.h"
#include "experiments/training/settings.h"
#include "experiments/training/training.h"
#include "nn/networks.h"
#include "quant/assembly.h"
#include "quant/method.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using experiments::NetworkSettings, experiments::StoredTensor, experiments::TensorFile;

namespace {

const StoredTensor& tensor_in(const TensorFile& file, const std::string& name, int rank) {
  const auto found =
      std::find_if(file.tensors.begin(), file.tensors.end(), [&name](const StoredTensor& t) { return t.name == name; });
  check(found != file.tensors.end() && found->shape.rank() == rank, "check: the file has no tensor '", name, "' with ",
        rank, " axes");
  return *found;
}

/// Images (N,C,H,W) as (N,H,W,C).
Tensor channels_last(const StoredTensor& images) {
  const std::int64_t n = images.shape[0], c = images.shape[1], pixels = images.shape[2] * images.shape[3];
  Tensor out = Tensor::uninitialized({n, images.shape[2], images.shape[3], c});
  Real* to = out.mutable_data();
  for (std::int64_t i = 0; i < n; ++i)
    for (std::int64_t p = 0; p < pixels; ++p)
      for (std::int64_t k = 0; k < c; ++k)
        to[(i * pixels + p) * c + k] = images.values[static_cast<std::size_t>((i * c + k) * pixels + p)];
  return out;
}

/// Prints how far the logits are from PyTorch's; throws Error when that is too far.
void check_logits(nn::Module& net, const TensorFile& file, double tolerance) {
  const StoredTensor &images = tensor_in(file, "images", 4), &expected = tensor_in(file, "logits", 2);
  net.eval();
  const NoGrad no_grad;
  const Tensor logits = net(channels_last(images)).value();
  check(logits.shape() == expected.shape, "check: given logits of shape ", expected.shape, ", expected ",
        logits.shape());
  double largest = 0, deviation = 0;
  for (std::size_t i = 0; i < expected.values.size(); ++i) {
    const double theirs = expected.values[i], ours = logits.view()[i];
    check(std::isfinite(theirs) && std::isfinite(ours), "check: logit ", i, " is ", theirs, ", ours ", ours);
    largest = std::max(largest, std::abs(theirs));
    deviation = std::max(deviation, std::abs(ours - theirs));
  }
  std::printf("largest deviation of %zu logits: %.3g, largest logit: %.3g\n", expected.values.size(), deviation,
              largest);
  check(deviation <= tolerance * std::max(1., largest), "check: the logits differ by ", deviation,
        ", expected at most ", tolerance, " of the largest one");
}

struct Settings {
  NetworkSettings made;
  std::string matching = "names", in, out, network, check;
  double tolerance = 1e-4;
  bool float_copies = false, unchecked = false;
};

void add_knobs(experiments::Args& args, Settings& s) {
  declare(args, s.made.net);
  args.add("classes", s.made.classes, "classes", {1, 256});
  declare_quantization(args, s.made.method);
  args.add("import", s.in, "read weights in PyTorch's layout from this file");
  args.add("matching", s.matching, "how entries of the --import file are recognised", {"names", "order"});
  args.add("unchecked", s.unchecked, "import without --check");
  args.add("network", s.network, "our weights: written after an import, else read");
  args.add("export", s.out, "write weights in PyTorch's layout to this file");
  args.add("float-copies", s.float_copies,
           "export the float copies instead of the weights that the network computes with");
  args.add("check", s.check, "compare with the tensors images (N,C,H,W) and logits of this file");
  args.add("tolerance", s.tolerance, "largest error of --check, as a share of the largest logit, or absolute below 1",
           {0, 1});
  args.add_need({"matching"}, "import", "without --import", [&s] { return !s.in.empty(); });
  args.add_need({"tolerance"}, "check", "without --check", [&s] { return !s.check.empty(); });
}

// A network of another structure (where a shortcut fills in zeros, say) may take all tensors of a file and
// compute something else, which logits alone tell.
void check_flags(const Settings& s) {
  check_usage(!s.in.empty() || !s.network.empty(), "give --import or --network: there are no weights without");
  check_usage(!s.out.empty() || !s.check.empty() || !s.in.empty(), "give --import, --export or --check");
  check_usage(s.in.empty() || s.check.empty() == s.unchecked, "--import: expected ",
              s.unchecked ? "--check or --unchecked, given both"
                          : "--check FILE with images and PyTorch's logits of them, or --unchecked");
  check_usage(!s.float_copies || !s.out.empty(), "--float-copies: expected --export, too");
}

// What the file says of the network, where flags leave it open. Throws UsageError where they do not fit.
void take_settings(Settings& s, const TensorFile& file) {
  const auto said = experiments::settings_in(file, s.network);
  if (!said) return;
  const auto json = [](const NetworkSettings& made) {
    return nlohmann::json::parse(experiments::metadata_of(made).at("settings"));
  };
  const nlohmann::json given = json(s.made), standard = json({}), in_file = json(*said);
  for (const auto& [key, value] : given.items())
    check_usage(value == standard.at(key) || value == in_file.at(key), s.network, ": ", key, " is ",
                in_file.at(key).dump(), ", given ", value.dump());
  s.made = *said;
}

std::unique_ptr<nn::Module> network(const NetworkSettings& made, std::uint64_t seed) {
  const auto images = experiments::images_for(made);
  return quant::make_network(made.method, experiments::network_maker(made.net, images, seed), images.image);
}

// The rule of the loaded network, null for float weights, with what its projections have kept in the file.
std::unique_ptr<quant::WeightRule> rule_of(const Settings& s, nn::Module& net, const TensorFile& file) {
  auto rule = quant::make_rule(s.made.method, net);
  if (!rule) return nullptr;
  nn::StateDict kept;
  for (const auto& [name, value] : rule->state_dict())
    for (const StoredTensor& t : file.tensors)
      if (t.name == name) kept.emplace_back(name, Tensor(t.shape, {t.values.begin(), t.values.end()}));
  if (!kept.empty()) rule->load_state_dict(kept);
  rule->deploy();
  return rule;
}

void export_weights(const Settings& s, nn::Module& net, quant::WeightRule* rule) {
  const Shape image = nn::network_input(s.made.net.net);
  experiments::write_tensor_file(
      s.out, s.float_copies ? experiments::to_pytorch(net, image) : experiments::to_pytorch(net, image, rule));
  if (!rule)
    std::printf("exported the weights of the file; if they are quantized, give --weights\n");
  else if (s.float_copies)
    std::printf("exported float copies, which the network does not compute with\n");
  else
    std::printf("exported the weights that the network computes with: %s\n",
                quant::words(s.made.method.weights, quant::weight_projections()).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  experiments::Args args("pytorch_weights", "Weights of a network from PyTorch and for PyTorch.");
  add_knobs(args, s);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    check_flags(s);
    log.start();
    const TensorFile file = experiments::read_tensor_file(s.in.empty() ? s.network : s.in);
    if (s.in.empty()) take_settings(s, file);
    const auto net = network(s.made, args.seed());
    if (s.in.empty())
      experiments::load_network(s.network, *net);
    else
      experiments::from_pytorch(
          file, *net, nn::network_input(s.made.net.net),
          s.matching == "order" ? experiments::PyTorchMatching::order : experiments::PyTorchMatching::names);
    const auto rule = rule_of(s, *net, file);
    if (!s.check.empty()) check_logits(*net, experiments::read_tensor_file(s.check), s.tolerance);
    if (!s.in.empty() && !s.network.empty())
      experiments::save_network(s.network, net->state_dict(), experiments::metadata_of(s.made));
    if (!s.out.empty()) export_weights(s, *net, rule.get());
  });
}
