#include "quant/packed/runtime.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "quant/packed/operations.h"
#include "quant/packed/plan.h"

namespace coarsegrad::packed {
namespace {

constexpr std::int64_t kMostTogether = 8;                    // samples that fill the tiles of small images
constexpr std::int64_t kGroupBytes = std::int64_t{8} << 20;  // of the values of a group

std::int64_t bytes_in_file(const Weight& w, std::size_t bias) {
  return std::ssize(w.fields) + 4 * static_cast<std::int64_t>(w.values.size() + w.scales.size() + bias);
}

std::size_t bias_of(const Operation& operation) {
  if (const auto* conv = std::get_if<Conv2d>(&operation)) return conv->bias.size();
  return std::get<Linear>(operation).bias.size();
}

// Some samples on their way through the steps. Values are let go behind their last reader.
class Pass {
 public:
  // Sample: float, or std::uint8_t for bytes of pixels.
  template <class Sample>
  Pass(const Plan& plan, TaskRange samples, const Sample* input, const Runtime::Observer& observer)
      : plan_(plan),
        nodes_(plan.nodes),
        samples_(samples),
        memory_(static_cast<std::size_t>(plan.bytes * count())),
        values_(nodes_.shapes.size()),
        observer_(observer) {
    values_[0] = taken_in(std::get<Input>(nodes_.node(0).operation), batch_of(count(), nodes_.shapes[0]), input);
  }

  void run(float* outputs) {
    for (const Step& step : plan_.steps) carry_out(step);
    const Value last = values_.back().decoded();
    std::copy_n(last.data(), last.shape().numel(), outputs);
  }
  /// Whether a quantizer has read NaN.
  bool met_nan() const { return met_nan_; }

 private:
  std::int64_t count() const { return samples_.end - samples_.begin; }
  Value& value(int number) { return values_[Nodes::at(number)]; }

  void carry_out(const Step& step) {
    const auto start = std::chrono::steady_clock::now();
    const Value made = value_of(step);
    if (observer_) {
      const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
      observer_({nodes_.node(step.node), made, samples_.begin, took.count()});
    }
    if (nodes_.kinds[Nodes::at(step.node)].is_coded() && !made.is_coded()) met_nan_ = true;
    value(step.node) = made;
    for (const int from : step.last) value(from) = Value();
  }

  Value value_of(const Step& step) {
    const Target to = plan_.target(step.node, memory_.data(), count());
    Value made;
    if (step.thresholds) {
      if (const Value& x = value(step.reads[0]); nodes_.product(step.thresholds->product)->multiplies_codes(x))
        made = step.thresholds->run(nodes_, x, to);
    } else if (step.expression) {
      const ExpressionFold& fold = *step.expression;
      made = normalized_quantized(std::get<Norm>(nodes_.node(fold.norm).operation),
                                  std::get<Quantize>(nodes_.node(step.node).operation), value(fold.from),
                                  fold.add < 0 ? nullptr : &value(fold.add), to);
    }
    return made.defined() ? made : computed(step.node, to);
  }

  // The value of a node inside of a fold that could not be carried out as one is made when it is asked for.
  Value read(int number) { return value(number).defined() ? value(number) : computed(number, {}); }

  Value computed(int number, const Target& to) {
    const Node& node = nodes_.node(number);
    const Value x = read(node.inputs[0]);
    const auto product = [&] { return nodes_.product(number)->run(x, to); };
    return std::visit(
        overloaded{[](const Input&) { return Value(); }, [&](const Conv2d&) { return product(); },
                   [&](const Linear&) { return product(); }, [&](const Norm& o) { return normalized(o, x, to); },
                   [&](const Quantize& o) { return quantized(o, x, to); },
                   [&](const Levels& o) { return on_levels(o, x, to); },
                   [&](const UnitTanh&) { return unit_tanh(x, to); }, [&](const Relu&) { return rectified(x, to); },
                   [&](const Abs&) { return absolute(x, to); }, [&](const Clamp& o) { return clamped(o, x, to); },
                   [&](const Add&) { return sum(x, read(node.inputs[1]), to); },
                   [&](const MaxPool& o) { return max_pooled(o, x, to); },
                   [&](const AveragePool& o) { return average_pooled(o, x, to); },
                   [&](const GlobalAveragePool&) { return channel_means(x, to); },
                   [&](const Subsample& o) { return subsampled(o, x, to); },
                   [&](const Reshape& o) { return reshaped(x, batch_of(count(), o.sample), to); }},
        node.operation);
  }

  const Plan& plan_;
  const Nodes& nodes_;
  const TaskRange samples_;
  const MemoryBlock memory_;
  std::vector<Value> values_;
  const Runtime::Observer& observer_;
  bool met_nan_ = false;
};

// How many groups samples are cut into: one, where that leaves threads without one.
std::int64_t groups_of(std::int64_t batch, std::int64_t bytes_per_sample) {
  const std::int64_t threads = num_threads();
  if (batch < threads) return 1;
  const std::int64_t fit = std::max(kGroupBytes / std::max(bytes_per_sample, std::int64_t{1}), std::int64_t{1});
  const std::int64_t together = std::min({kMostTogether, fit, batch / threads});
  return (batch + together - 1) / together;
}

}  // namespace

Runtime::Runtime(Model model) : model_(std::make_unique<const Model>(std::move(model))) {
  plan_ = std::make_unique<const Plan>(*model_, check_model(*model_));
}
Runtime::Runtime(Runtime&& other) noexcept = default;
Runtime::~Runtime() = default;

const Shape& Runtime::input() const { return plan_->nodes.shapes.front(); }
const Shape& Runtime::output() const { return plan_->nodes.shapes.back(); }
std::int64_t Runtime::bytes_per_sample() const { return plan_->bytes; }

void Runtime::run(std::int64_t batch, std::span<const float> samples, std::span<float> outputs,
                  const Observer& observer) const {
  run_samples(batch, samples, outputs, observer);
}

void Runtime::run_pixels(std::int64_t batch, std::span<const std::uint8_t> pixels, std::span<float> outputs,
                         const Observer& observer) const {
  check(plan_->nodes.kinds.front().is_coded(), "packed model: given bytes of pixels, expected floats");
  run_samples(batch, pixels, outputs, observer);
}

template <class Sample>
void Runtime::run_samples(std::int64_t batch, std::span<const Sample> samples, std::span<float> outputs,
                          const Observer& observer) const {
  check(batch >= 1 && batch <= std::ssize(samples) && std::ssize(samples) == batch * input().numel() &&
            std::ssize(outputs) == batch * output().numel(),
        "packed model: given ", batch, " samples in ", samples.size(), " numbers and room for ", outputs.size(),
        ", expected 1 or more of ", input(), " and room for as many of ", output());
  const FlushDenormals flush;
  std::mutex one_at_a_time;
  Observer locked;
  if (observer)
    locked = [&](const Step& step) {
      const std::lock_guard lock(one_at_a_time);
      observer(step);
    };
  const auto pass = [&](TaskRange some) {
    Pass group(*plan_, some, samples.data() + some.begin * input().numel(), locked);
    group.run(outputs.data() + some.begin * output().numel());
    return group.met_nan();
  };
  const std::int64_t groups = groups_of(batch, plan_->bytes);
  std::atomic<bool> met_nan = false;
  if (groups == 1) {
    pass({0, batch});
    return;
  }
  parallel_for(groups, [&](std::int64_t group) {
    if (pass(part_of(batch, groups, group))) met_nan = true;
  });
  if (met_nan) pass({0, batch});
}

std::vector<LayerPlan> Runtime::plan() const {
  const Nodes& nodes = plan_->nodes;
  std::vector<LayerPlan> rows;
  for (std::size_t i = 0; i < nodes.products.size(); ++i) {
    if (!nodes.products[i]) continue;
    const Node& n = model_->nodes[i];
    const Weight& w = *weight_of(n.operation);
    const Kind& input = nodes.kinds[Nodes::at(n.inputs[0])];
    const std::size_t bias = bias_of(n.operation);
    const auto step = std::ranges::find_if(
        plan_->steps, [i](const packed::Step& s) { return s.thresholds && Nodes::at(s.thresholds->product) == i; });
    const int last = step == plan_->steps.end() ? static_cast<int>(i) : step->node;
    rows.push_back({.name = n.name,
                    .operation = name_of(n.operation),
                    .codebook = w.codebook,
                    .weight_bits = w.bits,
                    .input_bits = input.is_coded() ? input.code.bits : 32,
                    .kernel = nodes.products[i]->kernel(),
                    .thresholds = last == static_cast<int>(i) ? "" : nodes.node(last).name,
                    .writes = nodes.kinds[Nodes::at(last)].form,
                    .weight = w.shape,
                    .bytes = bytes_in_file(w, bias),
                    .float_bytes = 4 * (w.shape.numel() + static_cast<std::int64_t>(bias))});
  }
  return rows;
}

}  // namespace coarsegrad::packed
