#include "quant/projection.h"

#include <algorithm>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/deferred.h"
#include "quant/registry.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class UniformProjection : public WeightProjection {
 public:
  UniformProjection(std::string name, const ProjectionOptions& options, ThresholdRule thresholds)
      : name_(std::move(name)), options_(options), thresholds_(std::move(thresholds)) {}

  std::string name() const override { return name_; }
  int bits() const override { return options_.bits; }

  Tensor project(const Tensor& w) override {
    if (w.size() == 0) return w;
    const std::int64_t groups = options_.per_channel && w.shape().rank() > 0 ? w.dim(0) : 1;
    const std::int64_t length = w.size() / groups;
    const auto coded = std::make_shared<Coded>(w.size(), options_.bits, Coded::Sign::two_s_complement,
                                               std::vector<Real>(static_cast<std::size_t>(groups)));
    parallel_for(groups, [&](std::int64_t g) {
      const std::span<const Real> group(w.data() + g * length, static_cast<std::size_t>(length));
      coded->scales()[static_cast<std::size_t>(g)] = static_cast<Real>(
          encode_weights<Real>(group, thresholds_(group), coded->signed_codes() + g * length));
    });
    return Tensor::deferred(w.shape(), coded);
  }

 private:
  std::string name_;
  ProjectionOptions options_;
  ThresholdRule thresholds_;
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
  const int levels = highest_weight_level(o.bits);
  return uniform_projection("lloyd", o, [bits = o.bits, levels](std::span<const Real> w) {
    return nearest_thresholds<Real>(lloyd_start(static_cast<double>(magnitude<Real>(w).max), bits), levels);
  });
}

std::unique_ptr<WeightProjection> threshold(const ProjectionOptions& o) {
  check_usage(o.bits == 2, "threshold weights: given ", o.bits, " bits, expected 2");
  return uniform_projection("threshold", o, [](std::span<const Real> w) {
    const double mean = magnitude<Real>(w).sum / static_cast<double>(w.size());
    return std::vector<Real>{std::max(static_cast<Real>(0.7 * mean), std::numeric_limits<Real>::min())};
  });
}

Registry<MakeProjection>& registry() {
  static Registry<MakeProjection> r("weight projection",
                                    {{"binary", exact_with("binary", 1)},
                                     {"ternary", exact_with("ternary", 2)},
                                     {"lloyd", lloyd},
                                     {"exact", [](const ProjectionOptions& o) { return exact("exact", o); }},
                                     {"threshold", threshold}});
  return r;
}

}  // namespace

Tensor WeightProjection::gradient(const Tensor& w, const Tensor& g) {
  check(g.shape() == w.shape(), name(), " weights: given a gradient of shape ", g.shape(), ", expected ",
        w.shape());
  return g;
}

Var WeightProjection::forward(const Var& w) {
  return record("project", project(w.value()), {w},
                [this, value = w.value()](const Tensor& g) -> Gradients { return {gradient(value, g)}; });
}

std::unique_ptr<WeightProjection> uniform_projection(std::string name, const ProjectionOptions& options,
                                                     ThresholdRule thresholds) {
  highest_weight_level(options.bits);
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
