// How do the weights of a network get from PyTorch to here, and from here to PyTorch?
//   pytorch_weights --net resnet20 --import theirs.safetensors --network ours.safetensors
//   pytorch_weights --net resnet20 --network ours.safetensors --export theirs.safetensors
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"
#include "experiments/support/run.h"
#include "experiments/training/network_file.h"
#include "experiments/training/pytorch.h"
#include "experiments/training/training.h"
#include "nn/networks.h"

using namespace coarsegrad;
using experiments::StoredTensor, experiments::TensorFile;

namespace {

const StoredTensor& tensor_in(const TensorFile& file, const std::string& name, int rank) {
  const auto found = std::find_if(file.tensors.begin(), file.tensors.end(),
                                  [&name](const StoredTensor& t) { return t.name == name; });
  check(found != file.tensors.end() && found->shape.rank() == rank, "check: the file has no tensor '", name,
        "' with ", rank, " axes");
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
  std::printf("largest deviation of %zu logits: %.3g, largest logit: %.3g\n", expected.values.size(),
              deviation, largest);
  check(deviation <= tolerance * std::max(1., largest), "check: the logits differ by ", deviation,
        ", expected at most ", tolerance, " of the largest one");
}

struct Settings {
  std::string net = "resnet20", shortcut = "subsample", matching = "names", in, out, network, check;
  int classes = 10, width = 0;
  double tolerance = 1e-4;
};

void add_knobs(experiments::Args& args, Settings& s) {
  args.add("net", s.net, "network", nn::network_names());
  args.add("classes", s.classes, "classes", {1, 256});
  args.add("width", s.width, "channels of the first convolution; 0: the paper's", {0, 4096});
  args.add("shortcut", s.shortcut, "of the ResNets", {"subsample", "projection"});
  args.add("import", s.in, "read weights in PyTorch's layout from this file");
  args.add("matching", s.matching, "how entries of that file are recognised", {"names", "order"});
  args.add("network", s.network, "our weights: written after an import, else read");
  args.add("export", s.out, "write weights in PyTorch's layout to this file");
  args.add("check", s.check, "compare with the tensors images (N,C,H,W) and logits of this file");
  args.add("tolerance", s.tolerance,
           "of the comparison, as a share of the largest logit, or absolute below 1", {0, 1});
  args.add_need({"matching"}, "import", "without --import", [&s] { return !s.in.empty(); });
  args.add_need({"tolerance"}, "check", "without --check", [&s] { return !s.check.empty(); });
}

/// Of the network that is imported: which images were held out from it nobody knows.
experiments::NetworkSettings settings_of(const Settings& s) {
  return {{.net = s.net, .shortcut = s.shortcut, .width = s.width}, {}, s.classes};
}

/// What the file says of the network, where the flags leave it open. Throws UsageError where they do not fit.
void take_settings(Settings& s) {
  const auto said = experiments::settings_in(experiments::read_tensor_file(s.network), s.network);
  if (!said) return;
  const Settings standard;
  const auto take = [&](const char* name, auto& value, const auto& usual, const auto& in_file) {
    check_usage(value == usual || value == in_file, s.network, ": ", name, " is ", in_file, ", given ",
                value);
    value = in_file;
  };
  take("net", s.net, standard.net, said->net.net);
  take("shortcut", s.shortcut, standard.shortcut, said->net.shortcut);
  take("width", s.width, standard.width, said->net.width);
  take("classes", s.classes, standard.classes, said->classes);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  experiments::Args args("pytorch_weights", "Weights of a network from PyTorch and for PyTorch.");
  add_knobs(args, s);
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    check_usage(!s.in.empty() || !s.network.empty(),
                "give --import or --network: there are no weights without");
    check_usage(!s.out.empty() || !s.check.empty() || !s.in.empty(), "give --import, --export or --check");
    log.start();
    if (s.in.empty()) take_settings(s);
    const auto shortcut = s.shortcut == "projection" ? nn::Shortcut::projection : nn::Shortcut::subsample;
    const auto net = nn::make_network(s.net, nn::relu_activation(), Rng(args.seed()),
                                      {.classes = s.classes, .width = s.width, .shortcut = shortcut});
    const Shape image = nn::network_input(s.net);
    if (!s.in.empty()) {
      const auto matching =
          s.matching == "order" ? experiments::PyTorchMatching::order : experiments::PyTorchMatching::names;
      experiments::from_pytorch(experiments::read_tensor_file(s.in), *net, image, matching);
      if (!s.network.empty())
        experiments::save_network(s.network, net->state_dict(), experiments::metadata_of(settings_of(s)));
    } else {
      experiments::load_network(s.network, *net);
    }
    if (!s.out.empty()) experiments::write_tensor_file(s.out, experiments::to_pytorch(*net, image));
    if (!s.check.empty()) check_logits(*net, experiments::read_tensor_file(s.check), s.tolerance);
  });
}
