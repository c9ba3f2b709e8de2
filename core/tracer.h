#pragma once
// How a network is observed while it runs.
#include <string>
#include <utility>
#include <vector>

#include "core/autograd.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

/// Sees every op that its thread carries out, with or without a history, and the calls of modules that the ops belong
/// to. nn/graph.h makes the graph of a network with it, bench_layers a table of where the time of a step goes. An op asks whether there is one, which is the test of one
/// pointer, and notes nothing where there is none.
class Tracer {
 public:
  /// What a tracer knows a value by. 0 stands for none.
  using Mark = std::uint64_t;

  Tracer() = default;
  virtual ~Tracer() = default;
  /// Not copied: TracerScope keeps its address.
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  /// An op was carried out on these inputs, some of which may be undefined. Returns the mark of its value, of
  /// the given shape.
  virtual Mark op(const char* name, const std::vector<Var>& inputs, const Shape& shape,
                  const Attributes& attributes) = 0;
  /// The backward pass of an op that was noted, or of a part of one, took so many seconds. `mark` is what op() returned,
  /// 0 for a part; `name` is that of the op, or of the part. Only of passes that begin where the tracer is active.
  virtual void backward(const char* name, Mark mark, double seconds) {
    static_cast<void>(name), static_cast<void>(mark), static_cast<void>(seconds);
  }
  /// A parameter was asked for. Returns its mark.
  virtual Mark parameter(const Parameter& parameter) = 0;
  /// A call of the module with this dotted path and type begins: the ops that follow belong to it.
  virtual void enter(const std::string& path, const std::string& kind, const std::vector<Var>& inputs,
                     const Attributes& attributes) = 0;
  /// The call that began last ends; `output` is undefined where an exception ended it.
  virtual void leave(const Var& output) = 0;

  /// The mark that the tracer gave the value; 0 without one.
  static Mark mark_of(const Var& value) { return value.mark_; }
  /// The value, and the op that it comes from, with this mark.
  static Var marked(Var value, Mark mark);
};

/// The tracer that is active on this thread, or null.
Tracer* tracer();

/// Makes a tracer the active one of this thread, or, given null, lets nothing be noted. The one that was
/// active before is active again when the scope ends.
class TracerScope {
 public:
  /// `active` outlives the scope.
  explicit TracerScope(Tracer* active);
  ~TracerScope();
  /// Not copied: each scope restores what it has found.
  TracerScope(const TracerScope&) = delete;
  TracerScope& operator=(const TracerScope&) = delete;

 private:
  Tracer* const before_;
};

/// The result of f(), noted as that of one op with these inputs: the ops that f carries it out with are not noted.
template <class F, class... Inputs>
Var as_one_op(const char* op, const LazyAttributes& attributes, F&& f, const Inputs&... inputs) {
  Tracer* const active = tracer();
  if (!active) return f();
  Var value = [&f] {
    const TracerScope nothing(nullptr);
    return f();
  }();
  const Tracer::Mark mark = active->op(op, {inputs...}, value.shape(), attributes());
  return Tracer::marked(std::move(value), mark);
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
