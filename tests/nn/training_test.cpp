// A training step as a whole: the same bits with any number of threads, and denormals flushed throughout.
#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <limits>

#include "core/base/float_control.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "tests/support/lenet_training.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

/// The bits of every loss, parameter and buffer after some steps.
std::vector<std::uint32_t> bits_after_training(int bits, int threads) {
  set_num_threads(threads);
  LenetTraining training(bits, 4 * 24 + 9, 24);  // the last of the five batches is smaller
  std::vector<std::uint32_t> all;
  for (int i = 0; i < 5; ++i) all.push_back(std::bit_cast<std::uint32_t>(training.step()));
  for (const auto& [name, value] : training.net().state_dict())
    for (Real v : value.view()) all.push_back(std::bit_cast<std::uint32_t>(v));
  return all;
}

std::uint32_t flush_mode() { return float_control::read() & float_control::kFlush; }

bool denormal(Real v) { return std::fpclassify(v) == FP_SUBNORMAL; }
bool any_denormal(const Tensor& t) { return std::any_of(t.view().begin(), t.view().end(), denormal); }

/// Values of this size, in both signs.
Tensor about(Real size, const Shape& shape) {
  Tensor t = nn::uniform(shape, 1, Rng(9).split("about"));
  for (Real& v : t.mut()) v = size * (v < 0 ? v - 1 : v + 1);
  return t;
}

}  // namespace

TEST_CASE("five steps of LeNet-5 end in the same bits with 1 and 2 threads and in a repeat, for every table" *
          doctest::test_suite("long")) {
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    for (const int bits : {0, 2}) {
      INFO(table->name, " ", bits, " bits");
      const auto one = bits_after_training(bits, 1);
      CHECK(one == bits_after_training(bits, 2));
      CHECK(one == bits_after_training(bits, 2));
    }
  }
  use_kernels("auto");
}

TEST_CASE("five steps of LeNet-5 lower the loss, and another seed or bit width gives other bits" *
          doctest::test_suite("long")) {
  for (const int bits : {0, 2}) {
    LenetTraining training(bits, 320, 64);
    const Real first = training.step();
    Real last = 0;
    for (int i = 0; i < 15; ++i) last = training.step();
    INFO(bits, " bits: ", first, " to ", last);
    CHECK(last < Real(0.5) * first);
  }
  CHECK(bits_after_training(0, 2) != bits_after_training(2, 2));
}

TEST_CASE("a training step leaves the caller's denormal mode as it was, on or off") {
  LenetTraining training(2, 64, 32);
  CHECK(flush_mode() == 0);
  training.step();
  CHECK(flush_mode() == 0);
  {
    const FlushDenormals flush;
    training.step();
    CHECK(flush_mode() == float_control::kFlush);
  }
  CHECK(flush_mode() == 0);
  nn::Linear layer(3, 2, Rng(1));
  CHECK_THROWS(layer(Tensor({1, 4})));  // an exception on the way out, too
  CHECK(flush_mode() == 0);
}

TEST_CASE("denormal inputs are zeros to a layer, forward and backward") {
  const Tensor tiny = about(Real(1e-40), {6, 8, 8, 3});
  REQUIRE(any_denormal(tiny));
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    INFO(table->name);
    nn::Conv2d conv({.in = 3, .out = 16, .bias = false}, Rng(1));
    const Var y = conv(tiny);
    for (Real v : y.value().view()) CHECK(v == 0);
    y.backward(Tensor(y.shape(), Real(1)));
    for (Real v : conv.weight.grad().view()) CHECK(v == 0);
    nn::Linear fc(192, 10, Rng(1), false);
    const Var z = fc(Tensor(tiny.reshaped({6, 192})));
    for (Real v : z.value().view()) CHECK(v == 0);
    z.backward(Tensor(z.shape(), Real(1)));
    for (Real v : fc.weight.grad().view()) CHECK(v == 0);
  }
  use_kernels("auto");
}

TEST_CASE("results below the normal numbers come out as zeros, forward and backward") {
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    INFO(table->name);
    nn::Linear fc(1, 4, Rng(1), false);
    fc.weight.value = about(Real(1e-20), {4, 1});
    const Var x = Var::leaf(about(Real(1e-20), {5, 1})), y = fc(x);
    for (Real v : y.value().view()) CHECK(v == 0);
    y.backward(about(Real(1e-20), {5, 4}));
    for (Real v : x.grad().view()) CHECK(v == 0);
    for (Real v : fc.weight.grad().view()) CHECK(v == 0);
    // Sums that run in double end as floats: the last rounding is flushed as well.
    const Tensor sums = sum(Var(about(Real(1e-40), {64, 3})), 0).value();
    for (Real v : sums.view()) CHECK(v == 0);
    CHECK(mse_loss(about(Real(1e-20), {9}), Tensor({9})).item() == 0);
  }
  use_kernels("auto");
}

TEST_CASE("running statistics fade to zero, not into denormals") {
  nn::BatchNorm norm(4, {.affine = false});
  norm.running_mean = about(std::numeric_limits<Real>::min(), {4});
  norm(Tensor({8, 4}));
  for (int i = 0; i < 40; ++i) norm(Tensor({8, 4}));
  for (Real v : norm.running_mean.view()) CHECK(v == 0);
  CHECK_FALSE(any_denormal(norm.running_var));
}
