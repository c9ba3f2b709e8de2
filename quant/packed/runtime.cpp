#include "quant/packed/runtime.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "core/compute/norm.h"
#include "quant/packed/operations.h"

namespace coarsegrad::packed {
namespace {

// Codes of more bits have so many thresholds that the float expression is shorter.
constexpr int kMostThresholds = 15;
constexpr std::int64_t kMostChannels = 1 << 16;                 // that thresholds are found for
constexpr std::int64_t kMostSum = (std::int64_t{1} << 24) - 1;  // floats hold all whole numbers up to it

std::int64_t bytes_in_file(const Weight& w, std::size_t bias) {
  return std::ssize(w.fields) + 4 * static_cast<std::int64_t>(w.values.size() + w.scales.size() + bias);
}

std::size_t bias_of(const Operation& operation) {
  if (const auto* conv = std::get_if<Conv2d>(&operation)) return conv->bias.size();
  return std::get<Linear>(operation).bias.size();
}

}  // namespace

Runtime::Runtime(Model model)
    : model_(std::make_unique<const Model>(std::move(model))),
      shapes_(check_model(*model_)),
      uses_(model_->nodes.size()),
      products_(model_->nodes.size()),
      folds_(model_->nodes.size()) {
  for (const Node& node : model_->nodes) {
    for (const int from : node.inputs) ++uses_[static_cast<std::size_t>(from)];
    kinds_.push_back(kind_of_node(node));
  }
  for (std::size_t i = 0; i < products_.size(); ++i)
    if (const Node& n = model_->nodes[i]; weight_of(n.operation))
      products_[i] = std::make_unique<Product>(n.operation, kinds_[static_cast<std::size_t>(n.inputs[0])].kind);
  for (std::size_t i = 0; i < products_.size(); ++i)
    if (std::holds_alternative<Quantize>(model_->nodes[i].operation)) find_fold(static_cast<int>(i));
}

Runtime::Kind Runtime::kind_of_node(const Node& n) const {
  const auto input = [&] { return kinds_[static_cast<std::size_t>(n.inputs[0])]; };
  return std::visit(overloaded{[](const Quantize& o) {
                                 const bool sign = o.quantizer.rounding == kernels::Rounding::sign;
                                 return Kind{sign ? InputKind::signed_codes : InputKind::codes, o.bits,
                                             o.quantizer.levels, o.quantizer.scale()};
                               },
                               [](const Levels& o) {
                                 const int bits = o.binary ? 1 : static_cast<int>(o.sizes.size()) > 1 ? 3 : 2;
                                 return Kind{InputKind::signed_codes, bits};
                               },
                               [&](const MaxPool&) { return input().kind == InputKind::codes ? input() : Kind{}; },
                               [&](const Subsample&) { return input(); }, [&](const Reshape&) { return input(); },
                               [](const auto&) { return Kind{}; }},
                    n.operation);
}

// Backwards from a quantizer through values that nobody else reads.
void Runtime::find_fold(int quantize) {
  Fold fold{.quantize = quantize};
  int at = node(quantize).inputs[0];
  const auto alone = [&] { return uses_[static_cast<std::size_t>(at)] == 1; };
  if (std::holds_alternative<Norm>(node(at).operation) && alone()) {
    fold.norm = at;
    at = node(at).inputs[0];
  }
  if (std::holds_alternative<MaxPool>(node(at).operation) && alone()) {
    fold.pool = at;
    at = node(at).inputs[0];
  }
  if (!products_[static_cast<std::size_t>(at)] || !alone()) return;
  fold.product = at;
  if (!fits(fold)) return;
  const Product& product = *products_[static_cast<std::size_t>(at)];
  const Quantize& q = std::get<Quantize>(node(quantize).operation);
  const auto range = product.sums_of(kinds_[static_cast<std::size_t>(node(at).inputs[0])].levels);
  const std::int64_t channels = product.channels();
  fold.thresholds = find_thresholds(
      channels, q.quantizer.levels, q.quantizer.rounding == kernels::Rounding::sign, range.lowest, range.highest,
      [&](std::int64_t rows, const float* sums, std::uint8_t* codes) {
        std::vector<float> values(static_cast<std::size_t>(rows * channels));
        values_of_sums(fold, rows, sums, values.data());
        quantize_forward<float>(rows * channels, values.data(), q.quantizer, {}, nullptr, codes, nullptr);
      });
  folds_[static_cast<std::size_t>(at)] = std::make_unique<Fold>(std::move(fold));
}

// Whether codes of its inputs are multiplied as integers, sums are small enough for floats, and what the quantizer
// reads is finite for all of them, so that no NaN decides anything.
bool Runtime::fits(const Fold& fold) const {
  const Product& product = *products_[static_cast<std::size_t>(fold.product)];
  const Kind& input = kinds_[static_cast<std::size_t>(node(fold.product).inputs[0])];
  const auto& quantizer = std::get<Quantize>(node(fold.quantize).operation).quantizer;
  if (product.kernel_for(input.kind) != ProductKernel::bytes || quantizer.levels > kMostThresholds) return false;
  if (product.channels() > kMostChannels || (fold.pool >= 0 && !product.rises())) return false;
  const auto range = product.sums_of(input.levels);
  if (range.lowest < -kMostSum || range.highest > kMostSum) return false;
  std::vector<float> ends(static_cast<std::size_t>(2 * product.channels()), static_cast<float>(range.lowest));
  std::fill(ends.begin() + product.channels(), ends.end(), static_cast<float>(range.highest));
  std::vector<float> values(ends.size());
  values_of_sums(fold, 2, ends.data(), values.data());
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

// What the quantizer reads where these sums are what the product and the pooling give.
void Runtime::values_of_sums(const Fold& fold, std::int64_t rows, const float* sums, float* values) const {
  const Product& product = *products_[static_cast<std::size_t>(fold.product)];
  product.outputs_of_sums(rows, sums, kinds_[static_cast<std::size_t>(node(fold.product).inputs[0])].scale, values);
  if (fold.norm < 0) return;
  const Norm& o = std::get<Norm>(node(fold.norm).operation);
  batch_norm_apply<float>(rows, product.channels(), values,
                          {o.mean.data(), o.factor.data(), nullptr, o.shift.empty() ? nullptr : o.shift.data()},
                          values);
}

Value Runtime::folded(const Fold& fold, const Value& x) const {
  Value sums = products_[static_cast<std::size_t>(fold.product)]->sums(x);
  if (fold.pool >= 0) sums = max_pooled(std::get<MaxPool>(node(fold.pool).operation), sums);
  const auto& quantizer = std::get<Quantize>(node(fold.quantize).operation).quantizer;
  Value codes = Value::coded(sums.shape(), quantizer.scale(), fold.thresholds.with_sign);
  apply_thresholds(fold.thresholds, sums.shape().numel() / fold.thresholds.channels, sums.data(), codes.codes());
  return codes;
}

Value Runtime::computed(int number, const std::vector<Value>& values) const {
  const auto x = [&](std::size_t i = 0) -> const Value& {
    return values[static_cast<std::size_t>(node(number).inputs[i])];
  };
  const auto product = [&](const auto&) { return products_[static_cast<std::size_t>(number)]->run(x()); };
  return std::visit(
      overloaded{[](const Input&) { return Value(); }, [&](const Conv2d& o) { return product(o); },
                 [&](const Linear& o) { return product(o); }, [&](const Norm& o) { return normalized(o, x()); },
                 [&](const Quantize& o) { return quantized(o, x()); },
                 [&](const Levels& o) { return on_levels(o, x()); }, [&](const Relu&) { return rectified(x()); },
                 [&](const Abs&) { return absolute(x()); }, [&](const Clamp& o) { return clamped(o, x()); },
                 [&](const Add&) { return sum(x(), x(1)); }, [&](const MaxPool& o) { return max_pooled(o, x()); },
                 [&](const AveragePool& o) { return average_pooled(o, x()); },
                 [&](const GlobalAveragePool&) { return channel_means(x()); },
                 [&](const Subsample& o) { return subsampled(o, x()); },
                 [&](const Reshape& o) { return x().reshaped(batch_of(x().shape()[0], o.sample)); }},
      node(number).operation);
}

// One pass through the nodes: values are let go behind their last reader.
struct Runtime::Run {
  const Runtime& net;
  const Observer& observer;
  std::vector<Value> values;
  std::vector<int> unread = net.uses_;

  template <class Make>
  void make(int number, Make value) {
    const auto start = std::chrono::steady_clock::now();
    Value made = value();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    if (observer) observer(net.node(number), made, took.count());
    values[static_cast<std::size_t>(number)] = std::move(made);
  }

  void release_inputs(int number) {
    for (const int from : net.node(number).inputs)
      if (--unread[static_cast<std::size_t>(from)] == 0) values[static_cast<std::size_t>(from)] = Value();
  }

  void step(int number) {
    const auto& inputs = net.node(number).inputs;
    const Value& x = values[static_cast<std::size_t>(inputs[0])];
    if (values[static_cast<std::size_t>(number)].defined() || !x.defined()) return;  // a part of another one's work
    if (const auto& fold = net.folds_[static_cast<std::size_t>(number)]; fold && kind_of(x) == InputKind::codes)
      make(fold->quantize, [&] { return net.folded(*fold, x); });
    else
      make(number, [&] { return net.computed(number, values); });
    release_inputs(number);
  }
};

void Runtime::run(std::int64_t batch, std::span<const float> samples, std::span<float> outputs,
                  const Observer& observer) const {
  check(batch >= 1 && batch <= std::ssize(samples) && std::ssize(samples) == batch * input().numel() &&
            std::ssize(outputs) == batch * output().numel(),
        "packed model: given ", batch, " samples in ", samples.size(), " numbers and room for ", outputs.size(),
        ", expected 1 or more of ", input(), " and room for as many of ", output());
  const FlushDenormals flush;
  Run run{*this, observer, std::vector<Value>(shapes_.size())};
  run.values[0] = Value::floats(batch_of(batch, input()));
  std::ranges::copy(samples, run.values[0].data());
  for (int number = 1; number < static_cast<int>(shapes_.size()); ++number) run.step(number);
  const Value last = run.values.back().decoded();
  std::copy_n(last.data(), outputs.size(), outputs.data());
}

std::vector<LayerPlan> Runtime::plan() const {
  std::vector<LayerPlan> rows;
  for (std::size_t i = 0; i < products_.size(); ++i) {
    if (!products_[i]) continue;
    const Node& n = model_->nodes[i];
    const Weight& w = *weight_of(n.operation);
    const Kind& input = kinds_[static_cast<std::size_t>(n.inputs[0])];
    const std::size_t bias = bias_of(n.operation);
    rows.push_back({.name = n.name,
                    .operation = name_of(n.operation),
                    .codebook = w.codebook,
                    .weight_bits = w.bits,
                    .input_bits = input.bits,
                    .kernel = products_[i]->kernel_for(input.kind),
                    .thresholds = folds_[i] ? node(folds_[i]->quantize).name : "",
                    .weight = w.shape,
                    .bytes = bytes_in_file(w, bias),
                    .float_bytes = 4 * (w.shape.numel() + static_cast<std::int64_t>(bias))});
  }
  return rows;
}

}  // namespace coarsegrad::packed
