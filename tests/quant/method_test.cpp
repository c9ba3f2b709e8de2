// The table of methods: every row is made of parts that exist, and computes what they compute.
#include "quant/method.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <unordered_set>

#include "core/base/check.h"
#include "core/ops.h"
#include "nn/init.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/activations/uniform.h"
#include "quant/assembly.h"
#include "quant/weights/binary_relax.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

// One pass forward and backward of LeNet-5 with the parts of a method, and what is deployed.
void passes(const quant::Method& method) {
  const auto network = [](const nn::MakeActivation& activation) { return nn::lenet5(activation, Rng(1)); };
  const auto sgd = [](std::vector<Parameter*> parameters) {
    return std::make_unique<optim::Sgd>(std::move(parameters), optim::SgdOptions{.lr = 0.1});
  };
  const quant::Assembly a =
      quant::assemble({.method = method, .network = network, .input = {28, 28, 1}, .optimizer = sgd});
  nn::Module* const net = a.net.get();
  quant::WeightRule* const rule = a.weights.get();
  const int weight_bits = target(method).weight_bits;
  CHECK((rule == nullptr) == (weight_bits == 0));
  quant::QuantizedOptimizer optimizer(*a.optimizer, *net, a.quantized(), {1, 10});
  optimizer.zero_grad();
  const Var logits = (*net)(nn::uniform({4, 28, 28, 1}, 1, Rng(2)));
  const Tensor labels = Tensor::of<std::int32_t>({4}, {1, 2, 3, 4});
  cross_entropy(logits, labels).backward();
  optimizer.collect_gradients();
  for (const auto& parameter : net->named_parameters()) {
    INFO(parameter.first);
    CHECK(parameter.second->grad().defined());
  }
  if (!rule) return;
  CHECK(rule->relaxation().name() == method.relaxation.name);
  rule->deploy();
  for (const auto& entry : rule->weights()) {
    CHECK(entry.projection->name() == method.weights.name);
    std::unordered_set<Real> levels;
    for (const Real v : entry.weight->effective.view()) levels.insert(v);
    const std::size_t most = std::size_t{1} << entry.projection->bits();  // an exception may have more
    // A scale for each channel gives each its own levels.
    const bool one_scale = method.weights.name != "xnor";
    if (one_scale) CHECK(levels.size() <= most);
    CHECK(levels.size() < static_cast<std::size_t>(entry.weight->value.numel()));
  }
}

// The cells of a line of a Markdown table, from its first column on.
std::vector<std::string> cells_of(const std::string& line) {
  std::istringstream in(line.substr(1));
  std::vector<std::string> cells;
  for (std::string cell; std::getline(in, cell, '|');) cells.push_back(cell);
  return cells;
}

std::vector<std::string> in_backticks(const std::string& cell) {
  std::istringstream in(cell);
  std::vector<std::string> names;
  for (std::string between, name; std::getline(in, between, '`') && std::getline(in, name, '`');) names.push_back(name);
  return names;
}

// "signs 1 (`bnn`)": 1 bit, of bnn alone; 0 for an empty cell.
int bits_in(const std::string& cell, const std::string& method) {
  const auto of = in_backticks(cell);
  const auto digit = cell.find_first_of("123456789");
  const bool has = digit != std::string::npos && (of.empty() || std::ranges::find(of, method) != of.end());
  return has ? std::stoi(cell.substr(digit)) : 0;
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("methods: the README's table has every row, with its bits") {
    std::ifstream readme(std::string(COARSEGRAD_SOURCE) + "/README.md");
    std::map<std::string, std::vector<std::string>> rows;
    for (std::string line; std::getline(readme, line);)
      if (line.starts_with("| `"))
        for (const auto cells = cells_of(line); const std::string& name : in_backticks(cells[0])) rows[name] = cells;
    CHECK(rows.size() + 1 == quant::method_names().size());  // all but float
    for (const auto& row : rows) {
      const std::string& name = row.first;
      const std::vector<std::string>& cells = row.second;
      CAPTURE(name);
      const quant::Method& m = quant::method(name);
      CHECK(bits_in(cells.at(1), name) == target(m).weight_bits);
      CHECK(bits_in(cells.at(3), name) == target(m).activation_bits);
      const int gradient_bits = m.gradients.name == "none" ? 0 : std::get<int>(m.gradients.options.get("bits"));
      CHECK(bits_in(cells.at(4), name) == gradient_bits);
    }
  }

  TEST_CASE("methods: every row is made of parts that there are, at its own bits and at those of its paper") {
    const std::vector<std::string> names = quant::method_names();
    CHECK(std::set<std::string>(names.begin(), names.end()).size() == names.size());
    for (const std::string& name : names) {
      CAPTURE(name);
      const quant::Method& m = quant::method(name);
      CHECK(m.name == name);
      CHECK(m.paper.size() > 10);
      passes(m);
      for (const auto& bits : m.bits) {
        INFO(bits.first, " and ", bits.second, " bits");
        passes(with_bits(m, {bits.first, bits.second}));
      }
    }
  }

  TEST_CASE("methods: an unknown name lists the known ones, and one's own is an expression") {
    try {
      quant::method("binary-connect");
      FAIL("accepted");
    } catch (const UsageError& e) {
      const std::string said = e.what();
      for (const std::string& name : quant::method_names()) CHECK(said.find(name) != std::string::npos);
    }
    passes({.weights = {"twn"},
            .relaxation = {"relax", quant::BinaryRelaxOptions{.lambda = 1}},
            .activations = {"uniform", quant::UniformOptions{.bits = 3}}});
    CHECK_THROWS_AS(quant::with_bits({.weights = {"twn"}}, {3, 0}), UsageError);
    CHECK_THROWS_AS(quant::register_method({.name = "bcgd"}), UsageError);
    CHECK_THROWS_AS(quant::register_method({.name = "typo_of_test", .weights = {"twm"}}), UsageError);
    quant::register_method(
        {.name = "relaxed_ternary", .weights = {"twn"}, .relaxation = {"relax"}, .paper = "nowhere, so far"});
    CHECK(quant::method("relaxed_ternary").relaxation.options.has("lambda"));  // as nobody sets them
  }
}
