#include "quant/weights/projection.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/deferred.h"
#include "quant/weights/dorefa.h"
#include "quant/weights/fixed_levels.h"
#include "quant/weights/learned_step.h"
#include "quant/weights/lloyd.h"
#include "quant/weights/minmax.h"
#include "quant/weights/option_text.h"
#include "quant/weights/power_of_two.h"
#include "quant/weights/sign.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class UniformProjection : public CodedProjection {
 public:
  UniformProjection(std::string name, const WeightGrid& grid, Thresholds thresholds)
      : CodedProjection(std::move(name), grid), thresholds_(std::move(thresholds)) {}

  void begin(const Tensor& w) override {
    if (w.numel() > 0) thresholds(w.view().first(static_cast<std::size_t>(w.numel() / groups(w))));
  }

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    return encode_weights<Real>(w, thresholds(w), codes);
  }

  std::vector<Real> thresholds(std::span<const Real> w) const {
    std::vector<Real> all = thresholds_(w);
    const auto wanted = static_cast<std::size_t>(highest_weight_level(bits()));
    check_usage(all.size() == wanted, name(), " weights: given ", all.size(), " thresholds with ", bits(),
                " bits, expected ", wanted);
    check_usage(bits() > 1 || all[0] <= std::numeric_limits<Real>::min(), name(), " weights: given a threshold of ",
                all[0], " with 1 bit, expected 0: its codes are -1 and +1");
    return all;
  }

  Thresholds thresholds_;
};

std::unique_ptr<WeightProjection> twn(const TernaryOptions& o) {
  return uniform_projection("twn", {o.bits, o.per_channel}, [](std::span<const Real> w) {
    const double limit = 0.7 * magnitude<Real>(w).sum / static_cast<double>(w.size());
    Real first = std::max(static_cast<Real>(limit), std::numeric_limits<Real>::min());
    if (static_cast<double>(first) <= limit) first = std::nextafter(first, std::numeric_limits<Real>::max());
    return std::vector<Real>{first};
  });
}

constexpr const char* kBcgd =
    "Yin, Zhang, Lyu, Osher, Qi, Xin: Blended coarse gradient descent, 2018 (1808.05240), section 3";

void add_shipped(PartRegistry<std::unique_ptr<WeightProjection>>& all) {
  all.add("none", "", [] { return std::unique_ptr<WeightProjection>(); });
  all.add("binary", kBcgd, BinaryOptions{}, [](const BinaryOptions& o) {
    return exact_projection("binary", {o.bits, o.sign_of_zero, o.per_channel});
  });
  all.add("ternary", kBcgd, TernaryOptions{}, [](const TernaryOptions& o) {
    return exact_projection("ternary", {o.bits, 1, o.per_channel});
  });
  all.add("lloyd", kBcgd, LloydOptions{}, lloyd_projection);
  all.add("exact", kBcgd, ExactOptions{}, [](const ExactOptions& o) { return exact_projection("exact", o); });
  all.add("warm_lloyd", "Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, 2018 (1801.06313)", LloydOptions{},
          warm_lloyd_projection);
  all.add("twn", "Li, Zhang, Liu: Ternary weight networks, 2016 (1605.04711)", TernaryOptions{}, twn);
  all.add("sign", "Courbariaux, Hubara, Soudry, El-Yaniv, Bengio: Binarized neural networks, 2016 (1602.02830)",
          SignOptions{}, sign_projection);
  all.add("xnor", "Rastegari, Ordonez, Redmon, Farhadi: XNOR-Net, ECCV 2016 (1603.05279)", XnorOptions{},
          xnor_projection);
  all.add("dorefa", "Zhou, Wu, Ni, Zhou, Wen, Zou: DoReFa-Net, 2016 (1606.06160)", DorefaWeightOptions{},
          dorefa_projection);
  all.add("lsq", "Esser, McKinstry, Bablani, Appuswamy, Modha: LSQ, ICLR 2020 (1902.08153)", LearnedStepWeightOptions{},
          learned_step_projection);
  constexpr const char* kLbwNet = "Yin, Zhang, Qi, Xin: LBW-Net, 2016 (1612.06052)";
  all.add("power_of_two", kLbwNet, PowerOfTwoOptions{}, power_of_two);
  all.add("power_of_two_exact", kLbwNet, PowerOfTwoExactOptions{}, power_of_two_exact);
  all.add("fixed_levels", "Chen, Liu, Zhang, Hou, Yang: asymptotic-quantized estimator, JSTSP 2020 (2003.04296)",
          FixedLevelsOptions{}, fixed_levels);
  all.add("minmax", "Chen, Gai, Yao, Mahoney, Gonzalez: StatQuant, NeurIPS 2020 (2010.14298)", MinMaxWeightOptions{},
          minmax_projection);
}

}  // namespace

ProjectionGradient WeightProjection::gradient(const Tensor& w, const Tensor& g) {
  check(g.shape() == w.shape(), name(), " weights: given a gradient of shape ", g.shape(), ", expected ", w.shape());
  return {g};
}

Var WeightProjection::forward(const Var& w) {
  std::vector<Var> inputs{w};
  for (const Parameter* p : parameters()) inputs.push_back(p->var());
  return record(
      "project", project(w.value()), inputs,
      [this, value = w.value(), count = inputs.size()](const Tensor& g) {
        ProjectionGradient found = gradient(value, g);
        Gradients all{std::move(found.weight)};
        std::ranges::move(found.parameters, std::back_inserter(all));
        all.resize(count);
        return all;
      },
      [this] {
        return Attributes{{"projection", name()}, {"bits", bits()}};
      });
}

std::int64_t WeightGrid::groups(const Tensor& w) const { return per_channel && w.shape().rank() > 0 ? w.size(0) : 1; }

CodedProjection::CodedProjection(std::string name, const WeightGrid& grid) : name_(std::move(name)), grid_(grid) {
  highest_weight_level(grid.bits);
}

Tensor CodedProjection::project(const Tensor& w) {
  if (w.numel() == 0) return w;
  const auto coded = std::make_shared<Coded>(w.numel(), grid_.bits, Coded::Sign::two_s_complement,
                                             std::vector<Real>(static_cast<std::size_t>(groups(w))));
  encode_all(w, coded->signed_codes(), coded->scales());
  return Tensor::deferred(w.shape(), coded);
}

void CodedProjection::encode_all(const Tensor& w, std::int8_t* codes, std::span<Real> scales) {
  const auto count = static_cast<std::int64_t>(scales.size()), length = w.numel() / count;
  parallel_for(count, [&](std::int64_t g) {
    const std::span<const Real> group(w.data() + g * length, static_cast<std::size_t>(length));
    scales[static_cast<std::size_t>(g)] = static_cast<Real>(encode(group, g, codes + g * length));
  });
}

std::unique_ptr<WeightProjection> uniform_projection(std::string name, const WeightGrid& grid, Thresholds thresholds) {
  return std::make_unique<UniformProjection>(std::move(name), grid, std::move(thresholds));
}

std::unique_ptr<WeightProjection> exact_projection(std::string name, const ExactOptions& o) {
  const WeightGrid grid{o.bits, o.per_channel};
  if (o.bits == 1)
    return uniform_projection(
        std::move(name), grid,
        [thresholds = binary_thresholds<Real>(o.sign_of_zero)](std::span<const Real>) { return thresholds; });
  return uniform_projection(std::move(name), grid, [levels = highest_weight_level(o.bits)](std::span<const Real> w) {
    return exact_thresholds<Real>(w, levels);
  });
}

void describe(OptionVisitor& v, ExactOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 8});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag(option_text::per_channel(), o.per_channel);
}

void describe(OptionVisitor& v, BinaryOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 1});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag(option_text::per_channel(), o.per_channel);
}

void describe(OptionVisitor& v, TernaryOptions& o) {
  v.integer(option_text::bits(), o.bits, {2, 2});
  v.flag(option_text::per_channel(), o.per_channel);
}

PartRegistry<std::unique_ptr<WeightProjection>>& weight_projections() {
  static PartRegistry<std::unique_ptr<WeightProjection>> all("weight projection", add_shipped);
  return all;
}

std::unique_ptr<WeightProjection> weight_projection(const Part& part) { return weight_projections().make(part); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
