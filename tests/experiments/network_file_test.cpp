// What the file of a network says besides its tensors, and what judging a network does with numbers that are
// not finite.
#include "experiments/training/network_file.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/base/sha256.h"
#include "experiments/support/run.h"
#include "experiments/training/checkpoint.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"
#include "quant/weights/lloyd.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

TensorFile file_with(const Metadata& metadata) { return {{{"w", {1}, {0.f}}}, metadata}; }

Split drawn_split(std::int64_t held_out, std::uint64_t seed) {
  return split({datasets::drawn_digits(20, 1), datasets::drawn_digits(4, 1, 1)}, held_out, seed, "drawn_digits").split;
}

void set(nn::Module& net, const std::string& parameter, Real value) {
  for (const auto& [name, p] : net.named_parameters())
    if (name == parameter) p->value.mutable_data()[0] = value;
}

}  // namespace

TEST_CASE("evaluation: logits that are not finite are an error that names the first layer whose output is not") {
  const SplitData data = small_data();
  const auto net = small_net(Rng(5));
  const double sound = evaluate(*net, *data.test).accuracy;
  CHECK((sound >= 0 && sound <= 1));
  const Real inf = std::numeric_limits<Real>::infinity();
  for (const Real bad : {std::numeric_limits<Real>::quiet_NaN(), inf, -inf})
    for (const char* layer : {"fc", "conv"}) {
      const auto broken = small_net(Rng(5));
      set(*broken, cat(layer, ".weight"), bad);
      CHECK_SAYS(complaint_of([&] { evaluate(*broken, *data.test); }),
                 cat("what is not finite first is the output of ", layer));
      CHECK_THROWS_AS(evaluate(*broken, *data.test), Diverged);
    }
}

TEST_CASE("split: the digest is that of the indices set aside, and any difference is another split") {
  const Split s = drawn_split(5, 3);
  CHECK(s.dataset == "drawn_digits");
  CHECK(s.images == 20);
  CHECK(s.held_out == 5);
  CHECK(s.seed == 3);
  const std::vector<std::int64_t> indices = datasets::held_out_indices(20, 5, 3);
  CHECK(std::ranges::is_sorted(indices));
  CHECK(s.digest == sha256({std::as_bytes(std::span(indices))}));
  CHECK(s.same_images(drawn_split(5, 3)));
  CHECK_FALSE(s.same_images(drawn_split(5, 4)));
  CHECK_FALSE(s.same_images(drawn_split(6, 3)));
  CHECK(drawn_split(0, 3).held_out == 0);
  Split moved = s;
  moved.digest = sha256({});
  CHECK_FALSE(s.same_images(moved));
}

TEST_CASE("network file: settings of maps that are no more are read over, the maps themselves are not") {
  const TensorFile old = file_with({{"settings", R"({"net": "lenet5", "sharpness": 100, "activation-powers": 2})"}});
  const auto found = settings_in(old, "x");
  REQUIRE(found);
  CHECK(found->net.net == "lenet5");
  for (const char* settings :
       {R"({"activation": "asymptotic", "activation-bits": 2})",
        R"({"projection": "fixed_levels", "weight-bits": 2, "level-scale": "fitted", "level-powers": 2})"})
    CHECK_SAYS(complaint_of([&] { settings_in(file_with({{"settings", settings}}), "x"); }), "x: settings");
}

TEST_CASE("network file: what version 0.1 wrote is read in the words of today") {
  const TensorFile old = file_with({{"settings", R"({"activation": "uniform", "activation-bits": 4, "alpha": "pact",
      "alpha-rate": 0.5, "alpha-start": 0.0, "ste": "own", "clamp-alpha-gradient": true, "record-alpha": false,
      "weight-bits": 2, "projection": "lloyd", "lloyd-steps": 3, "per-channel": true, "sign-of-zero": 1,
      "mu-over-max": 0.75, "level-scale": "fitted", "level-powers": 2, "quantize-first": false, "quantize-last": false,
      "quantize-last-activation": false, "net": "vgg11", "classes": 10})"}});
  const auto found = settings_in(old, "x");
  REQUIRE(found);
  CHECK(found->net.net == "vgg11");
  CHECK(found->method.weights == Part{"lloyd", quant::LloydOptions{.bits = 2, .per_channel = true, .steps = 3}});
  CHECK(found->method.activations ==
        Part{"trained", quant::TrainedActivationOptions{
                            .bits = 4, .rule = AlphaRule::pact, .rate_factor = 0.5, .clamp_gradient = true}});
  CHECK(found->method.layers ==
        std::vector<std::string>{"first: weights=float", "last: weights=float", "last: activations=float"});
}

TEST_CASE("network file: settings and split come back as they were written") {
  NetworkSettings s{{.net = "vgg11", .width = 8}, {}, 100};
  s.method.weights = {"lloyd", quant::LloydOptions{.bits = 2, .per_channel = true, .steps = 4}};
  s.method.activations = {"uniform", quant::UniformOptions{.bits = 3, .surrogate = "relu", .alpha = 1.0 / 3}};
  s.method.layers = {"conv1: weights.bits=8", "last: weights=float"};
  const Split before = drawn_split(5, std::numeric_limits<std::uint64_t>::max());
  const TensorFile file = file_with(metadata_of(s, before));
  const auto found = settings_in(file, "x");
  REQUIRE(found);
  CHECK(words(*found) ==
        "vgg11; weights lloyd, 2 bits, per-channel true, steps 4; activations uniform, 3 bits, surrogate relu, alpha "
        "0.3333333333333333; layers conv1: weights.bits=8, last: weights=float");
  CHECK(found->method.weights == s.method.weights);
  CHECK(found->method.activations == s.method.activations);
  CHECK(found->classes == 100);
  const auto split = split_in(file, "x");
  REQUIRE(split);
  CHECK(split->same_images(before));
  CHECK(split->independent);
  CHECK_FALSE(settings_in(file_with({}), "x"));
  CHECK_FALSE(split_in(file_with(metadata_of(s)), "x"));
}

TEST_CASE("network file: an entry that is malformed or not known is refused by the file's name") {
  const Split s = drawn_split(5, 3);
  for (const char* settings : {"", "[]", "3", "{\"net\": 3}", "{\"net\": \"resnet21\"}", "{\"color\": 1}"})
    CHECK_SAYS(complaint_of([&] {
                 settings_in(file_with({{"settings", settings}}), "x.safetensors");
               }),
               "x.safetensors: settings");
  for (const char* split : {"", "{}", "{\"images\": 1e300}", "{\"held-out\": -1}"})
    CHECK_SAYS(complaint_of([&] { split_in(file_with({{"split", split}}), "x.safetensors"); }), "x.safetensors: split");
}

TEST_CASE("going on: another data set and no held-out images are no other split") {
  const TempFolder folder;
  const auto path = folder / "x.safetensors";
  write_tensor_file(path, file_with(metadata_of({}, drawn_split(5, 3))));
  Split own = drawn_split(5, 3), other = drawn_split(6, 3), none = drawn_split(0, 3), digits = other;
  digits.dataset = "mnist";
  for (Split* s : {&own, &none, &digits}) {
    go_on_with(path, *s);
    CHECK(s->independent);
  }
  CHECK_THROWS_AS(go_on_with(path, other), UsageError);
  write_tensor_file(path, file_with({}));
  go_on_with(path, other);
  CHECK_FALSE(other.independent);
}

TEST_CASE("network file: in a checkpoint it is the best network so far, once an epoch has ended, in the last stage") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  const NetworkSettings settings{.net = {.net = "lenet5"}};
  Checkpoint c;
  c.about = metadata_of(settings);
  c.parts["training"].add("best", {{{"fc.weight", Tensor({1, 2}, {3, 4})}}, {}, {}, {}});
  write_checkpoint(path, c);
  const TensorFile file = read_network_file(path);
  REQUIRE(file.tensors.size() == 1);
  CHECK(file.tensors[0].name == "fc.weight");
  CHECK(file.tensors[0].values == std::vector<float>{3, 4});
  CHECK(file.metadata == c.about);
  CHECK(expect_settings_in(file, path).net.net == "lenet5");
  c.parts["training"] = {};
  write_checkpoint(path, c);
  CHECK_SAYS(complaint_of([&] { read_network_file(path); }), "run.checkpoint: a checkpoint of a training whose first");
  c.about.clear();
  write_checkpoint(path, c);
  CHECK_SAYS(complaint_of([&] { read_network_file(path); }), "says nothing of its network's settings");
  c.parts.clear();
  write_checkpoint(path, c);
  CHECK_SAYS(complaint_of([&] { read_network_file(path); }), "says nothing of its network's settings");
  write_tensor_file(path, file_with({{"settings", "{}"}}));
  CHECK(read_network_file(path).tensors.size() == 1);
}
