#include "experiments/training/checkpoint.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "experiments/support/tensor_file.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Checkpoint example() {
  Checkpoint c;
  c.config = R"({"lr":0.1})";
  c.commit = "0123456789";
  c.step = std::int64_t{1} << 60 | 1;
  c.loss_sum = 0.1 + 0.2;
  c.seconds = 1e-300;
  c.rows = {{1, 1.0 / 3, std::nan("")}, {kInfinity, -kInfinity, -0.0}};
  c.best = 1;
  c.log = "{\"rows\": [1, 2]}\n";
  c.network = {{"conv.weight", Tensor({2, 1, 1, 3}, {1, 2, 3, 4, 5, Real(1e-40)})},
               {"norm.mean", Tensor({0})}};
  c.average = {{"conv.weight", Tensor({1}, Real(-0.0))}};
  c.optimizer = {{{"momentum.0", Tensor({2}, Real(5))}, {"momentum.1", Tensor()}},
                 {std::numeric_limits<std::int64_t>::max(), 0},
                 0.1};
  c.generators = {{"dropout.rng", std::numeric_limits<std::uint64_t>::max(), std::uint64_t{1} << 63 | 1}};
  return c;
}

/// The file with its state or its metadata changed, and a checksum that fits.
void rewrite(const std::filesystem::path& path, const std::function<void(TensorFile&)>& change) {
  write_checkpoint(path, example());
  TensorFile file = read_tensor_file(path);
  change(file);
  write_tensor_file(path, file);
}

std::string complaint(const std::filesystem::path& path, const std::function<void(TensorFile&)>& change) {
  rewrite(path, change);
  const std::string before = file_content(path);
  std::string said = complaint_of([&] { read_checkpoint(path); });
  CHECK(file_content(path) == before);
  return said;
}

std::string state_complaint(const std::filesystem::path& path, const std::string& from,
                            const std::string& to) {
  return complaint(path, [&](TensorFile& file) {
    std::string& state = file.metadata["state"];
    const auto at = state.find(from);
    REQUIRE(at != std::string::npos);
    state.replace(at, from.size(), to);
  });
}

}  // namespace

TEST_CASE("checkpoint: what was written comes back bit for bit") {
  const TempFolder folder;
  const auto path = folder.path() / "sub" / "run.checkpoint";
  const Checkpoint c = example();
  write_checkpoint(path, c);
  const Checkpoint back = read_checkpoint(path);
  CHECK(back.config == c.config);
  CHECK(back.commit == c.commit);
  CHECK(back.step == c.step);
  CHECK(back.loss_sum == c.loss_sum);
  CHECK(back.seconds == c.seconds);
  REQUIRE(back.rows.size() == 2);
  CHECK(back.rows[0][1] == 1.0 / 3);
  CHECK(std::isnan(back.rows[0][2]));
  CHECK(back.rows[1] == c.rows[1]);
  CHECK(std::signbit(back.rows[1][2]));
  CHECK(back.best == 1);
  CHECK(back.log == c.log);
  REQUIRE(back.network.size() == 2);
  CHECK(back.network[0].first == "conv.weight");
  CHECK(back.network[0].second.shape() == Shape{2, 1, 1, 3});
  CHECK(std::ranges::equal(back.network[0].second.view(), c.network[0].second.view()));
  CHECK(back.network[1].second.numel() == 0);
  CHECK(std::signbit(back.average[0].second.item()));
  CHECK(back.best_network.empty());
  CHECK(back.optimizer.steps == c.optimizer.steps);
  CHECK(back.optimizer.lr == 0.1);
  CHECK(back.optimizer.tensors[1].first == "momentum.1");
  CHECK_FALSE(back.optimizer.tensors[1].second.defined());
  CHECK(back.generators[0].key == c.generators[0].key);
  CHECK(back.generators[0].position == c.generators[0].position);
}

TEST_CASE("checkpoint: a file that is another one, or of a version to come, is refused by its name") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["version"] = "3"; }),
             "given version 3, this program knows version 2");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["format"] = "model"; }),
             "is no checkpoint, but 'model'");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata.clear(); }), "is no checkpoint");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["config"] = "{}"; }),
             "checksum of the configuration");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["state"] = "{"; }), path.string());
  write_file(path, "no tensor file");
  CHECK_SAYS(complaint_of([&] { read_checkpoint(path); }), path.string());
  CHECK_SAYS(complaint_of([&] { read_checkpoint(folder / "nowhere"); }), "nowhere");
}

TEST_CASE("checkpoint: tensors that are missing, left over or renamed are named") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  CHECK_SAYS(complaint(path,
                       [](TensorFile& f) {
                         std::erase_if(f.tensors, [](auto& t) { return t.name == "network/conv.weight"; });
                       }),
             "'network/conv.weight' is missing");
  CHECK_SAYS(complaint(path,
                       [](TensorFile& f) {
                         f.tensors.push_back({"network/more", {1}, {1}});
                       }),
             "'network/more' belongs to no part");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.tensors[0].name = "network/conv.wait"; }), "is missing");
}

TEST_CASE("checkpoint: what is no whole number is refused where one is expected") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  const std::string steps = "\"optimizer_steps\":[9223372036854775807,0]";
  for (const char* wrong : {"2.5", "1e78", "-1", "true", "\"2\"", "9223372036854775808"}) {
    CAPTURE(wrong);
    CHECK_SAYS(state_complaint(path, steps, cat("\"optimizer_steps\":[", wrong, ",0]")),
               cat("optimizer_steps: given ", wrong == std::string("1e78") ? "1e+78" : wrong));
    CHECK_SAYS(
        state_complaint(path, "\"best\":1", cat("\"best\":", wrong == std::string("-1") ? "-2" : wrong)),
        "best: given");
    CHECK_SAYS(state_complaint(path, "\"step\":1152921504606846977", cat("\"step\":", wrong)), "step: given");
    if (wrong != std::string("9223372036854775808"))  // the streams count in 64 bits without a sign
      CHECK_SAYS(state_complaint(path, ",18446744073709551615,", cat(",", wrong, ",")),
                 "key of a random stream: given");
  }
  CHECK_SAYS(state_complaint(path, "\"best\":1", "\"best\":18446744073709551615"), "best: given");
}

TEST_CASE("checkpoint: names and texts of the file are short in messages, and nested JSON takes no memory") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  const std::string name = "\x1b[31m" + std::string(5'000'000, 'n');
  for (const std::string& said :
       {complaint(path,
                  [&](TensorFile& f) {
                    f.tensors.push_back({"network/" + name, {1}, {1}});
                  }),
        complaint(path, [&](TensorFile& f) { f.metadata["format"] = name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["version"] = name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["state"] = "{\"" + name; }),
        state_complaint(path, "\"inf\"", cat("\"", std::string(5'000'000, 'n'), "\""))}) {
    CHECK(said.size() > 20);
    CHECK(said.size() < 400);
    CHECK_FALSE(contains(said, "\x1b"));
  }
  CHECK_SAYS(complaint(path, [&](TensorFile& f) { f.metadata["state"] = std::string(20'000'000, '['); }),
             "the state is nested more than 8 deep");
  CHECK_SAYS(state_complaint(path, "{\"best\":1", "{\"best\":0,\"best\":1"), "the state has 'best' twice");
}

TEST_CASE("checkpoint: numbers that cannot be are refused") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  CHECK_SAYS(state_complaint(path, "\"best\":1", "\"best\":2"), "best");
  CHECK_SAYS(state_complaint(path, "\"best\":1", "\"best\":-2"), "best");
  CHECK_SAYS(state_complaint(path, "\"best\":1", "\"best\":0.5"), "best");
  CHECK_SAYS(state_complaint(path, "\"step\":", "\"step\":-"), "step");
  CHECK_SAYS(state_complaint(path, "\"step\":", "\"stop\":"), "step");
  CHECK_SAYS(state_complaint(path, "\"inf\"", "\"info\""), "info");
  CHECK_SAYS(state_complaint(path, "\"rows\":[[", "\"rows\":[7,["), "no list");
  CHECK_SAYS(state_complaint(path, "\"log\":\"", "\"log\":5,\"x\":\""), path.string());
}
