// Normalisation, shortcut and activation in one pass: the bits of one after another, whoever else reads what lies
// between, and nothing is kept that nobody reads.
#include "core/activate.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <utility>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/normalization.h"
#include "core/ops.h"

using namespace coarsegrad;

namespace {

Tensor gaussian(const Shape& shape, std::uint64_t seed) {
  Tensor t(shape);
  Rng(seed).normal(t.mutable_data(), static_cast<std::size_t>(t.numel()), Real(0), Real(1));
  return t;
}

std::vector<Real> values(const Tensor& t) { return {t.view().begin(), t.view().end()}; }

// The same as an op of its own that keeps its elements in memory: nothing is one pass across it.
Var in_memory(const Var& x) {
  return record("in_memory", Tensor(x.shape(), values(x.value())), {x},
                [](const Tensor& g) -> Gradients { return {Tensor(g.shape(), values(g))}; });
}

struct Leaves {
  Var x, scale, shift, shortcut;

  explicit Leaves(const Shape& shape)
      : x(Var::leaf(gaussian(shape, 1))),
        scale(Var::leaf(gaussian({shape[-1]}, 2))),
        shift(Var::leaf(gaussian({shape[-1]}, 3))),
        shortcut(Var::leaf(gaussian(shape, 4))) {}

  Var normalized() const { return batch_norm(x, scale, shift, Real(1e-5)); }
};

// What f makes of the leaves, and all gradients.
std::vector<std::vector<Real>> everything(const Shape& shape, const std::function<Var(const Leaves&)>& f) {
  const Leaves leaves(shape);
  const Var y = f(leaves);
  std::vector<std::vector<Real>> all{values(y.value())};
  y.backward(gaussian(y.shape(), 5));
  for (const Var& leaf : {leaves.x, leaves.scale, leaves.shift, leaves.shortcut})
    all.push_back(leaf.grad().defined() ? values(leaf.grad()) : std::vector<Real>());
  return all;
}

ActivationMap grid_map(Slope slope) {
  return {.op = "onto a grid", .grid = ActivationGrid{{Real(0.4), 3}, 2, std::move(slope)}};
}

struct NamedMap {
  const char* name;
  ActivationMap map;
};
std::vector<NamedMap> maps() {
  return {{"relu", {.op = "relu"}},
          {"grid, slope 1", grid_map({})},
          {"grid, slope of an interval", grid_map({.interval = kernels::PassBand<Real>{Real(-0.5), 2}})},
          {"grid, another slope", grid_map({.function = [](std::span<const Real> q, std::span<Real> slopes) {
             for (std::size_t i = 0; i < q.size(); ++i) slopes[i] = 1 / (1 + q[i] * q[i]);
           }})}};
}

const Shape kShapes[] = {{3, 5, 7, 16}, {2, 3, 3, 5}, {70, 40, 40, 8}, {0, 4, 4, 8}};

std::size_t bytes_used() { return pool_stats().bytes_used; }

}  // namespace

TEST_CASE("activate: behind a normalisation, with or without a shortcut, has the bits of ops one after another") {
  for (const Shape& shape : kShapes)
    for (const NamedMap& m : maps()) {
      if (shape.numel() == 0) continue;  // no statistics
      for (const bool with_shortcut : {false, true}) {
        INFO(m.name, " ", shape.str(), with_shortcut ? " with a shortcut" : "");
        const auto run = [&](const auto& stop) {
          return everything(shape, [&](const Leaves& l) {
            const Var t = stop(l.normalized());
            return activate(with_shortcut ? stop(t + l.shortcut) : t, m.map);
          });
        };
        CHECK(run([](const Var& v) { return v; }) == run(in_memory));
      }
    }
}

TEST_CASE("activate: a batch without images passes behind a normalisation with given statistics") {
  for (const NamedMap& m : maps()) {
    const Var x = Var::leaf(Tensor({0, 4, 4, 8}));
    const Var y = activate(batch_norm_eval(x, {}, {}, Tensor({8}), Tensor({8}, Real(1)), 0), m.map);
    y.backward(Tensor(y.shape()));
    CHECK(x.grad().shape() == x.shape());
  }
}

TEST_CASE("activate: a second reader of a normalisation's output changes no bit of what the first one gets") {
  for (const NamedMap& m : maps()) {
    INFO(m.name);
    const Shape shape{3, 5, 7, 16};
    const auto twice = [&](const auto& stop) {
      return everything(shape, [&](const Leaves& l) {
        const Var t = stop(l.normalized()), sum = stop(t + l.shortcut);
        return activate(sum, m.map) * tanh(t) + activate(t, m.map) + sum;
      });
    };
    CHECK(twice([](const Var& v) { return v; }) == twice(in_memory));
  }
}

TEST_CASE("activate: two normalisations may be added, and sums of sums are sums") {
  const Shape shape{3, 5, 7, 16};
  const auto run = [&](const auto& stop) {
    return everything(shape, [&](const Leaves& l) {
      const Var a = stop(l.normalized()), b = stop(batch_norm(l.shortcut, {}, {}, Real(1e-5)));
      const Var sum = stop(a + b), more = stop(sum + stop(a + l.shortcut));
      return relu(sum) + relu(more) + relu(stop(l.shortcut + a)) + stop(b + sum);
    });
  };
  CHECK(run([](const Var& v) { return v; }) == run(in_memory));
}

TEST_CASE("activate: reshaped between the normalisation and the activation, the bits are the same") {
  const auto run = [&](const auto& stop) {
    return everything({3, 5, 7, 16}, [&](const Leaves& l) { return relu(reshape(stop(l.normalized()), {3, 560})); });
  };
  CHECK(run([](const Var& v) { return v; }) == run(in_memory));
}

TEST_CASE("activate: a NaN behind a normalisation is not lost, and the mask is 0 there") {
  for (const NamedMap& m : maps()) {
    INFO(m.name);
    Tensor x = gaussian({4, 8}, 1);
    x.mutable_data()[3] = std::numeric_limits<Real>::quiet_NaN();
    const Var y = activate(batch_norm_eval(x, {}, {}, Tensor({8}), Tensor({8}, Real(1)), 0), m.map);
    for (std::int64_t i = 0; i < y.numel(); ++i) CHECK(std::isnan(y.value()[i]) == (i == 3));
  }
}

TEST_CASE("activate: what a forward pass keeps is what its backward pass reads, and no more") {
  const Shape shape{8, 32, 32, 16};
  const auto n = static_cast<std::size_t>(shape.numel()), element = sizeof(Real) * n;
  const std::size_t small = 16384;                          // what belongs to channels
  const std::size_t kept_on_grid[] = {0, n, n + n / 8, n};  // codes, bits
  const auto all = maps();
  for (std::size_t i = 0; i < all.size(); ++i)
    for (const bool with_shortcut : {false, true}) {
      INFO(all[i].name, with_shortcut ? " with a shortcut" : "");
      const Leaves leaves(shape);  // the input of a normalisation and a shortcut are kept anyway
      pool_release();
      const std::size_t before = bytes_used();
      const Var y = [&] {
        const Var t = leaves.normalized();
        return activate(with_shortcut ? t + leaves.shortcut : t, all[i].map);
      }();
      const std::size_t kept = bytes_used() - before;
      CHECK(kept >= kept_on_grid[i]);
      CHECK(kept <= kept_on_grid[i] + small);
      CHECK(element > 4 * small);
    }
}

TEST_CASE("activate: behind a shortcut that is a recipe itself the result is made, with one bit per element") {
  const Shape shape{8, 32, 32, 16};
  const auto n = static_cast<std::size_t>(shape.numel());
  const Leaves leaves(shape);
  const Var shortcut = relu(leaves.normalized());
  pool_release();
  const std::size_t before = bytes_used();
  const Var y = relu(leaves.normalized() + shortcut);
  CHECK(y.value().source() == nullptr);
  CHECK(bytes_used() - before <= n * sizeof(Real) + n / 8 + 16384);
}

TEST_CASE("activate: a backward pass through normalisation and shortcut keeps no gradient longer than it must") {
  const Shape shape{8, 32, 32, 16};
  const std::size_t element = sizeof(Real) * static_cast<std::size_t>(shape.numel());
  const Leaves leaves(shape);
  std::size_t at_shortcut = 0, before = 0;
  const Var shortcut = record("probe", leaves.shortcut.value(), {leaves.shortcut}, [&](const Tensor& g) -> Gradients {
    at_shortcut = bytes_used() - before;
    return {g};
  });
  const Var y = tanh(relu(leaves.normalized() + shortcut));
  pool_release();
  before = bytes_used();
  y.backward(Tensor(shape, Real(1)));
  // The seed, the gradient of x, which is a leaf, and the one at hand; not the one that came into the activation.
  CHECK(at_shortcut <= 3 * element + 65536);
}

TEST_CASE("a gradient that nobody else has becomes a tensor of its own where it is written to") {
  const Tensor source = gaussian({4, 8}, 1);
  auto mask = std::make_shared<Scratch<std::uint8_t>>(4);
  std::fill_n(mask->data(), 4, std::uint8_t{0x0F});
  Tensor g = Tensor::deferred({4, 8}, std::make_shared<const MaskedGradient>(source, mask, false));
  const Real* const made = g.data();
  for (std::int64_t i = 0; i < 32; ++i) CHECK(made[i] == (i % 8 < 4 ? source[i] : Real(0)));
  CHECK(g.mutable_data() == made);  // no copy
  CHECK(g.source() == nullptr);
}

TEST_CASE("a deferred tensor can be made by another one than its source, once, which lets go of the source") {
  auto mask = std::make_shared<Scratch<std::uint8_t>>(1);
  mask->data()[0] = 0;
  const std::weak_ptr<const Scratch<std::uint8_t>> watched = mask;
  const Tensor g = Tensor::deferred(
      {8}, std::make_shared<const MaskedGradient>(gaussian({8}, 1), std::exchange(mask, nullptr), true));
  const auto sevens = [](Real* all) { std::fill_n(all, 8, Real(7)); };
  CHECK(g.make_with(sevens));
  CHECK(watched.expired());
  CHECK(values(g) == std::vector<Real>(8, Real(7)));
  CHECK(!g.make_with([](Real*) { FAIL("made a second time"); }));
  CHECK(!Tensor({8}).make_with(sevens));
}

TEST_CASE("subsampling of an image in memory is read where it is added, and the bits are those of a copy") {
  for (const std::int64_t before : {0, 3}) {
    const Shape shape{3, 7, 5, 8}, half{3, 4, 3, 16};
    const auto run = [&](const auto& stop) {
      const Var image = Var::leaf(gaussian(shape, 1)), x = Var::leaf(gaussian(half, 2));
      const Var y = relu(batch_norm(x, {}, {}, Real(1e-5)) + stop(subsample2d(image, 2, 8, before)));
      y.backward(gaussian(half, 3));
      return std::vector{values(y.value()), values(image.grad()), values(x.grad())};
    };
    CHECK(run([](const Var& v) { return v; }) == run(in_memory));
  }
}
