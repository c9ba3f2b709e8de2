// Where estimators go from a minimum that another one has found.
#include "experiments/studies/instability.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/ops.h"
#include "datasets/synthetic.h"
#include "experiments/studies/diagnostics.h"
#include "experiments/training/network_file.h"
#include "nn/networks.h"
#include "quant/assembly.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

const SplitData& shapes() {
  static const SplitData data = split({datasets::drawn_shapes(60, 3, 0), datasets::drawn_shapes(20, 3, 1)}, 20, 3);
  return data;
}

std::unique_ptr<nn::Module> network(const nn::MakeActivation& activation) {
  return nn::make_network("resnet20", activation, Rng(5), {.width = 4});
}

CellPlan training(const std::string& ste, int bits) {
  CellPlan plan;
  plan.method = quantized(ste, bits);
  plan.optim.batch = 10;
  return plan;
}

}  // namespace

TEST_CASE("gradient lengths: those of single batches have the mean as their mean, layers are parts of the whole") {
  const auto lengths = [](int batches) {
    return gradient_lengths(training("clipped_relu", 2), shapes(), network, batches);
  };
  const GradientLengths first = lengths(1), both = lengths(2);
  CHECK(first.layers.size() == 20);
  double squares = 0;
  for (const double length : first.layers) squares += length * length;
  CHECK(first.whole > std::sqrt(squares));  // normalisations and the bias have gradients, too
  CHECK(first.whole < 2 * std::sqrt(squares));
  // One batch by hand.
  const auto net = quant::make_network(quantized("clipped_relu", 2), network, {32, 32, 3});
  datasets::DataLoader loader(*shapes().train, {.batch_size = 10, .drop_last = true, .seed = 1});
  double by_hand[2] = {};
  for (double& length : by_hand) {
    for (Parameter* p : net->parameters()) p->zero_grad();
    const datasets::Batch& batch = loader.next();
    cross_entropy((*net)(batch["image"]), batch["label"]).backward();
    for (Parameter* p : net->parameters())
      for (const Real g : p->grad().view()) length += static_cast<double>(g) * static_cast<double>(g);
    length = std::sqrt(length);
  }
  CHECK(first.whole == doctest::Approx(by_hand[0]));
  CHECK(both.whole == doctest::Approx((by_hand[0] + by_hand[1]) / 2));
}

TEST_CASE("gradient lengths: the identity's are the longest in the first layers, and no longer in the last one") {
  const GradientLengths identity = gradient_lengths(training("identity", 2), shapes(), network, 2),
                        clipped = gradient_lengths(training("clipped_relu", 2), shapes(), network, 2);
  CHECK(identity.whole > 2 * clipped.whole);
  CHECK(identity.layers.front() > 2 * clipped.layers.front());
  CHECK(identity.layers.back() == doctest::Approx(clipped.layers.back()));  // no activation behind it
}

TEST_CASE("instability: nets from files are one for each of the bits, of the estimator and the bits that are named") {
  const TempFolder folder;
  const auto file = [&folder](const std::string& ste, int bits) {
    const auto net = quant::make_network(quantized(ste, bits), network, {32, 32, 3});
    const auto path = folder / cat(ste, bits, ".safetensors");
    save_network(path, net->state_dict(), metadata_of({{.width = 4}, quantized(ste, bits), 10}));
    return path.string();
  };
  InstabilitySettings s;
  const auto complaint = [&s](std::vector<std::string> nets) {
    s.nets = std::move(nets);
    return complaint_of([&s] { check_nets(s, {2, 4}); });
  };
  const std::string two = file("clipped_relu", 2), four = file("clipped_relu", 4);
  CHECK(complaint({}).empty());
  CHECK(complaint({two, four}).empty());
  CHECK_SAYS(complaint({two}), "instability-nets: given 1, expected one for each of the 2 --bits");
  CHECK_SAYS(complaint({four, two}), "with uniform, 4 bits, expected uniform, 2 bits");
  CHECK_SAYS(complaint({two, file("relu", 4)}), "with uniform, 4 bits, surrogate relu, expected uniform, 4 bits");
  CHECK_SAYS(complaint({two, (folder / "none").string()}), "none");
}
