// The gradient of every layer through its module, in double. A quantized activation is checked through the
// smooth function of its surrogate: the hard function's own derivative is 0 almost everywhere.
#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "core/map.h"
#include "nn/activation.h"
#include "nn/init.h"
#include "quant/math/surrogate.h"
#include "tests/support/gradcheck_module.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

Tensor noise(const Shape& shape, const char* name = "x") { return nn::uniform(shape, 2, Rng(11).split(name)); }

double error_of(const MakeModule& make, const Shape& input) { return gradcheck_module(make, noise(input)).error; }

template <class M, class... Arguments>
MakeModule maker(Arguments... arguments) {
  return [=] { return std::make_unique<M>(arguments...); };
}

MakeModule batch_norm(const nn::BatchNormOptions& options, bool training) {
  return [=] {
    auto norm = std::make_unique<nn::BatchNorm>(3, options);
    norm->running_mean = Tensor({3}, {0.1, -0.4, 0.3});
    norm->running_var = Tensor({3}, {0.5, 2, 1.3});
    if (options.affine) {
      norm->scale->value = Tensor({3}, {0.7, -1.2, 2});
      norm->shift->value = Tensor({3}, {0.2, 0, -1});
    }
    norm->train(training);
    return norm;
  };
}

// alpha f(x / alpha), f the function of a surrogate: what the straight-through estimator differentiates.
class SmoothActivation : public nn::Activation {
 public:
  SmoothActivation(const Surrogate& surrogate, Real alpha, Real window)
      : surrogate_(surrogate), alpha_(alpha), window_(window) {}
  Var forward(const Var& x) override {
    const Tensor in = x.value();
    const auto value = [this](Real v) { return alpha_ * surrogate_.value(v / alpha_, window_); };
    const auto slope = [this](Real g, Real v) { return g * surrogate_.derivative(v / alpha_, window_); };
    return record("smooth", map(in, value), {x},
                  [in, slope](const Tensor& g) -> Gradients { return {zip(g, in, slope)}; });
  }

 private:
  const Surrogate& surrogate_;
  Real alpha_, window_;
};

// LeNet-5 in small: the same layers in the same order, for 8 x 8 images.
MakeModule small_lenet(const nn::MakeActivation& activation) {
  return [=] {
    const Rng rng(5);
    const nn::BatchNormOptions plain{.affine = false};
    auto net = std::make_unique<nn::Sequential>();
    net->add<nn::Conv2d>("conv1", nn::ConvOptions{.in = 1, .out = 2, .kernel = 3}, rng.split("conv1"));
    net->add<nn::MaxPool2d>("pool1");
    net->add<nn::BatchNorm>("norm1", 2, plain);
    net->append("act1", activation("act1"));
    net->add<nn::Conv2d>("conv2", nn::ConvOptions{.in = 2, .out = 3, .kernel = 2}, rng.split("conv2"));
    net->add<nn::BatchNorm>("norm2", 3, plain);
    net->append("act2", activation("act2"));
    net->add<nn::Flatten>("flatten");
    net->add<nn::Linear>("fc1", 2 * 2 * 3, 5, rng.split("fc1"));
    net->add<nn::BatchNorm>("norm3", 5, plain);
    net->append("act3", activation("act3"));
    net->add<nn::Linear>("fc2", 5, 4, rng.split("fc2"));
    return net;
  };
}

Var loss_of(const Var& logits) { return cross_entropy(logits, Tensor::of<std::int32_t>({3}, {2, 0, 3}), Real(0.1)); }

}  // namespace

TEST_CASE("every layer: the gradient of its input and parameters equals central differences to 1e-6") {
  const Rng rng(3);
  CHECK(error_of(maker<nn::Linear>(4, 3, rng), {5, 4}) <= 1e-6);
  CHECK(error_of(maker<nn::Linear>(4, 3, rng, false), {1, 4}) <= 1e-6);
  CHECK(error_of(maker<nn::Conv2d>(nn::ConvOptions{.in = 2, .out = 3}, rng), {2, 4, 5, 2}) <= 1e-6);
  const nn::ConvOptions odd{
      .in = 4, .out = 2, .kernel = {2, 3}, .stride = {2, 1}, .padding = 1, .dilation = {1, 2}, .groups = 2};
  CHECK(error_of(maker<nn::Conv2d>(odd, rng), {1, 5, 5, 4}) <= 1e-6);
  CHECK(error_of(maker<nn::ReLU>(), {3, 7}) <= 1e-6);
  CHECK(error_of(maker<nn::MaxPool2d>(), {2, 4, 5, 3}) <= 1e-6);
  CHECK(error_of(maker<nn::AvgPool2d>(PoolOptions{.kernel = 3, .stride = HeightWidth(2), .padding = 1}),
                 {1, 5, 4, 2}) <= 1e-6);
  CHECK(error_of(maker<nn::GlobalAvgPool2d>(), {2, 3, 2, 3}) <= 1e-6);
  CHECK(error_of(maker<nn::Flatten>(), {2, 3, 2, 2}) <= 1e-6);
}

TEST_CASE("batch norm: the gradient in training and evaluation mode, with and without scale and shift") {
  for (const bool training : {true, false})
    for (const bool affine : {true, false})
      for (const Shape& shape : {Shape{7, 3}, Shape{2, 2, 3, 3}}) {
        INFO("training ", training, " affine ", affine, " ", shape);
        CHECK(error_of(batch_norm({.affine = affine}, training), shape) <= 1e-6);
      }
}

TEST_CASE("dropout: the gradient passes where the mask does, in evaluation mode everywhere") {
  const auto dropout = [](bool training) {
    return [training] {
      auto layer = std::make_unique<nn::Dropout>(Real(0.5), Rng(2));
      layer->train(training);
      return layer;
    };
  };
  CHECK(error_of(dropout(true), {4, 6}) <= 1e-6);
  CHECK(error_of(dropout(false), {4, 6}) <= 1e-6);
}

TEST_CASE("a layer whose parameter's gradient is 1e-5 off is caught through its module") {
  class Wrong : public nn::Module {
   public:
    Wrong() : weight(register_parameter("weight", Tensor({3}, {1, 2, 3}))) {}
    Var forward(const Var& x) override {
      const Var w = weight.var();
      const Var off = record("off", w.value(), {w}, [](const Tensor& g) -> Gradients {
        return {map(g, [](Real v) { return v * (1 + 1e-5); })};
      });
      return x * off;
    }
    Parameter& weight;
  };
  CHECK(error_of(maker<Wrong>(), {2, 3}) > 5e-6);
}

TEST_CASE("a small LeNet with each surrogate's smooth function: loss gradient of all weights to 1e-6") {
  for (const char* name : {"identity", "tanh", "sigmoid", "swish_sign", "relu", "clipped_relu", "leaky_relu"}) {
    const Surrogate& s = surrogate(name);
    const auto activation = [&s](const std::string&) {
      return std::make_unique<SmoothActivation>(s, Real(0.65), Real(3));
    };
    const auto result = gradcheck_module(small_lenet(activation), noise({3, 8, 8, 1}), loss_of, 1e-6);
    INFO(name, ": ", result.where);
    CHECK(result.error <= 1e-6);
  }
}

TEST_CASE("a small LeNet with ReLU: loss gradient of all weights to 1e-6, in evaluation mode as well") {
  const auto relu = [](const std::string&) { return std::make_unique<nn::ReLU>(); };
  CHECK(gradcheck_module(small_lenet(relu), noise({3, 8, 8, 1}), loss_of).error <= 1e-6);
  const auto evaluated = [&] {
    auto net = small_lenet(relu)();
    net->eval();
    return net;
  };
  CHECK(gradcheck_module(evaluated, noise({3, 8, 8, 1}), loss_of).error <= 1e-6);
}
