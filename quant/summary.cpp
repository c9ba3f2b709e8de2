#include "quant/summary.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <typeinfo>

#include "core/base/check.h"
#include "nn/layers.h"
#include "nn/trace.h"
#include "quant/activations/uniform.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

/// The name of the type without its namespaces.
std::string kind_of(const nn::Module& module) {
  int status = 0;
  const char* mangled = typeid(module).name();
  const std::unique_ptr<char, void (*)(void*)> readable(
      abi::__cxa_demangle(mangled, nullptr, nullptr, &status), &std::free);
  const std::string name = status == 0 ? readable.get() : mangled;
  const std::size_t colon = name.rfind("::");
  return colon == std::string::npos ? name : name.substr(colon + 2);
}

std::int64_t per_image(const Shape& batch) { return batch.numel() / batch[0]; }

Shape without_batch(const Shape& batch) { return Shape(batch.begin() + 1, batch.rank() - 1); }

/// Multiplications behind one output of a layer with this weight: all but its first axis.
std::int64_t products(const Parameter& weight) { return weight.value.numel() / weight.value.size(0); }

// Where a quantized tensor comes from; null for floats.
const Deferred* quantized(const Tensor& t) {
  const Deferred* source = t.source();
  return source && source->bits() > 0 ? source : nullptr;
}

class Summarizer {
 public:
  Summarizer(nn::Module& net, const WeightRule* rule) {
    for (const auto& [name, module] : net.named_modules())
      if (!name.empty()) parents_.insert(name.substr(0, name.find_last_of('.') + 1));
    for (const auto& [name, parameter] : net.named_parameters())
      own_[name.substr(0, name.find_last_of('.') + 1)].push_back(parameter);
    if (rule)
      for (const WeightRule::Entry& entry : rule->weights())
        rule_bits_[entry.weight] = entry.projection->bits();
  }

  void visit(const std::string& name, nn::Module& module, const Var& in, const Var& out) {
    const int input_bits = bits_of(in.value());
    const int output_bits = output_bits_of(module, input_bits, in.value(), out.value());
    bits_[out.value().data()] = output_bits;
    kept_.push_back(out.value());
    const std::string prefix = name.empty() ? "" : name + ".";
    if (parents_.contains(prefix) && !own_.contains(prefix)) return;

    LayerSummary layer{name, kind_of(module), without_batch(out.shape())};
    layer.input_bits = input_bits;
    layer.output_bits = output_bits;
    if (const Parameter* weight = nn::weight_of(module)) {
      layer.weight_bits = packed(*weight).bits;
      layer.macs = per_image(out.shape()) * products(*weight);
      layer.bops = layer.macs * layer.weight_bits * layer.input_bits;
    }
    if (counted_.insert(&module).second) {
      for (const Parameter* p : own_[prefix]) layer.parameters += p->value.numel();
      layer.bytes = deployed_bytes(module, own_[prefix]);
    }
    add(layer);
  }

  Summary summary;

 private:
  /// How a deployed network keeps a parameter: numbers of so many bits, and beside them so many floats.
  struct Packed {
    int bits = kFloatBits;
    std::int64_t factors = 0;
  };

  Packed packed(const Parameter& p) const {
    if (const Deferred* codes = quantized(p.used))
      return {codes->bits(), static_cast<std::int64_t>(codes->scales().size())};
    const auto found = rule_bits_.find(&p);
    if (found == rule_bits_.end() || found->second >= kFloatBits) return {};
    return {found->second, 2};  // values on a grid without codes: a step and an offset
  }

  std::int64_t deployed_bytes(const nn::Module& module, const std::vector<const Parameter*>& own) const {
    if (const auto* norm = dynamic_cast<const nn::BatchNorm*>(&module)) return norm->running_mean.numel() * 8;
    std::int64_t bytes = 0;
    for (const Parameter* p : own) {
      const auto [bits, factors] = packed(*p);
      bytes += (p->value.numel() * bits + 7) / 8 + 4 * factors;
    }
    return bytes;
  }

  int bits_of(const Tensor& x) const {
    if (const Deferred* codes = quantized(x)) return codes->bits();
    const auto found = bits_.find(x.data());
    return found == bits_.end() ? kFloatBits : found->second;
  }

  int output_bits_of(const nn::Module& module, int input_bits, const Tensor& in, const Tensor& out) const {
    if (const auto* quantizer = dynamic_cast<const ActivationQuantizer*>(&module)) return quantizer->bits();
    if (dynamic_cast<const nn::MaxPool2d*>(&module) || in.data() == out.data()) return input_bits;
    return bits_of(out);
  }

  void add(const LayerSummary& layer) {
    summary.parameters += layer.parameters;
    summary.bytes += layer.bytes;
    summary.macs += layer.macs;
    summary.bops += layer.bops;
    summary.layers.push_back(layer);
  }

  std::set<std::string> parents_;  // prefixes below which there are modules
  std::map<std::string, std::vector<const Parameter*>> own_;
  std::map<const Parameter*, int> rule_bits_;
  std::set<const nn::Module*> counted_;
  std::map<const Real*, int> bits_;  // by buffer; the tensors are kept so that no buffer comes up twice
  std::vector<Tensor> kept_;
};

}  // namespace

Summary summarize(nn::Module& net, const Shape& image, const WeightRule* rule) {
  Summarizer summarizer(net, rule);
  nn::trace(net, image, [&](const std::string& name, nn::Module& module, const Var& in, const Var& out) {
    summarizer.visit(name, module, in, out);
  });
  return summarizer.summary;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
