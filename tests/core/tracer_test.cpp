// What a tracer sees of the ops of its thread.
#include "core/tracer.h"

#include <doctest/doctest.h>

#include <thread>

#include "core/base/check.h"
#include "tests/core/op_table.h"

using namespace coarsegrad;

namespace {

/// Writes down what it is told. Values are numbered from 1 on.
class Notes : public Tracer {
 public:
  struct Op {
    std::string name;
    std::vector<Mark> inputs;
    Shape shape;
    Attributes attributes;
  };

  Mark op(const char* name, const std::vector<Var>& inputs, const Shape& shape, const Attributes& attributes) override {
    std::vector<Mark> marks;
    for (const Var& input : inputs) marks.push_back(mark_of(input));
    ops.push_back({name, marks, shape, attributes});
    return next();
  }
  Mark parameter(const Parameter& parameter) override {
    parameters.push_back(&parameter);
    return next();
  }
  void enter(const std::string&, const std::string&, const std::vector<Var>&, const Attributes&) override {}
  void leave(const Var&) override {}
  void backward(const char* name, Mark mark, double seconds) override {
    passes.emplace_back(name, mark);
    CHECK(seconds >= 0);
  }
  Mark next() { return ++marks_; }

  std::vector<Op> ops;
  std::vector<const Parameter*> parameters;
  std::vector<std::pair<std::string, Mark>> passes;

 private:
  Mark marks_ = 0;
};

template <class T>
bool has(const Notes::Op& op, const char* name, const T& value) {
  const T* found = find_attribute<T>(op.attributes, name);
  return found && *found == value;
}

std::string leading_name(const std::string& text) {
  return text.substr(0, text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_"));
}

Var marked_input(Notes& notes, const Tensor& value) { return Tracer::marked(Var(value), notes.next()); }

}  // namespace

TEST_CASE("tracer: every op notes itself once, by its name, with what it reads, with and without a history") {
  for (const tests::OpCase& c : tests::op_table())
    for (const bool history : {false, true}) {
      CAPTURE(c.name);
      Notes notes;
      std::vector<Var> inputs;
      for (const Tensor& t : tests::sample_inputs(c))
        inputs.push_back(Tracer::marked(history ? Var::leaf(t) : Var(t), notes.next()));
      const TracerScope scope(&notes);
      const Var y = c.f(inputs);
      REQUIRE(notes.ops.size() == 1);
      const Notes::Op& op = notes.ops[0];
      const std::string name = leading_name(c.name);
      CHECK(op.name == (name == "batch_norm_eval" ? "batch_norm" : name));
      CHECK(op.shape == y.shape());
      CHECK(Tracer::mark_of(y) == inputs.size() + 1);
      for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(op.inputs[i] == i + 1);
    }
}

TEST_CASE("tracer: attributes say what an op was asked for") {
  Notes notes;
  const TracerScope scope(&notes);
  const Tensor image({1, 6, 6, 4});
  conv2d(image, Tensor({2, 3, 3, 2}), {}, {.stride = {2, 1}, .padding = 1, .dilation = {1, 2}, .groups = 2});
  max_pool2d(image, {.kernel = 3, .padding = 1});
  sum(image, -1, true);
  clamp(image, -1, Real(0.5));
  batch_norm_eval(image, {}, {}, Tensor({4}, Real(3)), Tensor({4}, Real(4)), 0);
  const Notes::Op &conv = notes.ops[0], &pool = notes.ops[1], &reduced = notes.ops[2], &clamped = notes.ops[3];
  using Extents = std::vector<std::int64_t>;
  CHECK(has(conv, "stride", Extents{2, 1}));
  CHECK(has(conv, "padding", Extents{1, 1}));
  CHECK(has(conv, "dilation", Extents{1, 2}));
  CHECK(has(conv, "groups", std::int64_t{2}));
  CHECK(conv.attributes.size() == 4);
  CHECK(has(pool, "kernel", Extents{3, 3}));
  CHECK(has(pool, "stride", Extents{3, 3}));  // unset: the kernel's
  CHECK(has(pool, "padding", Extents{1, 1}));
  CHECK(has(reduced, "axis", std::int64_t{3}));
  CHECK(has(reduced, "keep_axis", true));
  CHECK(has(clamped, "lower", -1.0));
  CHECK(has(clamped, "upper", 0.5));
  const Attributes& norm = notes.ops[4].attributes;
  CHECK((*find_attribute<Tensor>(norm, "mean"))[2] == 3);
  CHECK((*find_attribute<Tensor>(norm, "inv_std"))[2] == Real(0.5));
  CHECK(find_attribute<double>(norm, "mean") == nullptr);  // of another type
  CHECK(find_attribute<Tensor>(norm, "variance") == nullptr);
}

TEST_CASE("tracer: without one an op is not asked for its attributes") {
  int asked = 0;
  const auto own = [&asked](const Var& x) {
    return record(
        "own", x.value(), {x}, [](const Tensor& g) -> Gradients { return {g}; },
        [&asked] {
          return Attributes{{"asked", ++asked}};
        });
  };
  own(Tensor({2}));
  CHECK(asked == 0);
  Notes notes;
  {
    const TracerScope scope(&notes);
    own(Tensor({2}));
  }
  own(Tensor({2}));
  CHECK(asked == 1);
  REQUIRE(notes.ops.size() == 1);
  CHECK(has(notes.ops[0], "asked", std::int64_t{1}));
}

TEST_CASE("tracer: one is active in its scope and on its thread only, and none is left behind by an exception") {
  Notes outer, inner;
  const Var x(Tensor({2}));
  CHECK(tracer() == nullptr);
  try {
    const TracerScope scope(&outer);
    {
      const TracerScope nested(&inner);
      exp(x);
      const TracerScope nothing(nullptr);
      exp(x);
    }
    std::thread([&x] { exp(x); }).join();
    exp(x);
    throw Error("planted");
  } catch (const Error&) {
  }
  exp(x);
  CHECK(tracer() == nullptr);
  CHECK(outer.ops.size() == 1);
  CHECK(inner.ops.size() == 1);
}

TEST_CASE("tracer: a parameter is known wherever it is read, and a value also when it is detached") {
  Notes notes;
  const Parameter p(Tensor({2}, Real(3)));
  const TracerScope scope(&notes);
  const Var once = p.var(), x = marked_input(notes, Tensor({2}));
  CHECK(notes.parameters == std::vector<const Parameter*>{&p});
  x.detach() * once;
  CHECK(notes.ops[0].inputs == std::vector<Tracer::Mark>{Tracer::mark_of(x), Tracer::mark_of(once)});
  Var(x.value()) * once;  // what leaves the ops is a constant
  CHECK(notes.ops[1].inputs == std::vector<Tracer::Mark>{0, Tracer::mark_of(once)});
}

TEST_CASE("tracer: normalisation, sum and activation in one pass are three ops") {
  for (const bool with_shortcut : {false, true}) {
    Notes notes;
    const TracerScope scope(&notes);
    const Var x = marked_input(notes, Tensor({2, 8}, Real(1))), scale = marked_input(notes, Tensor({8}));
    const Var shortcut = with_shortcut ? marked_input(notes, Tensor({2, 8})) : Var();
    const Var normalized = batch_norm_eval(x, scale, scale, Tensor({8}), Tensor({8}, Real(1)), 0);
    const Var y = relu(with_shortcut ? normalized + shortcut : normalized);
    std::vector<std::string> names;
    for (const Notes::Op& op : notes.ops) names.push_back(op.name);
    using Names = std::vector<std::string>;
    CHECK(names == (with_shortcut ? Names{"batch_norm", "add", "relu"} : Names{"batch_norm", "relu"}));
    const auto first = Tracer::mark_of(with_shortcut ? shortcut : scale) + 1;  // of the normalisation
    if (with_shortcut) {
      CHECK(notes.ops[1].inputs == std::vector<Tracer::Mark>{first, Tracer::mark_of(shortcut)});
    }
    CHECK(notes.ops.back().inputs.front() == first + notes.ops.size() - 2);
    CHECK(notes.ops.back().shape == Shape{2, 8});
    CHECK(Tracer::mark_of(y) == first + notes.ops.size() - 1);
  }
}

TEST_CASE("tracer: backward passes are known by the marks of their ops, those of hidden parts by their names") {
  Notes notes;
  const Var x = Var::leaf(Tensor({2}, {1, 2}));
  Var y;
  {
    const TracerScope scope(&notes);
    const Var square = as_one_op(
        "square", {}, [&] { return abs(x * x); }, x);
    y = sum(relu(square));
    y.backward();
  }
  REQUIRE(notes.ops.size() == 3);
  std::vector<Tracer::Mark> marks;
  for (const auto& [name, mark] : notes.passes)
    if (mark > 0) marks.push_back(mark);
  CHECK(marks == std::vector<Tracer::Mark>{3, 2, 1});
  REQUIRE(notes.passes.size() > 3);
  CHECK(notes.passes[notes.passes.size() - 2] == std::pair<std::string, Tracer::Mark>("abs", 1));
  CHECK(notes.passes.back() == std::pair<std::string, Tracer::Mark>("multiply", 0));
  const std::size_t before = notes.passes.size();
  sum(x * x).backward();  // nobody looks on
  CHECK(notes.passes.size() == before);
}
