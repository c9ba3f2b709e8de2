#include "quant/weight_rule.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/map.h"
#include "nn/layers.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// In double and rounded once: with a rho of 1e-5, 1 - rho as a float would be off by up to 0.3 % of rho.
void blend(double rho, const Tensor& used, Tensor& value) {
  const Elements<Real> all = used.elements();
  Real* to = value.mutable_data();
  parallel_pieces(value.size(), [&](std::int64_t begin, std::int64_t end) {
    const Window<Real> piece(all, begin, end);
    for (std::int64_t i = begin; i < end; ++i)
      to[i] = static_cast<Real>((1 - rho) * static_cast<double>(to[i]) +
                                rho * static_cast<double>(piece.data()[i - begin]));
  });
}

}  // namespace

WeightRule::WeightRule(nn::Module& net, std::shared_ptr<const WeightProjection> projection,
                       const WeightRuleOptions& options)
    : rho(options.rho), projection_(std::move(projection)) {
  check(rho >= 0 && rho <= 1, "weight rule: given rho = ", rho, ", expected 0 to 1");
  for (const auto& [name, module] : net.named_modules())
    if (Parameter* weight = nn::weight_of(*module))
      weights_.emplace_back(cat(name, name.empty() ? "" : ".", "weight"), weight);
  if (!options.quantize_last && !weights_.empty()) weights_.pop_back();
  if (!options.quantize_first && !weights_.empty()) weights_.erase(weights_.begin());
}

void WeightRule::project() {
  for (const auto& [name, weight] : weights_) {
    weight->used = Tensor();  // its memory serves the next one
    weight->used = projection_->project(weight->value);
  }
}

void WeightRule::before_step() {
  if (rho == 0) return;
  for (const auto& [name, weight] : weights_) {
    check(weight->used.defined(), "weight rule: ", name, " was not projected before the step");
    blend(rho, weight->used, weight->value);
  }
}

void WeightRule::release() {
  for (const auto& [name, weight] : weights_) weight->used = Tensor();
}

double growing_rho(double rho, double growth, std::int64_t epoch, double most) {
  check(rho >= 0 && rho <= most && most <= 1 && growth >= 1 && epoch >= 0, "growing rho: given ", rho,
        " growing by ", growth, " to at most ", most, ", epoch ", epoch,
        ", expected 0 <= rho <= most <= 1, growth >= 1, epoch >= 0");
  return std::min(rho * std::pow(growth, static_cast<double>(epoch)), most);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
