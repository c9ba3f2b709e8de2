#pragma once
// Surrogates: the pseudo-derivatives that coarse gradients put in place of the derivative of a quantizer,
// which is 0 almost everywhere. A surrogate is a smooth (or at least continuous) function together with its
// derivative; only the derivative enters training, the function is there to be tested and plotted.
//
// `window` is the highest level K of the quantizer that the surrogate stands in for, in units of its
// resolution alpha (2^bits - 1 for a b-bit activation, 1 in the two-layer model of quant/theory and for
// signs); x is in the same units. The clipped ReLU's window is 0 < x <= K, that of the symmetric ones
// (hard_tanh, triangular, polynomial), which stand in for a sign, |x| <= K. Surrogates without a window ignore it.
#include <cmath>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "core/kernels/activation.h"

namespace coarsegrad {

/// A surrogate declares what its derivative is: the constant 1, the indicator of a pass band, or any function. That,
/// and never the name, says which kernels run. Ops and modules keep a reference to theirs: register it, or let it
/// outlive them.
class Surrogate {
 public:
  /// What a backward pass has to keep of the input.
  enum class Needs { nothing, bit, input };

  /// Any function. `value` and `derivative` are generic in the type of their arguments: [](auto x, auto window) {
  /// return ...; }, float or double, with overloaded functions (std::tanh, not tanh) inside.
  template <class Value, class Derivative>
  Surrogate(std::string name, Value value, Derivative derivative)
      : name_(std::move(name)),
        value_(value),
        derivative_(derivative),
        derivative_f32_(loop<float>(derivative)),
        derivative_f64_(loop<double>(derivative)) {}
  /// x, with the derivative 1 everywhere.
  static Surrogate straight_through(std::string name) {
    Surrogate s(
        std::move(name), [](auto x, auto) { return x; }, [](auto x, auto) { return decltype(x)(1); });
    s.needs_ = Needs::nothing;
    return s;
  }
  /// A derivative of 1 in the pass band above < x <= upto and 0 elsewhere, also for NaN. `bounds` is generic, too: it
  /// maps a window of type T to kernels::PassBand<T>{above, upto}.
  template <class Value, class Bounds>
  static Surrogate indicator(std::string name, Value value, Bounds bounds) {
    Surrogate s(std::move(name), value, [bounds](auto x, auto window) {
      const auto pass = bounds(window);
      return decltype(x)(x > pass.above && x <= pass.upto ? 1 : 0);
    });
    s.needs_ = Needs::bit;
    s.bounds_f32_ = bounds;
    s.bounds_f64_ = bounds;
    return s;
  }

  /// In flags, logs and graphs.
  const std::string& name() const { return name_; }
  /// What the derivative is made from in a backward pass.
  Needs needs() const { return needs_; }
  /// The pass band of an indicator, where its derivative is 1. Throws Error for other surrogates.
  kernels::PassBand<float> interval(float window) const {
    check_indicator();
    return bounds_f32_(window);
  }
  kernels::PassBand<double> interval(double window) const {
    check_indicator();
    return bounds_f64_(window);
  }
  /// The function at x, in units of alpha.
  double value(double x, double window = 1) const { return value_(x, window); }
  /// Its derivative at x.
  double derivative(double x, double window = 1) const { return derivative_(x, window); }
  /// out[i] = derivative at x[i]; equal lengths, `out` may be `x`. Throws Error otherwise.
  void derivative(std::span<const float> x, float window, std::span<float> out) const {
    derivative_f32_(x, window, out);
  }
  void derivative(std::span<const double> x, double window, std::span<double> out) const {
    derivative_f64_(x, window, out);
  }

 private:
  template <class T>
  using Loop = std::function<void(std::span<const T>, T, std::span<T>)>;

  template <class T, class F>
  static Loop<T> loop(F f) {
    return [f](std::span<const T> x, T window, std::span<T> out) {
      check(x.size() == out.size(), "surrogate derivative: given ", x.size(), " inputs and ", out.size(),
            " outputs, expected as many");
      for (std::size_t i = 0; i < x.size(); ++i) out[i] = f(x[i], window);
    };
  }

  void check_indicator() const {
    check(needs_ == Needs::bit, "surrogate interval: given ", name_, ", expected the indicator of an interval");
  }

  std::string name_;
  Needs needs_ = Needs::input;
  std::function<double(double, double)> value_, derivative_;
  Loop<float> derivative_f32_;
  Loop<double> derivative_f64_;
  std::function<kernels::PassBand<float>(float)> bounds_f32_;
  std::function<kernels::PassBand<double>(double)> bounds_f64_;
};

/// The surrogate of that name, which stays where it is until the program ends. Throws UsageError, listing the
/// known names, if there is none.
const Surrogate& surrogate(std::string_view name);
/// All of them: those shipped, then those registered, in that order.
std::vector<const Surrogate*> all_surrogates();
/// The names of all_surrogates().
std::vector<std::string> surrogate_names();
/// Makes a surrogate known by name, in flags and logs as well. Throws UsageError if the name is empty or taken.
const Surrogate& register_surrogate(Surrogate surrogate);

/// Makes a surrogate known from its parts:
///   register_surrogate("cauchy", [](auto x, auto) { return std::atan(x); },
///                      [](auto x, auto) { return 1 / (1 + x * x); });
template <class Value, class Derivative>
const Surrogate& register_surrogate(std::string name, Value value, Derivative derivative) {
  return register_surrogate(Surrogate(std::move(name), std::move(value), std::move(derivative)));
}

}  // namespace coarsegrad
