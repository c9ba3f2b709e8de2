#include "nn/networks.h"

#include <utility>

#include "core/base/check.h"
#include "nn/init.h"
#include "nn/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {
namespace {

std::unique_ptr<Conv2d> conv3x3(std::int64_t in, std::int64_t out, std::int64_t stride, const Rng& rng,
                                std::int64_t padding = 1) {
  auto conv = std::make_unique<Conv2d>(
      ConvOptions{.in = in, .out = out, .kernel = 3, .stride = stride, .padding = padding, .bias = false}, rng);
  conv->weight.value = kaiming_normal_fan_out(conv->weight.value.shape(), rng.split("weight"));
  return conv;
}

constexpr std::int64_t kPool = -1;  // in a list of channels: a 2x2 max pooling

std::unique_ptr<Module> vgg(const std::vector<std::int64_t>& plan, const MakeActivation& activation, const Rng& rng,
                            const VggOptions& o) {
  auto net = std::make_unique<Sequential>();
  std::int64_t in = 3;
  int layer = 1, pool = 1;
  for (const std::int64_t multiple : plan) {
    if (multiple == kPool) {
      net->add<MaxPool2d>(cat("pool", pool++));
      continue;
    }
    const std::string number = std::to_string(layer++);
    const std::int64_t out = multiple * o.width;
    net->append(cat("conv", number), conv3x3(in, out, 1, rng.split(cat("conv", number))));
    net->add<BatchNorm>(cat("norm", number), out, BatchNormOptions{.affine = o.affine});
    net->append(cat("act", number), activation(cat("act", number)));
    in = out;
  }
  net->add<Flatten>("flatten");
  net->add<Linear>("fc", in, o.classes, rng.split("fc"));
  return net;
}

BatchNormOptions norm_options(const ResNetOptions& o) { return {.affine = o.affine}; }

// The first block of a stage may have a stride of 2; it then halves the image and doubles the channels.
class ResidualBlock : public Module {
 protected:
  ResidualBlock(std::int64_t in, std::int64_t out, Shortcut shortcut)
      : stride_(in == out ? 1 : 2), in_(in), out_(out), shortcut_(shortcut) {}

  /// Null where the shortcut has no parameters.
  Module* register_projection(const Rng& rng) {
    if (stride_ == 1 || shortcut_ != Shortcut::projection) return nullptr;
    return &register_module<Conv2d>("projection",
                                    ConvOptions{.in = in_, .out = out_, .kernel = 1, .stride = stride_, .bias = false},
                                    rng.split("projection"));
  }
  Var plain_shortcut(const Var& x) const {
    const std::int64_t missing = out_ - in_;
    return stride_ == 1 ? x
                        : subsample2d(x, stride_, missing, shortcut_ == Shortcut::subsample_centered ? missing / 2 : 0);
  }

  const std::int64_t stride_, in_, out_;
  const Shortcut shortcut_;
};

class PostActivationBlock : public ResidualBlock {
 public:
  PostActivationBlock(std::int64_t in, std::int64_t out, const ResNetOptions& o, std::unique_ptr<Activation> activation,
                      const Rng& rng)
      : ResidualBlock(in, out, o.shortcut),
        conv1_(adopt("conv1", conv3x3(in, out, stride_, rng.split("conv1")))),
        norm1_(register_module<BatchNorm>("norm1", out, norm_options(o))),
        conv2_(adopt("conv2", conv3x3(out, out, 1, rng.split("conv2")))),
        norm2_(register_module<BatchNorm>("norm2", out, norm_options(o))),
        act_(static_cast<Activation&>(adopt("act", std::move(activation)))),
        projection_(register_projection(rng)) {
    if (projection_) projection_norm_ = &register_module<BatchNorm>("projection_norm", out, norm_options(o));
  }

  Var forward(const Var& x) override {
    const Var inner = act_(norm1_(conv1_(x)));
    const Var shortcut = projection_ ? (*projection_norm_)((*projection_)(x)) : plain_shortcut(x);
    return act_(norm2_(conv2_(inner)) + shortcut);
  }

 private:
  Module& conv1_;
  BatchNorm& norm1_;
  Module& conv2_;
  BatchNorm& norm2_;
  Activation& act_;
  Module *projection_, *projection_norm_ = nullptr;
};

// A projection reads what the first convolution reads; a shortcut without parameters reads what comes into the block.
class PreActivationBlock : public ResidualBlock {
 public:
  PreActivationBlock(std::int64_t in, std::int64_t out, const ResNetOptions& o, std::unique_ptr<Activation> activation,
                     const Rng& rng)
      : ResidualBlock(in, out, o.shortcut),
        norm1_(register_module<BatchNorm>("norm1", in, norm_options(o))),
        conv1_(adopt("conv1", conv3x3(in, out, stride_, rng.split("conv1")))),
        norm2_(register_module<BatchNorm>("norm2", out, norm_options(o))),
        conv2_(adopt("conv2", conv3x3(out, out, 1, rng.split("conv2")))),
        act_(static_cast<Activation&>(adopt("act", std::move(activation)))),
        projection_(register_projection(rng)) {}

  Var forward(const Var& x) override {
    const Var active = act_(norm1_(x));
    const Var inner = act_(norm2_(conv1_(active)));
    return conv2_(inner) + (projection_ ? (*projection_)(active) : plain_shortcut(x));
  }

 private:
  BatchNorm& norm1_;
  Module& conv1_;
  BatchNorm& norm2_;
  Module& conv2_;
  Activation& act_;
  Module* projection_;
};

// Modules are registered in the order of the forward pass, which is what weights from elsewhere are matched by.
class ResNet : public Module {
 public:
  ResNet(int blocks, const MakeActivation& activation, const Rng& rng, const ResNetOptions& o)
      : preactivation_(o.preactivation), conv_(adopt("conv", conv3x3(3, o.width, 1, rng.split("conv")))) {
    if (!preactivation_) register_activation(o.width, activation, o);
    stages_ = &register_module<Sequential>("stages");
    std::int64_t in = o.width;
    for (int stage = 1; stage <= 3; ++stage)
      for (int block = 1; block <= blocks; ++block) {
        const std::int64_t out = o.width << (stage - 1);
        const std::string name = cat("stage", stage, "_block", block);
        std::unique_ptr<Activation> act = activation(cat("stages.", name, ".act"));
        if (preactivation_)
          stages_->add<PreActivationBlock>(name, in, out, o, std::move(act), rng.split(name));
        else
          stages_->add<PostActivationBlock>(name, in, out, o, std::move(act), rng.split(name));
        in = out;
      }
    if (preactivation_) register_activation(in, activation, o);
    fc_ = &register_module<Linear>("fc", in, o.classes, rng.split("fc"));
  }

  Var forward(const Var& x) override {
    const Var start = conv_(x);
    const Var features = preactivation_ ? (*act_)((*norm_)((*stages_)(start))) : (*stages_)((*act_)((*norm_)(start)));
    return (*fc_)(global_avg_pool2d(features));
  }

 private:
  void register_activation(std::int64_t channels, const MakeActivation& activation, const ResNetOptions& o) {
    norm_ = &register_module<BatchNorm>("norm", channels, norm_options(o));
    act_ = static_cast<Activation*>(&adopt("act", activation("act")));
  }

  const bool preactivation_;
  Module& conv_;
  BatchNorm* norm_ = nullptr;
  Activation* act_ = nullptr;
  Sequential* stages_ = nullptr;
  Module* fc_ = nullptr;
};

struct Entry {
  const char* name;
  Shape input;
  std::unique_ptr<Module> (*make)(const MakeActivation&, const Rng&, const NetworkOptions&);
};

template <std::int64_t width>
VggOptions vgg_options(const NetworkOptions& o) {
  return {o.classes, o.width ? o.width : width, o.affine};
}

// A model of Chen et al.: channels of its first convolution and outputs of its dense layers.
template <std::int64_t width, std::int64_t dense>
std::unique_ptr<Module> make_bnn_model(const MakeActivation& activation, const Rng& rng, const NetworkOptions& o) {
  const std::int64_t own = o.width ? o.width : width;
  return bnn_convnet(activation, rng,
                     {.classes = o.classes,
                      .width = own,
                      .dense = own * dense / width,
                      .affine = o.affine,
                      .pad_first = false,
                      .last_bias = true,
                      .xavier = true});
}

template <int depth, bool preactivation = false>
std::unique_ptr<Module> make_resnet(const MakeActivation& activation, const Rng& rng, const NetworkOptions& o) {
  return resnet(depth, activation, rng, {o.classes, o.width ? o.width : 16, o.shortcut, o.affine, preactivation});
}

const std::vector<Entry>& entries() {
  static const std::vector<Entry> all{
      {"lenet5", {28, 28, 1}, [](const auto& a, const auto& rng, const auto& o) { return lenet5(a, rng, o.classes); }},
      {"vgg11",
       {32, 32, 3},
       [](const auto& a, const auto& rng, const auto& o) { return vgg11(a, rng, vgg_options<64>(o)); }},
      {"vgg16",
       {32, 32, 3},
       [](const auto& a, const auto& rng, const auto& o) { return vgg16(a, rng, vgg_options<64>(o)); }},
      {"resnet20", {32, 32, 3}, make_resnet<20>},
      {"resnet32", {32, 32, 3}, make_resnet<32>},
      {"resnet56", {32, 32, 3}, make_resnet<56>},
      {"preresnet20", {32, 32, 3}, make_resnet<20, true>},
      {"preresnet56", {32, 32, 3}, make_resnet<56, true>},
      {"bnn_convnet",
       {32, 32, 3},
       [](const auto& a, const auto& rng, const auto& o) {
         return bnn_convnet(a, rng, {.classes = o.classes, .width = o.width ? o.width : 128, .affine = o.affine});
       }},
      {"bnn_convnet_a", {32, 32, 3}, make_bnn_model<128, 1024>},
      {"bnn_convnet_b", {32, 32, 3}, make_bnn_model<64, 1024>},
      {"bnn_convnet_c", {32, 32, 3}, make_bnn_model<64, 512>},
      {"bnn_convnet_d", {32, 32, 3}, make_bnn_model<64, 256>}};
  return all;
}

const Entry& entry(const std::string& name) {
  for (const Entry& e : entries())
    if (name == e.name) return e;
  std::string known;
  for (const Entry& e : entries()) known += cat(known.empty() ? "" : ", ", e.name);
  throw UsageError(cat("network: given ", name, ", expected one of ", known));
}

}  // namespace

std::unique_ptr<Module> lenet5(const MakeActivation& activation, const Rng& rng, std::int64_t classes) {
  const BatchNormOptions plain{.affine = false};
  auto net = std::make_unique<Sequential>();
  net->add<Conv2d>("conv1", ConvOptions{.in = 1, .out = 32, .kernel = 5}, rng.split("conv1"));
  net->add<MaxPool2d>("pool1");
  net->add<BatchNorm>("norm1", 32, plain);
  net->append("act1", activation("act1"));
  net->add<Conv2d>("conv2", ConvOptions{.in = 32, .out = 64, .kernel = 5}, rng.split("conv2"));
  net->add<MaxPool2d>("pool2");
  net->add<BatchNorm>("norm2", 64, plain);
  net->append("act2", activation("act2"));
  net->add<Flatten>("flatten");
  net->add<Linear>("fc1", 4 * 4 * 64, 512, rng.split("fc1"));
  net->add<BatchNorm>("norm3", 512, plain);
  net->append("act3", activation("act3"));
  net->add<Linear>("fc2", 512, classes, rng.split("fc2"));
  return net;
}

std::unique_ptr<Module> vgg11(const MakeActivation& activation, const Rng& rng, const VggOptions& options) {
  return vgg({1, kPool, 2, kPool, 4, 4, kPool, 8, 8, kPool, 8, 8, kPool}, activation, rng, options);
}

std::unique_ptr<Module> vgg16(const MakeActivation& activation, const Rng& rng, const VggOptions& options) {
  return vgg({1, 1, kPool, 2, 2, kPool, 4, 4, 4, kPool, 8, 8, 8, kPool, 8, 8, 8, kPool}, activation, rng, options);
}

std::unique_ptr<Module> resnet(int depth, const MakeActivation& activation, const Rng& rng,
                               const ResNetOptions& options) {
  check(depth >= 8 && (depth - 2) % 6 == 0, "resnet: given depth ", depth, ", expected 6 n + 2 with n >= 1");
  return std::make_unique<ResNet>((depth - 2) / 6, activation, rng, options);
}

std::unique_ptr<Module> bnn_convnet(const MakeActivation& activation, const Rng& rng, const BnnOptions& o) {
  auto net = std::make_unique<Sequential>();
  std::int64_t in = 3;
  for (int layer = 1; layer <= 6; ++layer) {
    const std::int64_t out = o.width << ((layer - 1) / 2), padding = layer > 1 || o.pad_first ? 1 : 0;
    net->append(cat("conv", layer), conv3x3(in, out, 1, rng.split(cat("conv", layer)), padding));
    if (layer % 2 == 0) net->add<MaxPool2d>(cat("pool", layer / 2));
    net->add<BatchNorm>(cat("norm", layer), out, BatchNormOptions{.affine = o.affine});
    net->append(cat("act", layer), activation(cat("act", layer)));
    in = out;
  }
  net->add<Flatten>("flatten");
  const std::int64_t side = o.pad_first ? 4 : 3;  // of an image of 32 pixels, or of 30, after three poolings
  const std::int64_t dense = o.dense > 0 ? o.dense : 8 * o.width;
  const std::int64_t inputs[] = {side * side * in, dense, dense}, outputs[] = {dense, dense, o.classes};
  for (int i = 0; i < 3; ++i) {
    net->add<Linear>(cat("fc", i + 1), inputs[i], outputs[i], rng.split(cat("fc", i + 1)), i == 2 && o.last_bias);
    net->add<BatchNorm>(cat("norm", i + 7), outputs[i], BatchNormOptions{.affine = o.affine});
    if (i < 2) net->append(cat("act", i + 7), activation(cat("act", i + 7)));
  }
  if (o.xavier)
    for (const auto& [name, module] : net->named_modules())
      if (Parameter* weight = module->weight_parameter())
        weight->value = xavier_uniform(weight->value.shape(), rng.split(name).split("weight"));
  return net;
}

namespace {

constexpr std::pair<const char*, Shortcut> kShortcuts[] = {{"subsample", Shortcut::subsample},
                                                           {"subsample_centered", Shortcut::subsample_centered},
                                                           {"projection", Shortcut::projection}};

}  // namespace

std::vector<std::string> shortcut_names() {
  std::vector<std::string> names;
  for (const auto& [name, kind] : kShortcuts) names.emplace_back(name);
  return names;
}

Shortcut shortcut(const std::string& name) {
  std::string known;
  for (const auto& [own, kind] : kShortcuts) {
    if (name == own) return kind;
    known += cat(known.empty() ? "" : ", ", own);
  }
  throw UsageError(cat("shortcut: given ", name, ", expected one of ", known));
}

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const Entry& e : entries()) names.emplace_back(e.name);
  return names;
}

Shape network_input(const std::string& name) { return entry(name).input; }

std::unique_ptr<Module> make_network(const std::string& name, const MakeActivation& activation, const Rng& rng,
                                     const NetworkOptions& options) {
  return entry(name).make(activation, rng, options);
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
