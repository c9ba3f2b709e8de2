#include "tests/core/op_table.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/compute/random.h"

namespace coarsegrad::tests {
namespace {

using Vars = std::vector<Var>;
const std::int32_t kLabels[] = {2, 0, 3, 1, 2};

Tensor labels(const Var& logits) {
  return Tensor::of<std::int32_t>({logits.shape()[0]},
                                  std::span(kLabels).first(static_cast<std::size_t>(logits.shape()[0])));
}

template <class Op>
std::function<Var(const Vars&)> unary(Op op) {
  return [op](const Vars& v) { return op(v[0]); };
}

template <class Op>
std::function<Var(const Vars&)> binary(Op op) {
  return [op](const Vars& v) { return op(v[0], v[1]); };
}

std::vector<OpCase> arithmetic() {
  std::vector<OpCase> cases;
  const std::vector<std::pair<std::string, std::vector<Shape>>> shapes{
      {"same shape", {{3, 5}, {3, 5}}},     {"row", {{4, 3}, {3}}},
      {"column", {{4, 3}, {4, 1}}},         {"scalar on the left", {{}, {2, 3}}},
      {"both stretched", {{3, 1}, {1, 4}}}, {"inner axes", {{2, 3, 1, 2}, {3, 4, 1}}},
      {"one element", {{1}, {1}}},          {"empty batch", {{0, 3}, {3}}},
  };
  for (const auto& [how, s] : shapes) {
    cases.push_back({"add, " + how, binary([](auto& a, auto& b) { return a + b; }), s});
    cases.push_back({"subtract, " + how, binary([](auto& a, auto& b) { return a - b; }), s});
    cases.push_back({"multiply, " + how, binary([](auto& a, auto& b) { return a * b; }), s});
    cases.push_back({"divide, " + how, binary([](auto& a, auto& b) { return a / b; }), s, Real(0.5), 3});
  }
  return cases;
}

std::vector<OpCase> elementwise() {
  std::vector<OpCase> cases;
  for (const Shape& s : {Shape{3, 7}, Shape{1}, Shape{0, 2}}) {
    const std::string at = cat(" ", s);
    cases.push_back({"negate" + at, unary([](auto& x) { return -x; }), {s}});
    cases.push_back({"exp" + at, unary([](auto& x) { return exp(x); }), {s}});
    cases.push_back({"log" + at, unary([](auto& x) { return log(x); }), {s}, Real(0.3), 4});
    cases.push_back({"tanh" + at, unary([](auto& x) { return tanh(x); }), {s}});
    cases.push_back({"sigmoid" + at, unary([](auto& x) { return sigmoid(x); }), {s}, -4, 4});
    cases.push_back({"relu" + at, unary([](auto& x) { return relu(x); }), {s}});
    cases.push_back({"clamp" + at, unary([](auto& x) { return clamp(x, -1, Real(0.5)); }), {s}});
    cases.push_back({"abs" + at, unary([](auto& x) { return abs(x); }), {s}});
    cases.push_back({"sqrt" + at, unary([](auto& x) { return sqrt(x); }), {s}, Real(0.3), 4});
    cases.push_back({"square" + at, unary([](auto& x) { return square(x); }), {s}});
    cases.push_back({"dropout" + at,
                     unary([](auto& x) {
                       Rng rng(3);  // the same mask in every call
                       return dropout(x, Real(0.4), rng);
                     }),
                     {s}});
  }
  return cases;
}

std::vector<OpCase> linear_algebra() {
  std::vector<OpCase> cases;
  for (const bool ta : {false, true})
    for (const bool tb : {false, true})
      for (const auto& [m, k, n] : {std::array<std::int64_t, 3>{3, 5, 4}, {1, 1, 1}, {0, 3, 2}, {2, 0, 3}, {7, 2, 1}})
        cases.push_back({std::string("matmul") + (ta ? "^T" : "") + (tb ? " x ^T " : " x ") + Shape{m, k, n}.str(),
                         binary([ta, tb](auto& a, auto& b) { return matmul(a, b, ta, tb); }),
                         {ta ? Shape{k, m} : Shape{m, k}, tb ? Shape{n, k} : Shape{k, n}}});
  cases.push_back({"linear with bias", [](const Vars& v) { return linear(v[0], v[1], v[2]); }, {{3, 4}, {5, 4}, {5}}});
  cases.push_back({"linear", binary([](auto& x, auto& w) { return linear(x, w); }), {{1, 3}, {2, 3}}});
  const auto conv = [&](const std::string& name, const Shape& x, const Shape& w, const Conv2dOptions& o) {
    cases.push_back({"conv2d, " + name, [o](const Vars& v) { return conv2d(v[0], v[1], v[2], o); }, {x, w, {w[0]}}});
  };
  conv("3x3", {2, 5, 4, 3}, {2, 3, 3, 3}, {});
  conv("3x3, padding 1", {1, 4, 5, 2}, {3, 3, 3, 2}, {.padding = 1});
  conv("padding larger than the image", {1, 1, 2, 1}, {1, 2, 2, 1}, {.padding = 3});
  conv("stride 2 with a rest", {1, 6, 7, 2}, {2, 3, 3, 2}, {.stride = 2, .padding = 1});
  conv("stride 3 and 1, kernel 2x4", {1, 7, 5, 1}, {2, 2, 4, 1}, {.stride = {3, 1}, .padding = {0, 2}});
  conv("dilation 2", {1, 6, 6, 2}, {1, 2, 3, 2}, {.padding = 1, .dilation = 2});
  conv("groups", {2, 3, 3, 4}, {6, 2, 2, 2}, {.groups = 2});
  conv("depthwise", {1, 4, 4, 3}, {3, 3, 3, 1}, {.padding = 1, .groups = 3});
  conv("1x1 stride 2", {2, 4, 4, 3}, {5, 1, 1, 3}, {.stride = 2});
  conv("one element", {1, 1, 1, 1}, {1, 1, 1, 1}, {});
  conv("empty batch", {0, 4, 4, 2}, {3, 3, 3, 2}, {});
  cases.push_back(
      {"conv2d without bias", binary([](auto& x, auto& w) { return conv2d(x, w); }), {{1, 3, 3, 2}, {2, 2, 2, 2}}});
  return cases;
}

std::vector<OpCase> images() {
  std::vector<OpCase> cases;
  const std::vector<std::pair<std::string, std::pair<Shape, PoolOptions>>> pools{
      {"2x2", {{2, 4, 6, 3}, {}}},
      {"2x2 with a rest", {{1, 5, 3, 2}, {}}},
      {"3x3 stride 2 padding 1", {{1, 5, 6, 2}, {.kernel = 3, .stride = HeightWidth(2), .padding = 1}}},
      {"3x2 stride 1", {{1, 4, 3, 1}, {.kernel = {3, 2}, .stride = HeightWidth(1)}}},
      {"one element", {{1, 1, 1, 1}, {.kernel = 1}}},
      {"empty batch", {{0, 4, 4, 2}, {}}}};
  for (const auto& [how, where] : pools) {
    const auto& [shape, o] = where;
    cases.push_back({"max_pool2d, " + how, unary([o = o](auto& x) { return max_pool2d(x, o); }), {shape}});
    cases.push_back({"avg_pool2d, " + how, unary([o = o](auto& x) { return avg_pool2d(x, o); }), {shape}});
  }
  for (const Shape& s : {Shape{2, 3, 2, 3}, Shape{1, 1, 1, 1}, Shape{0, 2, 2, 1}}) {
    cases.push_back({"global_avg_pool2d " + s.str(), unary([](auto& x) { return global_avg_pool2d(x); }), {s}});
    cases.push_back({"subsample2d, zeros on both sides, " + s.str(),
                     unary([](auto& x) {
                       return subsample2d(x, {2, 3}, 3, 1);
                     }),
                     {s}});
    cases.push_back({"subsample2d " + s.str(), unary([](auto& x) { return subsample2d(x, {2, 3}, 2); }), {s}});
  }
  for (const Shape& s : {Shape{6, 3}, Shape{2, 3, 2, 1}}) {
    const Shape c{s[-1]};
    const Real eps = Real(1e-3);
    cases.push_back({"batch_norm " + s.str(), unary([=](auto& x) { return batch_norm(x, {}, {}, eps); }), {s}});
    cases.push_back({"batch_norm with scale and shift " + s.str(),
                     [=](const Vars& v) { return batch_norm(v[0], v[1], v[2], eps); },
                     {s, c, c}});
    cases.push_back({"batch_norm_eval " + s.str(),
                     [=](const Vars& v) {
                       return batch_norm_eval(v[0], v[1], v[2], Tensor(c, Real(0.3)), Tensor(c, Real(1.7)), eps);
                     },
                     {s, c, c}});
  }
  return cases;
}

std::vector<OpCase> shapes_and_reductions() {
  std::vector<OpCase> cases;
  const Shape s{2, 3, 4};
  cases.push_back({"reshape", unary([](auto& x) { return reshape(x, {4, -1}); }), {s}});
  cases.push_back({"slice", unary([](auto& x) { return slice(x, 1, 1, 3); }), {s}});
  cases.push_back({"slice of nothing", unary([](auto& x) { return slice(x, -1, 2, 2); }), {s}});
  cases.push_back({"pad", unary([](auto& x) { return pad(x, -2, 1, 2); }), {s}});
  for (int axis : {0, 1, -1}) {
    const std::string at = cat(", axis ", axis);
    cases.push_back({"concatenate" + at,
                     [axis](const Vars& v) {
                       return concatenate({v[0], v[1], v[0]}, axis);
                     },
                     {s, s.with(axis, 1)}});
    cases.push_back({"sum" + at, unary([axis](auto& x) { return sum(x, axis); }), {s}});
    cases.push_back({"mean kept" + at, unary([axis](auto& x) { return mean(x, axis, true); }), {s}});
    cases.push_back({"max" + at, unary([axis](auto& x) { return max(x, axis); }), {s}});
    cases.push_back({"sum of an empty batch" + at, unary([axis](auto& x) { return sum(x, axis); }), {{0, 3, 2}}});
  }
  cases.push_back({"sum of all", unary([](auto& x) { return sum(x); }), {s}});
  cases.push_back({"mean of all", unary([](auto& x) { return mean(x); }), {s}});
  cases.push_back({"max of all", unary([](auto& x) { return max(x); }), {s}});
  cases.push_back({"log_softmax", unary([](auto& x) { return log_softmax(x); }), {{3, 5}}});
  cases.push_back({"log_softmax of one class", unary([](auto& x) { return log_softmax(x); }), {{2, 1}}});
  cases.push_back({"cross_entropy", unary([](auto& x) { return cross_entropy(x, labels(x)); }), {{5, 4}}});
  cases.push_back({"cross_entropy with label smoothing",
                   unary([](auto& x) { return cross_entropy(x, labels(x), Real(0.1)); }),
                   {{1, 4}}});
  cases.push_back({"mse_loss", binary([](auto& a, auto& b) { return mse_loss(a, b); }), {s, s}});
  return cases;
}

}  // namespace

const std::vector<OpCase>& op_table() {
  static const std::vector<OpCase> table = [] {
    std::vector<OpCase> all;
    for (auto& group : {arithmetic(), elementwise(), linear_algebra(), images(), shapes_and_reductions()})
      all.insert(all.end(), group.begin(), group.end());
    return all;
  }();
  return table;
}

std::vector<Tensor> sample_inputs(const OpCase& c, std::uint64_t seed) {
  std::vector<Tensor> inputs;
  Rng rng(seed);
  for (const Shape& s : c.inputs) {
    Tensor t(s);
    std::vector<std::size_t> order(static_cast<std::size_t>(t.numel()));
    std::iota(order.begin(), order.end(), std::size_t{0});
    for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    for (std::size_t i = 0; i < order.size(); ++i) {
      double v = c.low + (c.high - c.low) * (static_cast<double>(order[i]) + 0.63) / static_cast<double>(order.size());
      const double to_kink = 2 * v - std::round(2 * v);
      if (std::abs(to_kink) < 4e-3) v += 2e-3;
      t.mutable_data()[i] = static_cast<Real>(v);
    }
    inputs.push_back(t);
  }
  return inputs;
}

}  // namespace coarsegrad::tests
