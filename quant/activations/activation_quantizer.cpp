#include "quant/activations/activation_quantizer.h"

#include "core/base/check.h"
#include "quant/activations/clipped_relu.h"
#include "quant/activations/dorefa.h"
#include "quant/activations/learned_step.h"
#include "quant/activations/minmax.h"
#include "quant/activations/mix.h"
#include "quant/activations/pact.h"
#include "quant/activations/sign.h"
#include "quant/activations/trained.h"
#include "quant/activations/uniform.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

template <class Activation, class Options>
void add(PartRegistry<nn::MakeActivation>& all, const char* name, const char* source) {
  all.add(name, source, Options{}, [](const Options& o) -> nn::MakeActivation {
    return [o](const std::string&) { return std::make_unique<Activation>(o); };
  });
}

void add_shipped(PartRegistry<nn::MakeActivation>& all) {
  all.add("relu", "", [] { return nn::relu_activation(); });
  all.add("hard_tanh", "",
          []() -> nn::MakeActivation { return [](const std::string&) { return std::make_unique<nn::Hardtanh>(); }; });
  add<UniformActivation, UniformOptions>(all, "uniform", "Yin et al., ICLR 2019 (1903.05662), section 4");
  add<TrainedActivation, TrainedActivationOptions>(
      all, "trained", "Yin et al.: Blended coarse gradient descent, 2018 (1808.05240), section 2");
  add<SignActivation, SignActivationOptions>(
      all, "sign", "Courbariaux, Hubara et al.: Binarized neural networks, 2016 (1602.02830)");
  constexpr const char* kDorefa = "Zhou et al.: DoReFa-Net, 2016 (1606.06160), section 2.4";
  all.add("dorefa", kDorefa, DorefaOptions{},
          [](const DorefaOptions& o) { return dorefa_activation(o.bits, Bounding::clip, surrogate(o.surrogate)); });
  all.add("dorefa_abs", kDorefa, BoundedOptions{},
          [](const BoundedOptions& o) { return dorefa_activation(o.bits, Bounding::absolute); });
  all.add("dorefa_tanh", kDorefa, BoundedOptions{},
          [](const BoundedOptions& o) { return dorefa_activation(o.bits, Bounding::tanh); });
  add<ClippedRelu, ClippedReluOptions>(all, "clipped_relu", "");
  add<PactActivation, PactOptions>(all, "pact", "Choi et al.: PACT, 2018 (1805.06085), section 3");
  add<LearnedStepActivation, LearnedStepOptions>(all, "lsq", "Esser et al.: LSQ, ICLR 2020 (1902.08153)");
  add<MinMaxActivation, MinMaxOptions>(all, "minmax", "Chen et al.: StatQuant, NeurIPS 2020 (2010.14298)");
  add<MixActivation, MixActivationOptions>(
      all, "mix", "Chen, Liu, Zhang, Hou, Yang: asymptotic-quantized estimator, JSTSP 2020 (2003.04296)");
}

}  // namespace

PartRegistry<nn::MakeActivation>& activations() {
  static PartRegistry<nn::MakeActivation> all("activation", add_shipped);
  return all;
}

nn::MakeActivation make_activation(const Part& part) {
  nn::MakeActivation make = activations().make(part);
  make("");
  return make;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
