#include "core/autograd.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/ops.h"
#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

namespace graph {

struct Node {
  const char* op = "leaf";
  std::uint64_t number = 0;  // order of creation: an input is always older than what was made from it
  Shape shape;
  std::vector<std::shared_ptr<Node>> inputs;  // null: a constant
  Backward backward;                          // empty for leaves
  Tensor grad;
  Tracer::Mark mark = 0;  // of the value, where a tracer has seen it made
  bool queued = false;
  bool freed = false;  // its history was used up by a backward pass

  Node() = default;
  Node(const Node&) = delete;
  Node& operator=(const Node&) = delete;
  // Histories can be millions of nodes long: they are taken apart with a stack on the heap, not by recursion.
  ~Node() {
    std::vector<std::shared_ptr<Node>> dying = std::move(inputs);
    while (!dying.empty()) {
      const std::shared_ptr<Node> node = std::move(dying.back());
      dying.pop_back();
      if (node && node.use_count() == 1) {
        for (auto& input : node->inputs) dying.push_back(std::move(input));
        node->inputs.clear();
      }
    }
  }
};

namespace {

std::shared_ptr<Node> new_node(const Shape& shape) {
  static std::atomic<std::uint64_t> count{0};
  auto node = std::make_shared<Node>();
  node->number = count.fetch_add(1, std::memory_order_relaxed);
  node->shape = shape;
  return node;
}

void accumulate(Node& node, Tensor g, const char* op) {
  if (!g.defined()) return;
  if (g.shape() != node.shape) {
    check(broadcast_shape(op, g.shape(), node.shape) == g.shape(), op, ": backward gave a gradient of shape ",
          g.shape(), " for an input of shape ", node.shape);
    g = sum_to(g, node.shape);
  }
  if (node.grad.defined())
    add_to(node.grad, g);
  else
    node.grad = std::move(g);
}

// The nodes that a pass has still to visit, youngest first. A pass that ends with an exception leaves none of
// them marked, and no part of a gradient in those that are not leaves: the next pass begins from nothing.
struct Queue {
  std::vector<std::shared_ptr<Node>> heap;

  Queue() = default;
  Queue(const Queue&) = delete;
  Queue& operator=(const Queue&) = delete;
  ~Queue() {
    for (const auto& node : heap) {
      node->queued = false;
      if (node->backward || node->freed) node->grad = Tensor();
    }
  }
  static bool older(const std::shared_ptr<Node>& a, const std::shared_ptr<Node>& b) { return a->number < b->number; }
  void push(const std::shared_ptr<Node>& node) {
    if (std::exchange(node->queued, true)) return;
    heap.push_back(node);
    std::push_heap(heap.begin(), heap.end(), older);
  }
  std::shared_ptr<Node> pop() {
    std::pop_heap(heap.begin(), heap.end(), older);
    std::shared_ptr<Node> node = std::move(heap.back());
    heap.pop_back();
    node->queued = false;
    return node;
  }
};

Gradients traced_backward(const Node& node, const Backward& backward, const Tensor& grad) {
  Tracer* const active = tracer();
  if (!active) return backward(grad);
  const auto start = std::chrono::steady_clock::now();
  Gradients grads = backward(grad);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  active->backward(node.op, node.mark, took.count());
  return grads;
}

void run_backward(const std::shared_ptr<Node>& root, const Tensor& seed) {
  const FlushDenormals flush;
  Queue queue;
  accumulate(*root, seed, root->op);
  queue.push(root);
  while (!queue.heap.empty()) {
    const std::shared_ptr<Node> node = queue.pop();
    check(!node->freed, node->op, ": backward given a history that an earlier pass has used up");
    if (!node->backward || !node->grad.defined()) continue;  // a leaf keeps its gradient
    node->freed = true;
    const Tensor grad = std::exchange(node->grad, Tensor());
    const Backward backward = std::exchange(node->backward, nullptr);
    const auto inputs = std::exchange(node->inputs, {});
    Gradients grads = traced_backward(*node, backward, grad);
    check(grads.size() == inputs.size(), node->op, ": backward gave ", grads.size(), " gradients, expected ",
          inputs.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i]) continue;
      queue.push(inputs[i]);
      accumulate(*inputs[i], std::move(grads[i]), node->op);
    }
  }
}

thread_local bool recording = true;

}  // namespace
}  // namespace graph

Var::Var(Tensor constant) : value_(std::move(constant)) {}
Var::Var(Real constant) : value_(Tensor::scalar(constant)) {}

Var Var::leaf(Tensor value) {
  Var v(std::move(value));
  v.node_ = graph::new_node(v.shape());
  return v;
}

Var Var::detach() const {
  Var v(value_);
  v.mark_ = mark_;
  return v;
}

const Tensor& Var::grad() const {
  check(node_ != nullptr, "grad: given a constant, expected a Var that requires a gradient");
  return node_->grad;
}

void Var::zero_grad() {
  if (node_) node_->grad = Tensor();
}

void Var::backward() const {
  check(numel() == 1, "backward: given shape ", shape(), ", expected one element (or pass a seed)");
  backward(Tensor(shape(), Real(1)));
}

void Var::backward(const Tensor& seed) const {
  check(node_ != nullptr, "backward: given a constant, expected a Var with a history");
  check(seed.defined() && seed.shape() == shape(), "backward: given a seed of shape ", seed.shape(), ", expected ",
        shape());
  graph::run_backward(node_, seed);
}

Var record(const char* op, Tensor value, const std::vector<Var>& inputs, Backward backward,
           const LazyAttributes& attributes) {
  Var result(std::move(value));
  if (Tracer* t = tracer()) result.mark_ = t->op(op, inputs, result.shape(), attributes());
  const bool wanted = std::any_of(inputs.begin(), inputs.end(), [](const Var& v) { return v.requires_grad(); });
  if (!wanted || !grad_enabled()) return result;
  result.node_ = graph::new_node(result.shape());
  result.node_->op = op;
  result.node_->mark = result.mark_;
  result.node_->backward = std::move(backward);
  result.node_->inputs.reserve(inputs.size());
  for (const Var& input : inputs) result.node_->inputs.push_back(input.node_);
  return result;
}

Var Tracer::marked(Var value, Mark mark) {
  value.mark_ = mark;
  if (value.node_) value.node_->mark = mark;
  return value;
}

NoGrad::NoGrad() : saved_(std::exchange(graph::recording, false)) {}
NoGrad::~NoGrad() { graph::recording = saved_; }
bool grad_enabled() { return graph::recording; }

Parameter::Parameter(Tensor init) : value(std::move(init)), node_(graph::new_node(value.shape())) {}

Var Parameter::var() const {
  Var v(effective.defined() ? effective : value);
  v.node_ = node_;
  if (Tracer* t = tracer()) v.mark_ = t->parameter(*this);
  return v;
}

const Tensor& Parameter::grad() const { return node_->grad; }

void Parameter::set_grad(Tensor grad) {
  check(!grad.defined() || grad.shape() == value.shape(), "set_grad: given shape ", grad.shape(), ", expected ",
        value.shape());
  node_->grad = std::move(grad);
}

void Parameter::zero_grad() { node_->grad = Tensor(); }

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
