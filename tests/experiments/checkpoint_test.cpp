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
constexpr auto kLargest = std::numeric_limits<std::uint64_t>::max();

Checkpoint example() {
  Checkpoint c;
  c.config = R"({"lr":0.1})";
  c.commit = "0123456789";
  c.parts["network"] = {{{"conv.weight", Tensor({2, 1, 1, 3}, {1, 2, 3, 4, 5, Real(1e-40)})},
                         {"norm.mean", Tensor({0})},
                         {"zero", Tensor({1}, Real(-0.0))}},
                        {{"dropout.rng", {kLargest, std::uint64_t{1} << 63 | 1}}},
                        {},
                        {}};
  c.parts["optimizer"] = {{{"momentum.0", Tensor({2}, Real(5))}, {"momentum.1", Tensor()}},
                          {{"steps", {std::uint64_t{1} << 60 | 1, 0}}},
                          {{"lr", {0.1}}},
                          {}};
  c.parts["training"] = {{},
                         {{"none", {}}},
                         {{"sum", {0.1 + 0.2, 1e-300}}, {"rows", {1.0 / 3, std::nan(""), kInfinity, -kInfinity, -0.0}}},
                         {{"log", "{\"rows\": [1, 2]}\n"}}};
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

std::string state_complaint(const std::filesystem::path& path, const std::string& from, const std::string& to) {
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
  Checkpoint c = example();
  c.about = {{"settings", "{}"}, {"method", "bnn"}};
  write_checkpoint(path, c);
  const Checkpoint back = read_checkpoint(path);
  CHECK(back.config == c.config);
  CHECK(back.commit == c.commit);
  CHECK(back.about == c.about);
  CHECK(is_checkpoint(read_tensor_file(path)));
  REQUIRE(back.parts.size() == 3);
  const State &network = back.parts.at("network"), &optimizer = back.parts.at("optimizer"),
              &training = back.parts.at("training");
  REQUIRE(network.tensors.size() == 3);
  CHECK(network.tensors[0].first == "conv.weight");
  CHECK(network.tensors[0].second.shape() == Shape{2, 1, 1, 3});
  CHECK(std::ranges::equal(network.tensors[0].second.view(), c.parts.at("network").tensors[0].second.view()));
  CHECK(network.tensors[1].second.defined());
  CHECK(network.tensors[1].second.numel() == 0);
  CHECK(std::signbit(network.tensors[2].second.item()));
  CHECK(network.counts == c.parts.at("network").counts);
  CHECK(optimizer.tensors[1].first == "momentum.1");
  CHECK_FALSE(optimizer.tensors[1].second.defined());
  CHECK(optimizer.counts == c.parts.at("optimizer").counts);
  CHECK(optimizer.numbers == c.parts.at("optimizer").numbers);
  CHECK(training.tensors.empty());
  CHECK(training.counts == c.parts.at("training").counts);
  CHECK(training.numbers_of("sum") == c.parts.at("training").numbers_of("sum"));
  const std::vector<double>& rows = training.numbers_of("rows");
  REQUIRE(rows.size() == 5);
  CHECK(rows[0] == 1.0 / 3);
  CHECK(std::isnan(rows[1]));
  CHECK(rows[2] == kInfinity);
  CHECK(rows[3] == -kInfinity);
  CHECK(std::signbit(rows[4]));
  CHECK(training.texts == c.parts.at("training").texts);
}

TEST_CASE("checkpoint: a file that is another one is refused by its name") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["format"] = "model"; }), "is no checkpoint, but 'model'");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata.clear(); }), "is no checkpoint");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["config"] = "{}"; }), "checksum of the configuration");
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["state"] = "{"; }), path.string());
  write_file(path, "no tensor file");
  CHECK_SAYS(complaint_of([&] { read_checkpoint(path); }), path.string());
  CHECK_SAYS(complaint_of([&] { read_checkpoint(folder / "nowhere"); }), "nowhere");
}

TEST_CASE("checkpoint: one of another version is refused in one line that says how its training is finished") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  // What version 0.1 wrote: every part by itself in the state.
  const std::string old = complaint(path, [](TensorFile& f) {
    f.metadata["version"] = "2";
    f.metadata["git_commit"] = "c152060";
    f.metadata["state"] = R"({"step":7,"tensors":{"network":[["conv.weight",true]]}})";
  });
  CHECK_SAYS(old, cat("checkpoint ", path.string(), ": is of version 2 of the format"));
  CHECK_SAYS(old, "finish the training with the program that wrote it, of commit c152060, or remove the file");
  CHECK_FALSE(contains(old, "\n"));
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["version"] = "4"; }), "is of version 4 of the format");
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
  for (const char* wrong : {"2.5", "1e78", "-1", "true", "\"2\"", "18446744073709551616"}) {
    CAPTURE(wrong);
    const std::string said = state_complaint(path, "\"steps\":[1152921504606846977,", cat("\"steps\":[", wrong, ","));
    CHECK_SAYS(said, "steps: given ");
    CHECK_SAYS(said, "expected a whole number from 0 to 18446744073709551615");
    CHECK_SAYS(state_complaint(path, ":[18446744073709551615,", cat(":[", wrong, ",")), "dropout.rng: given ");
  }
}

TEST_CASE("checkpoint: names and texts of the file are short in messages, and nested JSON takes no memory" *
          doctest::test_suite("long")) {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  const std::string name = "\x1b[31m" + std::string(5'000'000, 'n');
  const std::string letters(5'000'000, 'n');
  for (const std::string& said :
       {complaint(path,
                  [&](TensorFile& f) {
                    f.tensors.push_back({"network/" + name, {1}, {1}});
                  }),
        complaint(path, [&](TensorFile& f) { f.metadata["format"] = name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["version"] = name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["version"] = f.metadata["git_commit"] = name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["state"] = "{\"" + name; }),
        complaint(path, [&](TensorFile& f) { f.metadata["state"] = cat("{\"", letters, "\":{}}"); }),
        state_complaint(path, "\"steps\":[1152921504606846977,", cat("\"", letters, "\":[-1,")),
        state_complaint(path, "\"inf\"", cat("\"", letters, "\""))}) {
    CHECK(said.size() > 20);
    CHECK(said.size() < 400);
    CHECK_FALSE(contains(said, "\x1b"));
  }
  CHECK_SAYS(complaint(path, [&](TensorFile& f) { f.metadata["state"] = std::string(20'000'000, '['); }),
             "the state is nested more than 8 deep");
  CHECK_SAYS(state_complaint(path, "\"lr\":[0.1]", "\"lr\":[0.1],\"lr\":[0.2]"), "the state has 'lr' twice");
}

TEST_CASE("checkpoint: entries that cannot be are refused") {
  const TempFolder folder;
  const auto path = folder / "run.checkpoint";
  CHECK_SAYS(state_complaint(path, "\"inf\"", "\"info\""), "info");
  CHECK_SAYS(state_complaint(path, "\"lr\":[0.1]", "\"lr\":0.1"), "'lr' is no list");
  CHECK_SAYS(state_complaint(path, "\"steps\":[1152921504606846977,0]", "\"steps\":{}"), "'steps' is no list");
  CHECK_SAYS(state_complaint(path, "\"log\":\"", "\"log\":5,\"x\":\""), path.string());
  CHECK_SAYS(state_complaint(path, "\"texts\":{}", "\"texts\":[]"), "'texts' is no object");
  CHECK_SAYS(state_complaint(path, "\"texts\":{}", "\"text\":{}"), path.string());
  CHECK_SAYS(state_complaint(path, "\"texts\":{}", "\"texts\":{},\"more\":{}"), "given 5 kinds of entries");
  CHECK_SAYS(state_complaint(path, "\"tensors\":[]", "\"tensors\":{}"), "'tensors' is no list");
  CHECK_SAYS(state_complaint(path, "\"tensors\":[]", "\"tensors\":[[]]"), path.string());
  CHECK_SAYS(complaint(path, [](TensorFile& f) { f.metadata["state"] = "[]"; }), "'state' is no object");
}

TEST_CASE("checkpoint: every part gets its own state, and one that is missing or unknown is named before") {
  struct Number {
    double value = 0;
    State state() const { return {{}, {}, {{"value", {value}}}, {}}; }
    void load_state(const State& s) { value = s.number("value"); }
  };
  Number a{1}, b{2};
  const std::vector<StatefulPart> both{stateful("a", a), stateful("b", b)};
  const States states = states_of(both);
  a.value = b.value = 0;
  load_states(both, states);
  CHECK(a.value == 1);
  CHECK(b.value == 2);
  a.value = b.value = 7;
  CHECK_SAYS(complaint_of([&] { load_states({stateful("a", a)}, states); }),
             "the part 'b' is unknown to this training");
  CHECK_SAYS(complaint_of([&] {
               load_states({stateful("a", a), stateful("c", b)}, states);
             }),
             "the part 'c' is missing");
  CHECK(a.value == 7);
  States damaged = states;
  damaged["b"].numbers.clear();
  CHECK_SAYS(complaint_of([&] { load_states(both, damaged); }), "b: state: 'value' is missing");
  CHECK_SAYS(complaint_of([&] { check_names({stateful("a", a), stateful("a", b)}); }), "given 'a' twice");
}
