#include "quant/packed/plan.h"

#include <algorithm>
#include <utility>

#include "quant/packed/operations.h"

namespace coarsegrad::packed {
namespace {

constexpr std::int64_t kLine = 64, kWordBits = 64;  // bytes of a cache line, channels of a word of a plane

// What a node's value is made of, in bytes where it has codes.
Kind kind_of_value(const Nodes& nodes, const Node& n) {
  const auto input = [&] { return nodes.kinds[Nodes::at(n.inputs[0])]; };
  return std::visit(overloaded{[](const Input& o) { return kind_of(o); }, [](const Quantize& o) { return kind_of(o); },
                               [](const Levels& o) { return kind_of(o); },
                               [&](const Subsample& o) {
                                 Kind kind = input();
                                 kind.code = subsampled_code(o, kind.code);
                                 return kind;
                               },
                               [&](const MaxPool&) { return input(); }, [&](const Reshape&) { return input(); },
                               [](const auto&) { return Kind{}; }},
                    n.operation);
}

// Whether planes of samples of one shape are those of the other.
bool same_planes(const BitCode& code, const Shape& a, const Shape& b) {
  return a[-1] == b[-1] || (code.bits == 1 && a[-1] % kWordBits == 0 && b[-1] % kWordBits == 0);
}

}  // namespace

Plan::Plan(const Model& model, std::vector<Shape> shapes) : nodes{model, std::move(shapes)} {
  nodes.uses.resize(model.nodes.size());
  for (const Node& node : model.nodes)
    for (const int from : node.inputs) ++nodes.uses[Nodes::at(from)];
  for (const Node& node : model.nodes) {
    const bool multiplies = weight_of(node.operation) != nullptr;
    nodes.products.push_back(multiplies ? std::make_unique<const Product>(node.operation,
                                                                          nodes.kinds[Nodes::at(node.inputs[0])],
                                                                          nodes.shapes[Nodes::at(node.inputs[0])])
                                        : nullptr);
    nodes.kinds.push_back(kind_of_value(nodes, node));
  }
  find_steps();
  choose_forms();
  note_last_readers();
  place_values();
}

Target Plan::target(int number, void* memory, std::int64_t samples) const {
  const std::int64_t place = places[Nodes::at(number)];
  return {nodes.kinds[Nodes::at(number)], place < 0 ? nullptr : static_cast<std::byte*>(memory) + place * samples};
}

// From the last node to the first one: a fold takes in nodes in front of it.
void Plan::find_steps() {
  const int count = static_cast<int>(nodes.model.nodes.size());
  std::vector<bool> inner(nodes.model.nodes.size());
  for (int number = count - 1; number > 0; --number) {
    if (inner[Nodes::at(number)]) continue;
    Step step{number};
    const Operation& operation = nodes.node(number).operation;
    if (std::holds_alternative<Quantize>(operation) || std::holds_alternative<Levels>(operation)) {
      step.thresholds = threshold_fold(nodes, number);
      if (!step.thresholds) step.expression = expression_fold(nodes, number);
    }
    if (step.thresholds) {
      step.reads = nodes.node(step.thresholds->product).inputs;
      for (const int n : step.thresholds->inner) inner[Nodes::at(n)] = true;
    } else if (step.expression) {
      step.reads = {step.expression->from};
      if (step.expression->add >= 0) step.reads.push_back(step.expression->add);
      for (const int n : step.expression->inner) inner[Nodes::at(n)] = true;
    } else {
      step.reads = nodes.node(number).inputs;
    }
    steps.push_back(std::move(step));
  }
  std::ranges::reverse(steps);
}

// Codes are planes where all that read them read planes. Readers come behind what they read.
void Plan::choose_forms() {
  std::vector<std::vector<const Step*>> readers(nodes.kinds.size());
  for (const Step& step : steps)
    for (const int from : step.reads) readers[Nodes::at(from)].push_back(&step);
  for (int number = static_cast<int>(nodes.kinds.size()) - 1; number > 0; --number) {
    Kind& kind = nodes.kinds[Nodes::at(number)];
    if (!kind.is_coded() || std::holds_alternative<Subsample>(nodes.node(number).operation)) continue;
    const auto& all = readers[Nodes::at(number)];
    if (!all.empty() && std::ranges::all_of(all, [&](const Step* s) { return wants_planes(*s, number); }))
      kind.form = Form::planes;
  }
}

bool Plan::wants_planes(const Step& step, int number) const {
  if (step.thresholds) return nodes.product(step.thresholds->product)->reads() == Form::planes;
  if (step.expression) return false;
  if (const Product* product = nodes.product(step.node)) return product->reads() == Form::planes;
  const bool own = nodes.kinds[Nodes::at(step.node)].form == Form::planes;
  const Operation& operation = nodes.node(step.node).operation;
  if (std::holds_alternative<Reshape>(operation))
    return own && same_planes(nodes.kinds[Nodes::at(number)].code, nodes.shapes[Nodes::at(number)],
                              nodes.shapes[Nodes::at(step.node)]);
  return own && std::holds_alternative<MaxPool>(operation);
}

void Plan::note_last_readers() {
  std::vector<bool> seen(nodes.model.nodes.size());
  for (auto step = steps.rbegin(); step != steps.rend(); ++step)
    for (const int from : step->reads)
      if (!seen[Nodes::at(from)]) {
        seen[Nodes::at(from)] = true;
        step->last.push_back(from);
      }
}

// Each value at the lowest place that is free while it is needed. A reshaped value lies where the other one does.
void Plan::place_values() {
  struct Room {
    std::int64_t begin, end;
    std::size_t until;  // the last step that needs it
  };
  std::vector<std::size_t> until(nodes.model.nodes.size(), steps.size());
  const auto is_alias = [&](const Step& s) {
    return std::holds_alternative<Reshape>(nodes.node(s.node).operation) &&
           nodes.kinds[Nodes::at(s.node)].form == nodes.kinds[Nodes::at(s.reads[0])].form;
  };
  for (std::size_t i = 0; i < steps.size(); ++i)
    for (const int from : steps[i].last) until[Nodes::at(from)] = i;
  for (auto s = steps.rbegin(); s != steps.rend(); ++s)
    if (is_alias(*s))
      until[Nodes::at(s->reads[0])] = std::max(until[Nodes::at(s->reads[0])], until[Nodes::at(s->node)]);
  places.assign(nodes.model.nodes.size(), -1);
  std::vector<Room> taken;  // in the order of their beginnings
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const int number = steps[i].node;
    if (is_alias(steps[i])) continue;
    std::erase_if(taken, [i](const Room& r) { return r.until < i; });
    const std::int64_t size =
        (size_of(nodes.kinds[Nodes::at(number)], nodes.shapes[Nodes::at(number)]) + kLine - 1) / kLine * kLine;
    std::int64_t begin = 0;
    for (const Room& r : taken) {
      if (begin + size <= r.begin) break;
      begin = std::max(begin, r.end);
    }
    places[Nodes::at(number)] = begin;
    taken.insert(std::ranges::lower_bound(taken, begin, {}, &Room::begin),
                 {begin, begin + size, until[Nodes::at(number)]});
    bytes = std::max(bytes, begin + size);
  }
}

}  // namespace coarsegrad::packed
