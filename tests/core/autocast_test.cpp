#include "core/autocast.h"

#include <doctest/doctest.h>

#include <cmath>
#include <functional>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kept.h"
#include "core/map.h"
#include "core/ops.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

Tensor gaussian(const Shape& shape, std::uint64_t seed, Real stddev = 1) {
  Tensor t(shape);
  Rng(seed).normal(t.mutable_data(), static_cast<std::size_t>(t.numel()), Real(0), stddev);
  return t;
}

Tensor rounded(const Tensor& t) {
  return map(t, [](Real x) { return to_float(to_bfloat16(x)); });
}

bool same(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && std::equal(a.view().begin(), a.view().end(), b.view().begin());
}

// |a - b| / |b|, lengths of vectors.
double distance(const Tensor& a, const Tensor& b) {
  double difference = 0, length = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) {
    difference += std::pow(static_cast<double>(a[i]) - static_cast<double>(b[i]), 2);
    length += std::pow(static_cast<double>(b[i]), 2);
  }
  return std::sqrt(difference / length);
}

// x rounded to bfloat16, and the gradient on its way back, each where it is asked for.
Var cast(const Var& x, bool value, bool gradient) {
  return record("cast", value ? rounded(x.value()) : x.value(), {x},
                [gradient](const Tensor& g) -> Gradients { return {gradient ? rounded(g) : g}; });
}

// What a network is made of: ops under Autocast, or the same with every rounding said.
struct Ops {
  std::function<Var(const Var& x, const Var& w, const Conv2dOptions& options)> conv;
  std::function<Var(const Var& x, const Var& shortcut)> block_end;  // relu(x + shortcut)
  std::function<Var(const Var& x, const Var& w)> dense;
  std::function<Var(const Var& x)> fork;  // x, for two readers, whose gradients are added up
};

Ops plain_ops() {
  return {[](const Var& x, const Var& w, const Conv2dOptions& o) { return conv2d(x, w, {}, o); },
          [](const Var& x, const Var& shortcut) { return relu(x + shortcut); },
          [](const Var& x, const Var& w) { return linear(x, w); }, [](const Var& x) { return x; }};
}

// Where bfloat16 is kept: factors of products, what convolutions, made activations and their gradients leave, and
// sums of these gradients.
Ops ops_with_casts() {
  return {
      [](const Var& x, const Var& w, const Conv2dOptions& o) {
        return cast(conv2d(cast(x, true, true), cast(w, true, false), {}, o), true, true);
      },
      [](const Var& x, const Var& shortcut) { return cast(relu(x + shortcut), true, false); },
      [](const Var& x, const Var& w) { return cast(linear(cast(x, true, false), cast(w, true, false)), false, true); },
      [](const Var& x) { return cast(x, false, true); }};
}

// Blocks of a residual network.
struct Network {
  Var images = gaussian({8, 10, 10, 8}, 1);
  Var first = Var::leaf(gaussian({16, 3, 3, 8}, 2, 0.1f)), second = Var::leaf(gaussian({16, 3, 3, 16}, 3, 0.1f)),
      third = Var::leaf(gaussian({32, 3, 3, 16}, 4, 0.1f)), last = Var::leaf(gaussian({10, 32}, 5, 0.2f));
  Var scale = Var::leaf(gaussian({16}, 6)), shift = Var::leaf(gaussian({16}, 7));
  Tensor labels = Tensor::of<std::int32_t>({8}, {0, 1, 2, 3, 4, 5, 6, 9});

  std::vector<Var> leaves() const { return {first, second, third, last, scale, shift}; }
  Var normalized(const Var& x) const { return batch_norm(x, scale, shift, 1e-5f); }
  /// The loss.
  Var loss(const Ops& op) const {
    const Conv2dOptions padded{.padding = 1};
    const Var a = op.fork(relu(normalized(op.conv(images, first, padded))));
    const Var b = op.fork(op.block_end(normalized(op.conv(a, second, padded)), a));
    const Var c = normalized(op.conv(b, second, padded)) + b;
    const Var d = op.conv(c, third, {.stride = 2, .padding = 1});
    return cross_entropy(op.dense(global_avg_pool2d(d), last), labels);
  }
  /// The same without kinks: nothing falls on another side of one because it was rounded.
  Var smooth_loss() const {
    const Conv2dOptions padded{.padding = 1};
    const Var a = normalized(conv2d(images, first, {}, padded));
    const Var b = normalized(conv2d(a, second, {}, padded)) + a;
    const Var c = conv2d(b, third, {}, {.stride = 2, .padding = 1});
    return cross_entropy(linear(global_avg_pool2d(c), last), labels);
  }
};

// The loss and the gradients of all leaves.
std::vector<Tensor> gradients(ComputeType type, const std::function<Var(const Network&)>& loss_of) {
  const Network net;
  const Var loss = [&] {
    const Autocast compute(type);
    return loss_of(net);
  }();
  loss.backward();
  std::vector<Tensor> all{loss.value()};
  for (const Var& leaf : net.leaves())
    if (leaf.grad().defined()) all.push_back(leaf.grad());
  return all;
}

}  // namespace

TEST_CASE("autocast: ops compute with the type of the innermost scope, and a backward pass with that of its op") {
  CHECK(compute_type() == ComputeType::real);
  {
    const Autocast outer(ComputeType::bfloat16);
    CHECK(compute_type() == ComputeType::bfloat16);
    {
      const Autocast inner(ComputeType::real);
      CHECK(compute_type() == ComputeType::real);
    }
    CHECK(compute_type() == ComputeType::bfloat16);
  }
  CHECK(compute_type() == ComputeType::real);
}

TEST_CASE("autocast: a convolution is that of rounded operands, rounded, with its gradients") {
  const Tensor x = gaussian({4, 9, 9, 8}, 1), w = gaussian({16, 3, 3, 8}, 2), g = gaussian({4, 9, 9, 16}, 3);
  const Conv2dOptions options{.padding = 1};
  const auto run = [&](const Tensor& in, const Tensor& weight, ComputeType type, const Tensor& seed) {
    const Var a = Var::leaf(in), b = Var::leaf(weight);
    const Autocast compute(type);
    const Var y = conv2d(a, b, {}, options);
    y.backward(seed);
    return std::vector<Tensor>{y.value(), a.grad(), b.grad()};
  };
  const auto cast = run(x, w, ComputeType::bfloat16, g),
             plain = run(rounded(x), rounded(w), ComputeType::real, rounded(g));
  CHECK(bfloat16_of(cast[0]) != nullptr);
  CHECK(bfloat16_of(plain[0]) == nullptr);
  CHECK(same(cast[0], rounded(plain[0])));
  CHECK(same(cast[1], rounded(plain[1])));
  CHECK(same(cast[2], plain[2]));
}

TEST_CASE("autocast: products of codes stay exact, and are rounded once") {
  struct Layer {
    std::int64_t channels, filters, groups;
    int bits, weight_bits;
  };
  for (const Layer& l : {Layer{8, 12, 1, 4, 2}, Layer{256, 32, 1, 1, 1}, Layer{8, 12, 4, 4, 2}}) {
    INFO(l.channels, " channels, ", l.groups, " groups");
    const Shape images{3, 6, 5, l.channels}, filters{l.filters, 3, 3, l.channels / l.groups};
    const auto x = std::make_shared<Coded>(images.numel(), l.bits, Coded::Sign::none, std::vector<Real>{0.3f});
    const auto w = std::make_shared<Coded>(filters.numel(), l.weight_bits, Coded::Sign::two_s_complement,
                                           std::vector<Real>(static_cast<std::size_t>(l.filters), 0.7f));
    for (std::int64_t i = 0; i < images.numel(); ++i) x->codes()[i] = static_cast<std::uint8_t>(i * 7 % (1 << l.bits));
    for (std::int64_t i = 0; i < filters.numel(); ++i)
      w->signed_codes()[i] = static_cast<std::int8_t>(i * 5 % 3 % 2 == 0 ? 1 : -1);
    const auto run = [&](ComputeType type) {
      const Autocast compute(type);
      return conv2d(Tensor::deferred(images, x), Tensor::deferred(filters, w), {}, {.padding = 1, .groups = l.groups})
          .value();
    };
    const Tensor y = run(ComputeType::bfloat16);
    CHECK(bfloat16_of(y) != nullptr);
    CHECK(same(y, rounded(run(ComputeType::real))));
  }
}

TEST_CASE("autocast: a dense layer is that of rounded operands, with its gradients") {
  const Tensor x = gaussian({5, 33}, 1), w = gaussian({7, 33}, 2), g = gaussian({5, 7}, 3), bias = gaussian({7}, 4);
  const auto run = [&](const Tensor& in, const Tensor& weight, ComputeType type, const Tensor& seed) {
    const Var a = Var::leaf(in), b = Var::leaf(weight);
    const Autocast compute(type);
    const Var y = linear(a, b, bias);
    y.backward(seed);
    return std::vector<Tensor>{y.value(), a.grad(), b.grad()};
  };
  const auto cast = run(x, w, ComputeType::bfloat16, g),
             plain = run(rounded(x), rounded(w), ComputeType::real, rounded(g));
  for (std::size_t i = 0; i < cast.size(); ++i) CHECK(same(cast[i], plain[i]));
}

TEST_CASE("autocast: what lies between ops is kept in half the bytes") {
  const Autocast compute(ComputeType::bfloat16);
  const Network net;
  const Var x = conv2d(net.images, net.first, {}, {.padding = 1});
  CHECK(bfloat16_of(x.value()) != nullptr);
  const Var a = relu(net.normalized(x));
  const Var b = relu(net.normalized(conv2d(a, net.second, {}, {.padding = 1})) + a);
  CHECK(bfloat16_of(b.value()) != nullptr);  // made, since its shortcut is a recipe
  const Var c = relu(net.normalized(conv2d(b, net.second, {}, {.padding = 1})) + b);
  CHECK(c.value().source() != nullptr);
  CHECK(bfloat16_of(c.value()) == nullptr);  // not made: its shortcut is kept
}

TEST_CASE("autocast: the gradients of a residual network are those of one with every rounding said, bit for bit") {
  const auto under_autocast =
      gradients(ComputeType::bfloat16, [](const Network& net) { return net.loss(plain_ops()); });
  const auto said = gradients(ComputeType::real, [](const Network& net) { return net.loss(ops_with_casts()); });
  REQUIRE(under_autocast.size() == 7);
  for (std::size_t i = 0; i < said.size(); ++i) {
    INFO("gradient ", i);
    CHECK(same(under_autocast[i], said[i]));
  }
}

TEST_CASE("autocast: gradients differ from those of float by the roundings on the way") {
  const auto loss = [](const Network& net) { return net.smooth_loss(); };
  const auto cast = gradients(ComputeType::bfloat16, loss), plain = gradients(ComputeType::real, loss);
  // A rounding moves by 2^-9 in the mean square, at most; there are 3 (two factors and what is left) for each of the four
  // products on the way forward, and for each on the way back. Twice what independent ones add up to.
  const double bound = 2 * std::sqrt(24.) * kBfloat16Error / 2;
  for (std::size_t i = 0; i < cast.size(); ++i) {
    INFO("gradient ", i);
    const double d = distance(cast[i], plain[i]);
    CHECK(d < bound);
    CHECK(d > 1e-6);
  }
}

TEST_CASE("autocast: the same bits with 1 and 2 threads") {
  const auto run = [](int threads) {
    set_num_threads(threads);
    return gradients(ComputeType::bfloat16, [](const Network& net) { return net.loss(plain_ops()); });
  };
  const int before = num_threads();
  const auto one = run(1), two = run(2);
  set_num_threads(before);
  for (std::size_t i = 0; i < one.size(); ++i) CHECK(same(one[i], two[i]));
}

TEST_CASE("autocast: sums of gradients are kept as the gradients are, and recipes are read for them") {
  Tensor kept = kept_as(gaussian({4, 6, 8}, 1), ComputeType::bfloat16);
  const Tensor before = kept, other = kept_as(gaussian({4, 6, 8}, 2), ComputeType::bfloat16);
  add_to(kept, other);
  REQUIRE(bfloat16_of(kept) != nullptr);
  CHECK(same(kept, rounded(zip(before, other, [](Real a, Real b) { return a + b; }))));
  Tensor in_memory = gaussian({4, 6, 8}, 3);
  const Tensor sum = zip(in_memory, other, [](Real a, Real b) { return a + b; });
  add_to(in_memory, other);
  CHECK(bfloat16_of(in_memory) == nullptr);
  CHECK(same(in_memory, sum));
}
