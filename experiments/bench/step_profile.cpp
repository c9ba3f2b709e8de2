#include "experiments/bench/step_profile.h"

#include <utility>

#include "core/base/check.h"
#include "core/deferred.h"

namespace coarsegrad::experiments {
namespace {

double bytes_of(const Var& v) {
  const Deferred* const source = v.value().source();
  return static_cast<double>(v.numel()) * (source && source->coded() ? 1 : sizeof(Real));
}

// Bytes of an output: one for each code of a quantizer.
double bytes_of(const Shape& shape, const Attributes& attributes) {
  const auto* bits = find_attribute<std::int64_t>(attributes, "bits");
  return static_cast<double>(shape.numel()) * (bits && *bits >= 1 && *bits <= 8 ? 1 : sizeof(Real));
}

double bytes_as_floats(const Var& v) { return static_cast<double>(v.numel()) * sizeof(Real); }

// Two products as large as the forward one, of which images need one alone.
void count_product(OpProfile& o, const std::vector<Var>& inputs, const Shape& shape) {
  const Var &x = inputs[0], &w = inputs[1];
  const double macs = static_cast<double>(shape.numel()) * static_cast<double>(w.numel() / w.shape()[0]);
  const double gradient = static_cast<double>(shape.numel()) * sizeof(Real);
  o.forward.macs = macs;
  o.backward.macs = x.requires_grad() ? 2 * macs : macs;
  o.backward.bytes = gradient + bytes_of(x) + bytes_as_floats(w);
  if (x.requires_grad()) o.backward.bytes += gradient + bytes_of(w) + bytes_as_floats(x);
}

// A normalisation reads its input for the statistics alone, and backwards twice, with the gradient.
bool is_normalisation(const OpProfile& o) { return o.op == "batch_norm"; }

}  // namespace

// Of what is not made yet the inputs are read in place of it, and its own op has written nothing.
double StepProfile::bytes_read(const Var& v) {
  if (!v.defined()) return 0;
  const Deferred* const source = v.value().source();
  const Mark from = mark_of(v);
  if (!source || source->coded() || from == 0) return bytes_of(v);
  OpProfile& maker = ops_.at(from - 1);
  maker.forward.bytes = is_normalisation(maker) ? maker.reads : 0;
  return maker.reads;
}

void StepProfile::count(OpProfile& o, const std::vector<Var>& inputs, const Shape& shape,
                        const Attributes& attributes) {
  const double gradient = static_cast<double>(shape.numel()) * sizeof(Real);
  o.backward.bytes = gradient;
  for (const Var& v : inputs) {
    o.reads += bytes_read(v);
    if (v.defined() && v.requires_grad()) o.backward.bytes += bytes_as_floats(v);
  }
  o.forward.bytes = o.reads + bytes_of(shape, attributes);
  if (o.op == "conv2d" || o.op == "linear") count_product(o, inputs, shape);
  if (is_normalisation(o)) o.backward.bytes = 5 * gradient;
}

double StepProfile::since_last() {
  const auto now = Clock::now();
  const std::chrono::duration<double> took = now - std::exchange(last_, now);
  return took.count();
}

void StepProfile::begin_step() {
  ++steps_;
  next_ = 0;
  last_ = Clock::now();
}

Tracer::Mark StepProfile::op(const char* name, const std::vector<Var>& inputs, const Shape& shape,
                             const Attributes& attributes) {
  const double seconds = since_last();
  if (next_ == forward_ops_) {
    OpProfile o{open_.back(), name};
    count(o, inputs, shape, attributes);
    ops_.insert(ops_.begin() + static_cast<std::ptrdiff_t>(forward_ops_++), std::move(o));
  }
  OpProfile& o = ops_[next_++];
  check(o.op == name, "step profile: given the op ", name, ", expected ", o.op, " as in the step before");
  o.forward.add(steps_ - 1, seconds);
  last_ = Clock::now();
  return next_;  // the place of the op, from 1 on
}

OpProfile& StepProfile::part(const char* name) {
  const auto found = std::find_if(ops_.begin() + static_cast<std::ptrdiff_t>(forward_ops_), ops_.end(),
                                  [name](const OpProfile& o) { return o.op == name; });
  return found != ops_.end() ? *found : ops_.emplace_back(OpProfile{"", name});
}

void StepProfile::backward(const char* name, Mark mark, double seconds) {
  OpProfile& o = mark > 0 ? ops_.at(mark - 1) : part(name);
  o.backward.add(steps_ - 1, seconds);
}

Tracer::Mark StepProfile::parameter(const Parameter&) { return 0; }

void StepProfile::enter(const std::string& path, const std::string&, const std::vector<Var>&, const Attributes&) {
  open_.push_back(path);
}
void StepProfile::leave(const Var&) { open_.pop_back(); }

}  // namespace coarsegrad::experiments
