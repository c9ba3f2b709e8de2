// Ops against the values and gradients that PyTorch gives (tests/golden/make_ops.py).
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/ops.h"

using namespace coarsegrad;
using nlohmann::json;

namespace {

// Largest difference, relative to the largest value of the tensor. What is left is the order of the sums.
constexpr double kBound = sizeof(Real) == 8 ? 1e-12 : 2e-6;

Tensor tensor(const json& j) {
  const auto extents = j.at("shape").get<std::vector<std::int64_t>>();
  return {Shape(extents.data(), static_cast<int>(extents.size())), j.at("values").get<std::vector<Real>>()};
}

// Infinite where a shape differs or a value is not a number.
double difference(const Tensor& given, const json& expected) {
  const auto extents = expected.at("shape").get<std::vector<std::int64_t>>();
  const auto values = expected.at("values").get<std::vector<double>>();
  if (!given.defined() || given.shape() != Shape(extents.data(), static_cast<int>(extents.size()))) return HUGE_VAL;
  double worst = 0, largest = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double d = std::abs(static_cast<double>(given[static_cast<std::int64_t>(i)]) - values[i]);
    worst = d <= worst ? worst : std::isnan(d) ? HUGE_VAL : d;
    largest = std::max(largest, std::abs(values[i]));
  }
  return worst == 0 ? 0 : worst / largest;
}

HeightWidth pair(const json& j) { return {j[0].get<std::int64_t>(), j[1].get<std::int64_t>()}; }

Var conv(const json& o, const std::vector<Var>& v) {
  return conv2d(v[0], v[1], v[2],
                {pair(o.at("stride")), pair(o.at("padding")), pair(o.at("dilation")), o.at("groups")});
}

PoolOptions pool(const json& o) { return {pair(o.at("kernel")), pair(o.at("stride")), pair(o.at("padding"))}; }

struct Statistics {
  Tensor mean, var;
};

Var norm(const json& o, const std::vector<Var>& v, Statistics& running) {
  const Var scale = v.size() > 1 ? v[1] : Var(), shift = v.size() > 1 ? v[2] : Var();
  const Real eps = o.at("eps").get<Real>();
  if (!o.at("training").get<bool>()) return batch_norm_eval(v[0], scale, shift, running.mean, running.var, eps);
  return batch_norm(v[0], scale, shift, eps, o.at("momentum").get<Real>(), &running.mean, &running.var);
}

Var apply(const json& c, const std::vector<Var>& v, Statistics& running) {
  const std::string op = c.at("op");
  const json& o = c.at("options");
  if (op == "linear") return linear(v[0], v[1], v[2]);
  if (op == "conv2d") return conv(o, v);
  if (op == "max_pool2d") return max_pool2d(v[0], pool(o));
  if (op == "avg_pool2d") return avg_pool2d(v[0], pool(o));
  if (op == "batch_norm") return norm(o, v, running);
  if (op == "log_softmax") return log_softmax(v[0]);
  if (op == "mse_loss") return mse_loss(v[0], v[1]);
  REQUIRE(op == "cross_entropy");
  const auto labels = o.at("labels").get<std::vector<std::int32_t>>();
  return cross_entropy(v[0], Tensor::of<std::int32_t>({v[0].shape()[0]}, labels), o.at("label_smoothing").get<Real>());
}

json golden() {
  std::ifstream file(COARSEGRAD_GOLDEN "/ops.json");
  REQUIRE(file);
  return json::parse(file);
}

void compare(const json& c) {
  Statistics running;
  if (!c.at("before").empty()) running = {tensor(c.at("before").at("mean")), tensor(c.at("before").at("var"))};
  std::vector<Var> leaves;
  for (const json& input : c.at("inputs")) leaves.push_back(Var::leaf(tensor(input)));
  const Var y = apply(c, leaves, running);
  CHECK(difference(y.value(), c.at("output")) <= kBound);
  y.backward(tensor(c.at("seed")));
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    INFO("gradient of input ", i);
    CHECK(difference(leaves[i].grad(), c.at("gradients")[i]) <= kBound);
  }
  if (c.at("after").empty()) return;
  CHECK(difference(running.mean, c.at("after").at("mean")) <= kBound);
  CHECK(difference(running.var, c.at("after").at("var")) <= kBound);
}

}  // namespace

TEST_CASE("ops: values, gradients and running statistics are those of PyTorch") {
  const json cases = golden().at("cases");
  CHECK(cases.size() >= 20);
  for (const json& c : cases) {
    INFO(c.at("op").get<std::string>(), " ", c.at("options").dump());
    compare(c);
  }
}

TEST_CASE("a value that is wrong by ten times the bound is told from PyTorch's") {
  const json c = golden().at("cases")[0];
  Tensor y = tensor(c.at("output"));
  CHECK(difference(y, c.at("output")) <= kBound);
  const auto largest =
      std::max_element(y.view().begin(), y.view().end(), [](Real a, Real b) { return std::abs(a) < std::abs(b); });
  const auto at = largest - y.view().begin();
  y.mutable_data()[at] *= static_cast<Real>(1 + 10 * kBound);
  CHECK(difference(y, c.at("output")) > kBound);
}
