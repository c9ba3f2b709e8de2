#include "nn/module.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <typeinfo>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/base/short_text.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {
namespace {

std::string joined(const std::string& prefix, const std::string& name) {
  return prefix.empty() ? name : name.empty() ? prefix : prefix + "." + name;
}

}  // namespace

Var Module::forward(const Var&) {
  throw Error(cat(kind(), path().empty() ? "" : " ", path(), ": given one input, expected several"));
}

Var Module::forward_inputs(const std::vector<Var>& inputs) {
  throw Error(cat(kind(), path().empty() ? "" : " ", path(), ": given ", inputs.size(), " inputs, expected one"));
}

Var Module::operator()(const Var& x) {
  const FlushDenormals flush;
  Var y = tracer() ? traced_call({x}) : forward(x);
  run_hooks(x, y);
  return y;
}

Var Module::operator()(const std::vector<Var>& inputs) {
  const FlushDenormals flush;
  Var y = tracer() ? traced_call(inputs) : call(inputs);
  run_hooks(inputs.empty() ? Var() : inputs.front(), y);
  return y;
}

Var Module::call(const std::vector<Var>& inputs) {
  return inputs.size() == 1 ? forward(inputs.front()) : forward_inputs(inputs);
}

Var Module::traced_call(const std::vector<Var>& inputs) {
  Tracer& t = *tracer();
  const Attributes own = [this] {
    const TracerScope not_traced(nullptr);
    return attributes();
  }();
  t.enter(path(), kind(), inputs, own);
  Var y;
  try {
    y = call(inputs);
  } catch (...) {
    t.leave({});
    throw;
  }
  t.leave(y);
  return y;
}

// What hooks compute is no part of the network.
void Module::run_hooks(const Var& x, const Var& y) {
  if (hooks_.empty()) return;
  const TracerScope not_traced(nullptr);
  const auto hooks = hooks_;  // a hook may remove itself
  for (const auto& [number, hook] : hooks) hook(*this, x, y);
}

std::string Module::kind() const {
  int status = 0;
  const char* mangled = typeid(*this).name();
  const std::unique_ptr<char, void (*)(void*)> readable(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                        &std::free);
  const std::string name = status == 0 ? readable.get() : mangled;
  const std::size_t colon = name.rfind("::");
  return colon == std::string::npos ? name : name.substr(colon + 2);
}

std::string Module::path() const { return parent_ ? joined(parent_->path(), name_) : name_; }

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> all{{"", this}};
  for (auto& [name, child] : children_)
    for (auto& [below, module] : child->named_modules()) all.emplace_back(joined(name, below), module);
  return all;
}

std::vector<std::pair<std::string, Parameter*>> Module::named_parameters() {
  std::vector<std::pair<std::string, Parameter*>> all;
  for (auto& [prefix, module] : named_modules())
    for (auto& [name, parameter] : module->parameters_) all.emplace_back(joined(prefix, name), parameter.get());
  return all;
}

std::vector<std::pair<std::string, Tensor*>> Module::named_buffers() {
  std::vector<std::pair<std::string, Tensor*>> all;
  for (auto& [prefix, module] : named_modules())
    for (auto& [name, buffer] : module->buffers_) all.emplace_back(joined(prefix, name), buffer.get());
  return all;
}

std::vector<std::pair<std::string, Rng*>> Module::named_generators() {
  std::vector<std::pair<std::string, Rng*>> all;
  for (auto& [prefix, module] : named_modules())
    for (auto& [name, generator] : module->generators_) all.emplace_back(joined(prefix, name), generator.get());
  return all;
}

std::vector<Parameter*> Module::parameters() {
  std::vector<Parameter*> all;
  for (auto& [name, parameter] : named_parameters()) all.push_back(parameter);
  return all;
}

void Module::train(bool on) {
  training_ = on;
  for (auto& [name, child] : children_) child->train(on);
}

StateDict Module::state_dict() {
  StateDict state;
  for (auto& [name, parameter] : named_parameters()) state.emplace_back(name, parameter->value);
  for (auto& [name, buffer] : named_buffers()) state.emplace_back(name, *buffer);
  return state;
}

void Module::load_state_dict(const StateDict& state) {
  std::vector<std::pair<std::string, Tensor*>> wanted;
  for (auto& [name, parameter] : named_parameters()) wanted.emplace_back(name, &parameter->value);
  for (auto& [name, buffer] : named_buffers()) wanted.emplace_back(name, buffer);
  const auto find = [](auto& list, const std::string& name) {
    return std::find_if(list.begin(), list.end(), [&name](const auto& entry) { return entry.first == name; });
  };
  for (const auto& [name, target] : wanted) {
    const auto found = find(state, name);
    check(found != state.end(), "load_state_dict: '", name, "' is missing");
    check(found->second.defined() && found->second.shape() == target->shape(), "load_state_dict: given '", name,
          "' of shape ", found->second.shape(), ", expected ", target->shape());
  }
  for (const auto& [name, value] : state)
    check(find(wanted, name) != wanted.end(), "load_state_dict: ", in_quotes(name), " is unknown to this module");
  check(state.size() == wanted.size(), "load_state_dict: given an entry twice");
  for (const auto& [name, target] : wanted) *target = find(state, name)->second;
}

State Module::state() {
  State state{state_dict(), {}, {}, {}};
  for (const auto& [name, rng] : named_generators()) state.counts[name] = {rng->key(), rng->position()};
  return state;
}

void Module::load_state(const State& state) {
  const auto generators = named_generators();
  check(state.counts.size() == generators.size() && state.numbers.empty() && state.texts.empty(), "load_state: given ",
        state.counts.size(), " random streams, expected ", generators.size(), " and nothing else beside the tensors");
  for (const auto& [name, rng] : generators) {
    const auto& stream = state.counts_of(name);
    check(stream.size() == 2 && stream[0] == rng->key(), "load_state: given another random stream for '", name,
          "', expected the one with key ", rng->key());
  }
  load_state_dict(state.tensors);
  for (const auto& [name, rng] : generators) rng->set_position(state.counts_of(name)[1]);
}

int Module::register_forward_hook(ForwardHook hook) {
  hooks_.emplace_back(++hooks_made_, std::move(hook));
  return hooks_made_;
}

void Module::remove_hook(int number) {
  std::erase_if(hooks_, [number](const auto& entry) { return entry.first == number; });
}

void Module::check_name(const std::string& name) const {
  check(!name.empty() && name.find('.') == std::string::npos, "register: given the name '", name,
        "', expected one without dots");
  const auto used = [&name](const auto& list) {
    return std::any_of(list.begin(), list.end(), [&name](const auto& entry) { return entry.first == name; });
  };
  check(!used(parameters_) && !used(buffers_) && !used(generators_) && !used(children_), "register: the name '", name,
        "' is taken");
}

Parameter& Module::register_parameter(const std::string& name, Tensor init) {
  check_name(name);
  return *parameters_.emplace_back(name, std::make_unique<Parameter>(std::move(init))).second;
}

Tensor& Module::register_buffer(const std::string& name, Tensor init) {
  check_name(name);
  return *buffers_.emplace_back(name, std::make_unique<Tensor>(std::move(init))).second;
}

Rng& Module::register_generator(const std::string& name, const Rng& init) {
  check_name(name);
  return *generators_.emplace_back(name, std::make_unique<Rng>(init)).second;
}

Module& Module::adopt(const std::string& name, std::unique_ptr<Module> child) {
  check_name(name);
  check(child != nullptr, "register: given no module for '", name, "'");
  child->parent_ = this;
  child->name_ = name;
  return *children_.emplace_back(name, std::move(child)).second;
}

Var Sequential::forward(const Var& x) {
  Var y = x;
  for (Module* const module : order_) y = (*module)(y);
  return y;
}

Module& Sequential::append(const std::string& name, std::unique_ptr<Module> child) {
  return *order_.emplace_back(&adopt(name, std::move(child)));
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
