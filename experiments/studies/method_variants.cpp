#include "experiments/studies/method_variants.h"

#include <algorithm>

#include "core/base/check.h"
#include "quant/layers.h"
#include "quant/method.h"

namespace coarsegrad::experiments {
namespace {

// Whether the parts of a method have these bits.
bool has(const quant::Method& m, const Bits& bits) {
  try {
    check_parts(with_bits(m, {bits.first, bits.second}));
    return true;
  } catch (const UsageError&) {
    return false;
  }
}

// The bits that a method is trained at, in ascending order.
std::vector<Bits> bits_of(const quant::Method& m, const VariantSettings& s) {
  std::vector<Bits> all;
  const Bits own{target(m).weight_bits, target(m).activation_bits};
  if (s.own_bits) {
    all = m.bits;
    all.push_back(own);
  }
  for (const int b : s.bits)
    if (b > 0) all.emplace_back(own.first > 0 ? b : 0, own.second > 0 ? b : 0);
  std::erase_if(all, [&](const Bits& bits) { return bits == Bits{0, 0} || !has(m, bits); });
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  return all;
}

// What a method wants of gradients behind the first and the last layer stays its own.
std::vector<std::string> gradient_exceptions(const quant::Method& m) {
  const quant::LayerExceptions own(m.layers);
  std::vector<std::string> lines;
  if (!own.gradients({.first = true})) lines.emplace_back("first: gradients=float");
  if (!own.gradients({.last = true})) lines.emplace_back("last: gradients=float");
  return lines;
}

// The method at these bits, with the layers that all are given, and its schedules stretched to the epochs.
quant::Method method_at(const VariantSettings& s, const quant::Method& row, const Bits& bits, int epochs) {
  quant::Method m = with_bits(row, {bits.first, bits.second});
  m.two_stage = row.two_stage;
  m.progressive = row.progressive;
  if (s.layers != "own") {
    m.layers = gradient_exceptions(row);
    if (s.layers == "inner") m.layers.emplace_back("first: weights=float");
    if (s.layers != "all") m.layers.emplace_back("last: weights=float");
  }
  if (m.epochs > 0) m.relaxation.options.set("every", static_cast<double>(epochs) / m.epochs);
  if (m.activations.name == "relu") m.activations = float_method(s.float_net).activations;
  if (m.activations.name == "pact" && s.float_net.end > 0) m.activations.options.set("alpha", s.float_net.end);
  return m;
}

}  // namespace

std::vector<Variant> variants_of(const VariantSettings& s) {
  check_usage(s.bits.size() == 1 || std::ranges::count(s.bits, 0) == 0,
              "--bits: given 0 beside other bits, expected either");
  std::vector<Variant> all;
  for (std::size_t i = 0; i < s.methods.size(); ++i)
    for (const Bits& bits : bits_of(quant::method(s.methods[i]), s)) all.push_back({i, bits});
  if (s.float_control) all.push_back({s.methods.size(), {0, 0}});
  return all;
}

CellPlan plan_of(const VariantSettings& s, const Variant& variant, int epochs) {
  CellPlan plan = float_control(s);
  plan.optim.epochs = epochs;
  if (variant.method == s.methods.size()) return plan;
  const std::string& method = s.methods[variant.method];
  plan.name = cat(method, "-", variant.bits.first, "w", variant.bits.second, "a");
  plan.method = method_at(s, quant::method(method), variant.bits, epochs);
  if (!plan.method.optimizer.empty()) plan.optim.optimizer = plan.method.optimizer;
  plan.optim.epochs = std::max(1, epochs / static_cast<int>(stages(plan.method).size()));
  if (plan.method.update.name == "bop") plan.optim.lr = s.bop_lr;
  return plan;
}

}  // namespace coarsegrad::experiments
