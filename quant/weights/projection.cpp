#include "quant/weights/projection.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/registry.h"
#include "core/deferred.h"
#include "quant/weights/dorefa.h"
#include "quant/weights/fixed_levels.h"
#include "quant/weights/learned_step.h"
#include "quant/weights/lloyd.h"
#include "quant/weights/minmax.h"
#include "quant/weights/power_of_two.h"
#include "quant/weights/sign.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class UniformProjection : public CodedProjection {
 public:
  UniformProjection(std::string name, const ProjectionOptions& options, ThresholdRule thresholds)
      : CodedProjection(std::move(name), options), rule_(std::move(thresholds)) {}

  void begin(const Tensor& w) override {
    if (w.numel() > 0) thresholds(w.view().first(static_cast<std::size_t>(w.numel() / groups(w))));
  }

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    return encode_weights<Real>(w, thresholds(w), codes);
  }

  std::vector<Real> thresholds(std::span<const Real> w) const {
    std::vector<Real> all = rule_(w);
    const auto wanted = static_cast<std::size_t>(highest_weight_level(bits()));
    check_usage(all.size() == wanted, name(), " weights: given ", all.size(), " thresholds with ", bits(),
                " bits, expected ", wanted);
    check_usage(bits() > 1 || all[0] <= std::numeric_limits<Real>::min(), name(),
                " weights: given a threshold of ", all[0],
                " with 1 bit, expected 0: its codes are -1 and +1");
    return all;
  }

  ThresholdRule rule_;
};

std::unique_ptr<WeightProjection> exact(std::string name, const ProjectionOptions& o) {
  const int levels = highest_weight_level(o.bits);
  if (o.bits == 1)
    return uniform_projection(
        std::move(name), o,
        [thresholds = binary_thresholds<Real>(o.sign_of_zero)](std::span<const Real>) { return thresholds; });
  return uniform_projection(std::move(name), o,
                            [levels](std::span<const Real> w) { return exact_thresholds<Real>(w, levels); });
}

MakeProjection exact_with(const std::string& name, int bits) {
  return [name, bits](const ProjectionOptions& o) {
    check_usage(o.bits == bits, name, " weights: given ", o.bits, " bits, expected ", bits);
    return exact(name, o);
  };
}

std::unique_ptr<WeightProjection> lloyd(const ProjectionOptions& o) {
  if (o.bits == 1) return exact("lloyd", o);  // codes +-1 leave a step nothing but the scale
  return lloyd_projection(o);
}

std::unique_ptr<WeightProjection> warm_lloyd(const ProjectionOptions& o) {
  if (o.bits == 1) return exact("warm_lloyd", o);
  return warm_lloyd_projection(o);
}

std::unique_ptr<WeightProjection> twn(const ProjectionOptions& o) {
  check_usage(o.bits == 2, "twn weights: given ", o.bits, " bits, expected 2");
  return uniform_projection("twn", o, [](std::span<const Real> w) {
    const double limit = 0.7 * magnitude<Real>(w).sum / static_cast<double>(w.size());
    Real first = std::max(static_cast<Real>(limit), std::numeric_limits<Real>::min());
    if (static_cast<double>(first) <= limit) first = std::nextafter(first, std::numeric_limits<Real>::max());
    return std::vector<Real>{first};
  });
}

Registry<MakeProjection>& registry() {
  static Registry<MakeProjection> r("weight projection",
                                    {{"binary", exact_with("binary", 1)},
                                     {"ternary", exact_with("ternary", 2)},
                                     {"lloyd", lloyd},
                                     {"exact", [](const ProjectionOptions& o) { return exact("exact", o); }},
                                     {"warm_lloyd", warm_lloyd},
                                     {"twn", twn},
                                     {"sign", sign_projection},
                                     {"xnor", xnor_projection},
                                     {"dorefa", dorefa_projection},
                                     {"lsq", learned_step_projection},
                                     {"power_of_two", power_of_two},
                                     {"power_of_two_exact", power_of_two_exact},
                                     {"fixed_levels", fixed_levels},
                                     {"minmax", minmax_projection}});
  return r;
}

}  // namespace

ProjectionGradient WeightProjection::gradient(const Tensor& w, const Tensor& g) {
  check(g.shape() == w.shape(), name(), " weights: given a gradient of shape ", g.shape(), ", expected ",
        w.shape());
  return {g};
}

Var WeightProjection::forward(const Var& w) {
  std::vector<Var> inputs{w};
  for (const Parameter* p : parameters()) inputs.push_back(p->var());
  return record("project", project(w.value()), inputs,
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

CodedProjection::CodedProjection(std::string name, const ProjectionOptions& options)
    : name_(std::move(name)), options_(options) {
  highest_weight_level(options.bits);
}

std::int64_t scale_groups(const ProjectionOptions& options, const Tensor& w) {
  return options.per_channel && w.shape().rank() > 0 ? w.size(0) : 1;
}

Tensor CodedProjection::project(const Tensor& w) {
  if (w.numel() == 0) return w;
  const auto coded = std::make_shared<Coded>(w.numel(), options_.bits, Coded::Sign::two_s_complement,
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

std::unique_ptr<WeightProjection> uniform_projection(std::string name, const ProjectionOptions& options,
                                                     ThresholdRule thresholds) {
  return std::make_unique<UniformProjection>(std::move(name), options, std::move(thresholds));
}

std::unique_ptr<WeightProjection> weight_projection(std::string_view name, const ProjectionOptions& options) {
  return registry().find(name)(options);
}

MakeWeightProjection weight_projections(std::string_view name, const ProjectionOptions& options) {
  weight_projection(name, options);  // unknown names and bits are reported here, not at the first weight
  return [name = std::string(name), options](const std::string&) { return weight_projection(name, options); };
}

void register_projection(std::string name, MakeProjection make) {
  registry().add(std::move(name), std::move(make));
}

std::vector<std::string> projection_names() { return registry().names(); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
