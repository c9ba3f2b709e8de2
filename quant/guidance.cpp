#include "quant/guidance.h"

#include <algorithm>
#include <utility>

#include "core/base/check.h"
#include "core/in_range.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

constexpr const char *kFeatures = "features", *kLogitsMse = "logits_mse", *kLogitsKl = "logits_kl";

}  // namespace

Var guidance_loss(const Var& quantized_mu, const Var& nu) { return Var(Real(0.5)) * mse_loss(quantized_mu, nu); }

Var distillation_loss(const Var& logits, const Var& target, double temperature) {
  check(logits.shape() == target.shape() && logits.shape().rank() == 2 && logits.shape()[0] > 0,
        "distillation loss: given shapes ", logits.shape(), " and ", target.shape(), ", expected (N, C) twice, N > 0");
  check(is_positive(temperature * temperature), "distillation loss: given a temperature of ", temperature,
        ", expected a positive number with a finite square");
  const Var divisor(static_cast<Real>(temperature)), images(static_cast<Real>(logits.shape()[0]));
  const Var wanted = log_softmax(target.detach() / divisor);
  const Var divergence = sum(exp(wanted) * (wanted - log_softmax(logits / divisor)));
  return square(divisor) * divergence / images;
}

std::vector<std::string> guide_names() { return {kFeatures, kLogitsMse, kLogitsKl}; }

std::vector<std::string> last_activations(nn::Module& net, std::size_t count) {
  std::vector<std::string> all;
  for (const auto& [name, module] : net.named_modules())
    if (module->activation()) all.push_back(name);
  if (all.size() > count) all.erase(all.begin(), all.end() - static_cast<std::ptrdiff_t>(count));
  return all;
}

Guidance::Guidance(nn::Module& student, nn::Module& partner, const GuidanceOptions& options, Quantize quantize)
    : partner_net_(partner), options_(options), quantize_(std::move(quantize)) {
  const auto names = guide_names();
  check_usage(std::ranges::find(names, options_.guide) != names.end(), "guide: given '", options_.guide,
              "', expected features, logits_mse or logits_kl");
  check(in_range(options_.weight, 0) && in_range(options_.partner_weight, 0) && in_range(options_.task_weight, 0) &&
            in_range(options_.partner_task_weight, 0) && is_positive(options_.temperature * options_.temperature),
        "guidance: given weights ", options_.weight, ", ", options_.partner_weight, ", ", options_.task_weight, ", ",
        options_.partner_task_weight, " and a temperature of ", options_.temperature,
        ", expected finite ones, none negative, and a positive temperature");
  if (options_.guide != kFeatures) return;
  if (options_.layers.empty()) options_.layers = last_activations(student, 2);
  check_usage(!options_.layers.empty(), "guidance: given a network without activations, expected layers");
  tap(student, "student", student_);
  tap(partner, "partner", partner_);
}

Guidance::~Guidance() {
  for (const auto* taps : {&student_, &partner_})
    for (const Tap& t : *taps) t.module->remove_hook(t.hook);
}

// The hooks are set once all layers are known to be there; `taps` has its last size then, so that they may
// point into it.
void Guidance::tap(nn::Module& net, const char* which, std::vector<Tap>& taps) {
  const auto modules = net.named_modules();
  for (const std::string& layer : options_.layers) {
    const auto found = std::ranges::find(modules, layer, [](const auto& entry) { return entry.first; });
    check_usage(found != modules.end() && !layer.empty(), "guidance: the ", which, " has no layer '", layer, "'");
    taps.push_back({found->second, 0, {}});
  }
  for (Tap& t : taps)
    t.hook = t.module->register_forward_hook([&t](nn::Module&, const Var&, const Var& output) {
      if (grad_enabled()) t.seen = output;
    });
}

GuidedLosses Guidance::losses(const Outcome& student, const Outcome& partner) {
  const auto weighted = [](double task, const Var& own, double weight, const Var& difference) {
    return Var(static_cast<Real>(task)) * own + Var(static_cast<Real>(weight)) * difference;
  };
  const GuidedLosses r = differences(student, partner);
  return {weighted(options_.task_weight, student.task, options_.weight, r.student),
          weighted(options_.partner_task_weight, partner.task, options_.partner_weight, r.partner)};
}

// One difference twice, each time with the other network's part as a constant.
GuidedLosses Guidance::differences(const Outcome& student, const Outcome& partner) {
  const double t = options_.temperature;
  check(options_.guide == kFeatures || (student.logits.defined() && partner.logits.defined()),
        "guidance: given a task without outputs, expected logits, which are compared, or the guide 'features'");
  if (options_.guide == kLogitsMse)
    return {mse_loss(student.logits, partner.logits.detach()), mse_loss(partner.logits, student.logits.detach())};
  if (options_.guide == kLogitsKl)
    return {distillation_loss(student.logits, partner.logits, t), distillation_loss(partner.logits, student.logits, t)};
  GuidedLosses sums{Var(Real(0)), Var(Real(0))};
  for (std::size_t i = 0; i < options_.layers.size(); ++i) {
    const Var nu = std::exchange(student_[i].seen, {}), mu = std::exchange(partner_[i].seen, {});
    check(nu.defined() && mu.defined(), "guidance: '", options_.layers[i],
          "' was not called in both networks since the last time");
    const Var quantized = quantize_(mu);
    sums.student = sums.student + guidance_loss(quantized.detach(), nu);
    sums.partner = sums.partner + guidance_loss(quantized, nu.detach());
  }
  return sums;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
