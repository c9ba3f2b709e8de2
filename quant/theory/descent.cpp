#include "quant/theory/descent.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/check.h"

namespace coarsegrad::theory {
namespace {

void subtract(Vector& x, double eta, const Vector& g) {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] -= eta * g[i];
}

State state_at(const TwoLayer& model, const Point& point, std::int64_t step, double loss, double theta) {
  double square = 0;
  for (std::size_t i = 0; i < point.v.size(); ++i) {
    const double off = point.v[i] - model.v_star()[i];
    square += off * off;
  }
  const GlobalRegion region = region_at(model, point.v, theta);
  return {step, loss, theta, norm(point.w), std::sqrt(square), region.cross, region.slack};
}

// Whether the loss has come to rest: its range over the last tenth of a run.
class Tail {
 public:
  explicit Tail(std::int64_t steps) : begin_(steps - steps / 10) {}
  void add(const State& state) {
    if (state.step < begin_) return;
    low_ = std::min(low_, state.loss);
    high_ = std::max(high_, state.loss);
  }
  bool settled(double tolerance) const { return high_ - low_ <= tolerance; }

 private:
  std::int64_t begin_;
  double low_ = std::numeric_limits<double>::infinity(), high_ = -low_;
};

// `gradients` maps a point and its angle to loss and gradients there.
template <class F>
Descent descend(const TwoLayer& model, Point start, const DescentOptions& options, F&& gradients) {
  check(options.steps >= 0 && std::isfinite(options.eta) && std::isfinite(options.tolerance), "descent: given ",
        options.steps, " steps of ", options.eta, " and a tolerance of ", options.tolerance,
        ", expected 0 or more and finite numbers");
  Descent run{std::move(start), {}, End::unsettled};
  Point& point = run.point;
  Tail tail(options.steps);
  for (std::int64_t step = 0;; ++step) {
    const double theta = angle(point.w, model.w_star());
    const Gradients g = gradients(point, theta);
    if (step > 0) run.max_increase = std::max(run.max_increase, g.loss - run.last.loss);
    run.last = state_at(model, point, step, g.loss, theta);
    run.min_norm_w = std::min(run.min_norm_w, run.last.norm_w);
    run.min_theta = std::min(run.min_theta, theta);
    run.worst = worse(run.worst, run.last.region());
    tail.add(run.last);
    if (options.observe) options.observe(run.last);
    if (step == options.steps) break;
    subtract(point.v, options.eta, g.v);
    subtract(point.w, options.eta, g.w);
    const double length = norm(point.w);
    run.vanished = length < kVanishedNorm;
    if (run.vanished) return run;
    if (options.rescale)
      for (double& x : point.w) x /= length;
  }
  if (tail.settled(options.tolerance)) run.end = classify(model, point, options.tolerance);
  return run;
}

}  // namespace

std::string_view end_name(End end) {
  constexpr std::array<std::string_view, 4> names{"global_minimum", "spurious_minimum", "saddle", "unsettled"};
  return names[static_cast<std::size_t>(end)];
}

Descent population_descent(const TwoLayer& model, const Ste& ste, Point start, const DescentOptions& options) {
  return descend(model, std::move(start), options, [&](const Point& p, double theta) -> Gradients {
    return {model.loss_at(p.v, theta), model.grad_v_at(p.v, theta), model.coarse_gradient(ste, p.v, p.w)};
  });
}

Descent empirical_descent(const TwoLayer& model, const EmpiricalLoss& empirical, const Surrogate& surrogate,
                          Point start, const DescentOptions& options) {
  return descend(model, std::move(start), options,
                 [&](const Point& p, double) { return empirical.gradients(surrogate, p); });
}

End classify(const TwoLayer& model, const Point& point, double tolerance) {
  constexpr double kNearSaddle = 0.1;  // radians; f is quadratic in v and bilinear in (v, theta) around it
  const double loss = model.loss(point.v, point.w), theta = angle(point.w, model.w_star());
  if (loss < tolerance) return End::global_minimum;
  const auto saddle = model.saddle();
  if (!saddle) return End::unsettled;
  if (std::abs(loss - saddle->loss) < tolerance && std::abs(theta - saddle->theta) < kNearSaddle) return End::saddle;
  const bool beyond = theta > saddle->theta && std::abs(loss - model.spurious_minimum().loss) < tolerance;
  return beyond ? End::spurious_minimum : End::unsettled;
}

}  // namespace coarsegrad::theory
