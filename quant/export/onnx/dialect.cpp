#include "quant/export/onnx/dialect.h"

#include <cmath>

#include "core/base/check.h"

namespace coarsegrad::onnx {

std::string times(Graph& g, const std::string& codes, float scale, const std::string& name) {
  return scale == 1 ? codes : g.add("Mul", {codes, g.number(name + ".step", scale)}, name);
}

std::string Dialect::thresholds(Graph&, const std::string& name, const std::string&, const packed::Thresholds&,
                                const BitCode&, int) const {
  throw Error("onnx: given thresholds for " + name + ", expected the form that has them");
}

std::unique_ptr<Dialect> dialect(Form form) {
  return form == Form::onnx ? onnx_dialect() : form == Form::qonnx ? qonnx_dialect() : thresholds_dialect();
}

std::string times_steps(Graph& g, const std::string& name, const std::string& x, const kernels::Quantizer<float>& q) {
  return q.steps == 1 ? x : g.add("Mul", {x, g.number(name + ".steps", q.steps)}, name + ".steps_of");
}

std::string plain_codes(Graph& g, const std::string& name, const std::string& x, const kernels::Quantizer<float>& q) {
  if (q.rounding == kernels::Rounding::sign) {
    const std::string reached = g.add("GreaterOrEqual", {x, g.number(name + ".zero", 0)}, name + ".reached");
    return g.add("Where", {reached, g.number(name + ".plus", 1), g.number(name + ".minus", -1)}, name + ".codes");
  }
  std::string y = times_steps(g, name, x, q);
  if (q.alpha != 1) y = g.add("Div", {y, g.number(name + ".alpha", q.alpha)}, name + ".quotient");
  y = g.add(q.rounding == kernels::Rounding::up ? "Ceil" : "Round", {y}, name + ".rounded");
  const std::string levels = g.number(name + ".levels", static_cast<float>(q.levels));
  return g.add("Clip", {y, g.number(name + ".zero", 0), levels}, name + ".codes");
}

// The sign of x times the sum, over the sizes that |x| reaches, of what the code rises by there.
std::string plain_codes(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o) {
  const auto step = [&](std::size_t k) { return name + ".size" + std::to_string(k + 1); };
  const auto reached = [&](std::size_t k, const std::string& of) {
    return g.add("GreaterOrEqual", {of, g.number(step(k), o.sizes[k])}, step(k) + ".reached");
  };
  if (o.binary) {
    const std::string plus = g.number(name + ".plus", 1), minus = g.number(name + ".minus", -1);
    return g.add("Where", {reached(0, x), plus, minus}, name + ".codes");
  }
  const std::string size = g.add("Abs", {x}, name + ".magnitude"), zero = g.number(name + ".zero", 0);
  std::string sum;
  for (std::size_t k = 0; k < o.sizes.size(); ++k) {
    const float rise = k < 2 ? 1 : std::ldexp(1.f, static_cast<int>(k) - 1);
    const std::string part =
        g.add("Where", {reached(k, size), g.number(step(k) + ".rise", rise), zero}, step(k) + ".part");
    sum = k == 0 ? part : g.add("Add", {sum, part}, step(k) + ".sum");
  }
  return g.add("Mul", {g.add("Sign", {x}, name + ".sign"), sum}, name + ".codes");
}

float scale_of(const packed::Levels& o) { return std::ldexp(1.f, 1 - static_cast<int>(o.sizes.size())); }

}  // namespace coarsegrad::onnx
