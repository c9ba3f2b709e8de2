#pragma once
// The networks of the papers. Each takes the activation to use, so that quantized and float nets are one definition.
#include <memory>
#include <string>
#include <vector>

#include "core/compute/random.h"
#include "nn/activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

/// LeNet-5 for 28 x 28 x 1 images: 5x5 convolutions with 32 and 64 channels, dense 512 and `classes`. Before
/// each of the three activations stands a batch normalisation without scale and shift, so that its input is
/// close to N(0, 1); max pooling comes before the normalisation. Source: Yin, Lyu, Zhang, Osher, Qi, Xin,
/// ICLR 2019 (arXiv 1903.05662), section 4.
std::unique_ptr<Module> lenet5(const MakeActivation& activation, const Rng& rng, std::int64_t classes = 10);

// The networks below take 32 x 32 x 3 images. Convolutions are 3x3 without bias, each followed by a batch
// normalisation; their weights start from N(0, 2 / (9 out)) (kaiming_normal_fan_out of nn/init.h) unless an option says
// otherwise.

/// What is free in vgg11() and vgg16().
struct VggOptions {
  std::int64_t classes = 10,  ///< outputs
      width = 64;             ///< channels of the first convolution; the others keep their proportion to it
  bool affine = true;         ///< normalisations with scale and shift
};
/// 64 M 128 M 256 256 M 512 512 M 512 512 M, then one dense layer; M is a 2x2 max pooling behind the
/// activation. Source: the networks of Simonyan and Zisserman (arXiv 1409.1556) as Yin et al. use them on
/// CIFAR (arXiv 1808.05240).
std::unique_ptr<Module> vgg11(const MakeActivation& activation, const Rng& rng, const VggOptions& options = {});
/// 64 64 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M, then one dense layer; M and sources as for vgg11().
std::unique_ptr<Module> vgg16(const MakeActivation& activation, const Rng& rng, const VggOptions& options = {});

/// How a residual block whose output is smaller and has more channels than its input adds the two.
enum class Shortcut {
  subsample,           ///< every second pixel, missing channels filled up with zeros behind: no parameters
  subsample_centered,  ///< subsample with half of the zeros in front, as "option A" is in most PyTorch code
  projection,          ///< a 1x1 convolution with stride and a batch normalisation
};
/// The names that shortcut() knows: "subsample", "subsample_centered", "projection".
std::vector<std::string> shortcut_names();
/// The shortcut of that name. Throws UsageError, with the list, for a name that is not known.
Shortcut shortcut(const std::string& name);

/// What is free in resnet().
struct ResNetOptions {
  std::int64_t classes = 10,                ///< outputs
      width = 16;                           ///< channels of the first stage
  Shortcut shortcut = Shortcut::subsample;  ///< of the first block of the second and third stage
  bool affine = true;                       ///< normalisations with scale and shift
  bool preactivation = false;               ///< blocks of normalisation, activation, convolution: nothing follows a sum
};
/// Three stages of blocks with width, 2 width and 4 width channels, global average pooling, one dense layer;
/// depth = 6 blocks per stage + 2: 20, 32, 44, 56, 110 ... Each block has one activation module, used behind
/// both of its convolutions, or before them. Throws Error for another depth. Sources: He, Zhang, Ren, Sun,
/// arXiv 1512.03385, section 4.2; with preactivation the same authors, arXiv 1603.05027, figure 4 (e), with a
/// normalisation and an activation before the pooling.
std::unique_ptr<Module> resnet(int depth, const MakeActivation& activation, const Rng& rng,
                               const ResNetOptions& options = {});

/// What is free in bnn_convnet().
struct BnnOptions {
  std::int64_t classes = 10,  ///< outputs
      width = 128,            ///< channels of the first convolution; the others keep their proportion to it
      dense = 0;              ///< outputs of the first two dense layers; 0: 8 width
  bool affine = true,         ///< normalisations with scale and shift
      pad_first = true,       ///< the first convolution pads its image by 1, as the others do theirs
      last_bias = false,      ///< a bias in the last dense layer
      xavier = false;         ///< all weights start from xavier_uniform of nn/init.h
};
/// 2 x 128 M 2 x 256 M 2 x 512 M, dense 1024, 1024, classes. Pooling comes before the normalisation, and the
/// last dense layer is normalised, too. Source: Courbariaux, Hubara, Soudry, El-Yaniv, Bengio, arXiv
/// 1602.02830, section 2.
///
/// bnn_convnet_a to bnn_convnet_d of make_network() are the models A to D of Chen, Liu, Zhang, Hou, Yang (arXiv
/// 2003.04296): widths 128, 64, 64, 64 with 1024, 1024, 512, 256 dense outputs, all with
/// pad_first = false, last_bias = true, xavier = true. That one convolution does not pad follows from the sizes in the paper; that it is
/// the first one, the bias of the last layer and the initial weights are not in it.
std::unique_ptr<Module> bnn_convnet(const MakeActivation& activation, const Rng& rng, const BnnOptions& options = {});

/// What every network understands; what does not apply to one is ignored.
struct NetworkOptions {
  std::int64_t classes = 10;                ///< outputs
  std::int64_t width = 0;                   ///< channels of the first convolution; 0: the paper's
  Shortcut shortcut = Shortcut::subsample;  ///< of residual networks
  bool affine = true;                       ///< normalisations with scale and shift; those of lenet5 never have them
};
/// The names that make_network() knows: lenet5, vgg11, vgg16, resnet20, resnet32, resnet56, preresnet20, preresnet56,
/// bnn_convnet, bnn_convnet_a, bnn_convnet_b, bnn_convnet_c, bnn_convnet_d.
std::vector<std::string> network_names();
/// The image (H, W, C) that a network takes. Throws UsageError, with the list, for a name that is not known.
Shape network_input(const std::string& name);
/// The network of that name. Throws UsageError, with the list, for a name that is not known.
std::unique_ptr<Module> make_network(const std::string& name, const MakeActivation& activation, const Rng& rng,
                                     const NetworkOptions& options = {});

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
