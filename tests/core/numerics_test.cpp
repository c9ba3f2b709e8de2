// What may not get lost: a NaN reaches everything that depends on its place. And what must not arise: NaN
// from constant, all-zero, one-element and empty inputs.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/kernels/kernels.h"
#include "core/map.h"
#include "nn/layers.h"
#include "nn/networks.h"
#include "quant/activations/uniform.h"
#include "tests/core/op_table.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

using Op = std::function<Var(const std::vector<Var>&)>;
const Real kNaN = std::numeric_limits<Real>::quiet_NaN();

bool finite(const Tensor& t) {
  return std::all_of(t.view().begin(), t.view().end(), [](Real v) { return std::isfinite(v); });
}

Tensor value_with(const Op& f, std::vector<Tensor> inputs, std::size_t input, std::int64_t at, Real value) {
  inputs[input].mutable_data()[at] = value;
  return f({inputs.begin(), inputs.end()}).value();
}

/// Where in the output a NaN at this place should be and is not: at elements that the place can change.
std::int64_t swallowed(const Op& f, const std::vector<Tensor>& inputs, std::size_t input, std::int64_t at) {
  const Tensor before = f({inputs.begin(), inputs.end()}).value(), up = value_with(f, inputs, input, at, 50),
               down = value_with(f, inputs, input, at, -50), poisoned = value_with(f, inputs, input, at, kNaN);
  std::int64_t count = 0;
  for (std::int64_t i = 0; i < before.numel(); ++i)
    if ((up[i] != before[i] || down[i] != before[i]) && !std::isnan(poisoned[i])) ++count;
  return count;
}

std::int64_t swallowed(const Op& f, const std::vector<Tensor>& inputs) {
  std::int64_t count = 0;
  for (std::size_t input = 0; input < inputs.size(); ++input)
    for (std::int64_t at = 0; at < inputs[input].numel(); ++at) count += swallowed(f, inputs, input, at);
  return count;
}

std::vector<Tensor> gradients(const Op& f, const std::vector<Tensor>& inputs, const Tensor& seed) {
  std::vector<Var> leaves;
  for (const Tensor& t : inputs) leaves.push_back(Var::leaf(t));
  const Var y = f(leaves);
  std::vector<Tensor> all;
  if (y.requires_grad()) y.backward(seed);
  for (const Var& leaf : leaves) all.push_back(leaf.grad().defined() ? leaf.grad() : Tensor(leaf.shape()));
  return all;
}

/// The same for the gradients: a NaN in the incoming gradient.
std::int64_t swallowed_backward(const Op& f, const std::vector<Tensor>& inputs) {
  const Shape out = f({inputs.begin(), inputs.end()}).shape();
  std::int64_t count = 0;
  for (std::int64_t j = 0; j < out.numel(); ++j) {
    Tensor one(out), poison(out);
    one.mutable_data()[j] = 1;
    poison.mutable_data()[j] = kNaN;
    const auto d = gradients(f, inputs, one), bad = gradients(f, inputs, poison);
    for (std::size_t i = 0; i < d.size(); ++i)
      for (std::int64_t e = 0; e < d[i].numel(); ++e) count += d[i][e] != 0 && !std::isnan(bad[i][e]);
  }
  return count;
}

template <class F>
void with_each_table(F f) {
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    INFO(table->name);
    f();
  }
  use_kernels("auto");
}

Op quantizer(int bits, const char* surrogate_name) {
  return [=](const std::vector<Var>& v) {
    return quant::quantize_activation(v[0], Real(0.5), bits, surrogate(surrogate_name));
  };
}

}  // namespace

TEST_CASE("every op: a NaN in an input is NaN wherever the output depends on it, in every table") {
  with_each_table([] {
    for (const OpCase& c : op_table()) {
      INFO(c.name);
      CHECK(swallowed(c.f, sample_inputs(c)) == 0);
    }
  });
}

TEST_CASE("every op: a NaN in the incoming gradient is NaN wherever it has an influence, in every table") {
  with_each_table([] {
    for (const OpCase& c : op_table()) {
      INFO(c.name);
      CHECK(swallowed_backward(c.f, sample_inputs(c)) == 0);
    }
  });
}

TEST_CASE("quantized activations: NaN stays NaN, forward and, within the window, backward") {
  const std::vector<Tensor> x{Tensor({9}, {-1, 0, Real(0.2), Real(0.5), 1, Real(1.2), 2, 40, -3})};
  with_each_table([&] {
    for (const char* name : {"identity", "relu", "clipped_relu", "tanh", "swish_sign"})
      for (const int bits : {1, 2, 8}) {
        INFO(name, " ", bits);
        CHECK(swallowed(quantizer(bits, name), x) == 0);
        CHECK(swallowed_backward(quantizer(bits, name), x) == 0);
      }
  });
}

TEST_CASE("an op that cuts a NaN off, forward or backward, is found") {
  const auto keep_positive = [](const Tensor& t) { return map(t, [](Real v) { return v > 0 ? v : Real(0); }); };
  const Op cut = [&](const std::vector<Var>& v) {
    return record("cut", keep_positive(v[0].value()), v,
                  [&](const Tensor& g) -> Gradients { return {keep_positive(g)}; });
  };
  CHECK(swallowed(cut, {Tensor({3}, {1, -1, 2})}) == 3);
  CHECK(swallowed_backward(cut, {Tensor({3}, {1, -1, 2})}) == 3);
}

TEST_CASE("a NaN in one pixel or one weight reaches the loss of LeNet-5, float and quantized") {
  const Tensor labels = Tensor::of<std::int32_t>({2}, {3, 1});
  with_each_table([&] {
    for (const int bits : {0, 2}) {
      const auto net =
          nn::lenet5(bits ? quant::uniform_activation(bits, surrogate("clipped_relu")) : nn::relu_activation(), Rng(1));
      const Tensor images({2, 28, 28, 1}, Real(0.5));
      Tensor poisoned = images;
      poisoned.mutable_data()[28 * 14 + 14] = kNaN;
      for (const bool training : {true, false}) {
        INFO(bits, " bits, training ", training);
        net->train(training);
        const auto state = net->state_dict();
        CHECK(std::isfinite(cross_entropy((*net)(images), labels).item()));
        CHECK(std::isnan(cross_entropy((*net)(poisoned), labels).item()));
        net->load_state_dict(state);
        for (const auto& entry : net->named_parameters()) {
          INFO(entry.first);
          Parameter* const parameter = entry.second;
          const Tensor good = parameter->value;
          parameter->value.mutable_data()[0] = kNaN;
          CHECK(std::isnan(cross_entropy((*net)(images), labels).item()));
          parameter->value = good;
          net->load_state_dict(state);
        }
      }
    }
  });
}

TEST_CASE("batch norm of constant and all-zero channels: zeros out, finite gradients, in every table") {
  with_each_table([] {
    for (const Real constant : {Real(0), Real(0.1), Real(-3e4)}) {
      INFO(constant);
      const Var x = Var::leaf(Tensor({8, 3, 3, 5}, constant));
      Tensor mean({5}), var({5}, Real(1));
      const Var y = batch_norm(x, {}, {}, Real(1e-5), Real(0.1), &mean, &var);
      for (Real v : y.value().view()) CHECK(std::abs(v) <= Real(1e-4));
      Tensor seed(y.shape());
      for (std::int64_t i = 0; i < seed.numel(); ++i) seed.mutable_data()[i] = static_cast<Real>(i % 7) - 3;
      y.backward(seed);
      CHECK(finite(x.grad()));
      CHECK(finite(mean));
      for (Real v : var.view()) CHECK(v == doctest::Approx(0.9));
    }
  });
}

TEST_CASE("batch norm of values of 1e30, alone and fused with ReLU: as of values of 1, in every table") {
  const double right[] = {-1.34164079, -0.44721360, 0.44721360, 1.34164079};
  with_each_table([&] {
    for (const std::int64_t channels : {1, 8}) {
      Tensor values({4, channels});
      for (std::int64_t i = 0; i < values.numel(); ++i)
        values.mutable_data()[i] = Real(1e30) * static_cast<Real>(1 + i / channels);
      const Var x = Var::leaf(values);
      Tensor mean({channels}), var({channels}, Real(1));
      const Var y = batch_norm(x, {}, {}, Real(1e-5), Real(0.1), &mean, &var);
      for (std::int64_t i = 0; i < y.numel(); ++i) CHECK(y.value()[i] == doctest::Approx(right[i / channels]));
      CHECK(mean[0] == doctest::Approx(2.5e29));
      CHECK(var[0] == std::numeric_limits<Real>::max());
      Tensor seed(y.shape());
      seed.mutable_data()[0] = 1;
      y.backward(seed);
      const double inv_std = 1 / std::sqrt(1.25);
      for (std::int64_t i = 0; i < 4; ++i)
        CHECK(1e30 * static_cast<double>(x.grad()[i * channels]) ==
              doctest::Approx(inv_std * ((i == 0) - 0.25 - right[i] * right[0] / 4)));
      if (channels % 8 != 0) continue;
      const Var fused = relu(batch_norm(x, {}, {}, Real(1e-5), Real(0.1), &mean, &var));
      for (std::int64_t i = 0; i < y.numel(); ++i) CHECK(fused.value()[i] == std::max(y.value()[i], Real(0)));
      CHECK(var[0] == std::numeric_limits<Real>::max());
    }
  });
}

TEST_CASE("batch norm in training mode: one value per channel is refused, and the running statistics stay") {
  for (const Shape& shape : {Shape{1, 8}, Shape{1, 1, 1, 8}}) {
    nn::BatchNorm norm(8);
    const Var x(Tensor(shape, Real(3)));
    CHECK_THROWS_WITH_AS(norm(x), doctest::Contains("expected more than one value per channel in training mode"),
                         Error);
    CHECK_THROWS_AS(batch_norm(x, {}, {}, Real(1e-5)), Error);
    for (Real v : norm.running_mean.view()) CHECK(v == 0);
    for (Real v : norm.running_var.view()) CHECK(v == 1);
    norm.eval();
    CHECK(finite(norm(x).value()));
  }
  nn::BatchNorm norm(8);
  CHECK(finite(norm(Var(Tensor({1, 2, 1, 8}, Real(3)))).value()));
}

TEST_CASE("batch norm: a setting that is no finite Real, or a momentum above 1, is refused when it is set") {
  for (const double bad : {double(kNaN), HUGE_VAL, -1., 1e39}) {
    CHECK_THROWS_AS(nn::BatchNorm(3, {.eps = bad}), Error);
    CHECK_THROWS_AS(nn::BatchNorm(3, {.momentum = bad}), Error);
  }
  CHECK_THROWS_AS(nn::BatchNorm(3, {.momentum = 2}), Error);
  CHECK_NOTHROW(nn::BatchNorm(3, {.eps = 0, .momentum = 1}));
}

TEST_CASE("layers take one-element and empty batches, and keep the other extents") {
  const Rng rng(2);
  for (const std::int64_t n : {0, 1}) {
    INFO("batch of ", n);
    nn::Conv2d conv({.in = 2, .out = 3}, rng);
    nn::Linear fc(8, 4, rng);
    nn::MaxPool2d max;
    nn::AvgPool2d average;
    nn::GlobalAvgPool2d global;
    nn::Flatten flatten;
    nn::ReLU relu_layer;
    nn::Dropout dropout(Real(0.5), rng);
    quant::UniformActivation quantized(2, 0.5, surrogate("relu"));
    const Var image(Tensor({n, 4, 4, 2}, Real(1)));
    CHECK(conv(image).shape() == Shape{n, 2, 2, 3});
    CHECK(max(image).shape() == Shape{n, 2, 2, 2});
    CHECK(average(image).shape() == Shape{n, 2, 2, 2});
    CHECK(global(image).shape() == Shape{n, 2});
    CHECK(flatten(image).shape() == Shape{n, 32});
    CHECK(relu_layer(image).shape() == image.shape());
    CHECK(dropout(image).shape() == image.shape());
    CHECK(quantized(image).shape() == image.shape());
    const Var in = Var::leaf(Tensor({n, 8}, Real(1))), out = fc(in);
    CHECK(out.shape() == Shape{n, 4});
    out.backward(Tensor(out.shape(), Real(1)));
    CHECK(in.grad().shape() == Shape{n, 8});
    for (Real v : fc.bias->grad().view()) CHECK(v == static_cast<Real>(n));
  }
  CHECK_THROWS_AS(cross_entropy(Tensor({0, 3}), Tensor::of<std::int32_t>({0}, {})), Error);
}
