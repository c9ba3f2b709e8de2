#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/pieces.h"
#include "core/map.h"
#include "quant/methods/asymptotic.h"
#include "quant/methods/fixed_levels.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Sums over one group: with a = A_T(w) and the gradient g at alpha a.
struct Sums {
  double wa = 0, aa = 0, ga = 0;
};

Sums sums_of(std::int64_t n, const Real* w, const Real* a, const Real* g) {
  Sums all;
  in_pieces<Sums>(
      n,
      [=](std::int64_t begin, std::int64_t count) {
        Sums part;
        for (std::int64_t i = begin; i < begin + count; ++i) {
          const auto ai = static_cast<double>(a[i]);
          part.wa += static_cast<double>(w[i]) * ai;
          part.aa += ai * ai;
          if (g) part.ga += static_cast<double>(g[i]) * ai;
        }
        return part;
      },
      [&](const Sums& part) {
        all.wa += part.wa;
        all.aa += part.aa;
        all.ga += part.ga;
      });
  return all;
}

template <class F>
void each(std::int64_t n, F f) {
  parallel_pieces(n, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i);
  });
}

// One group of weights and its smooth map: m A_T(w / m), or alpha A_T(w) with alpha = <w, a> / <a, a>, a =
// A_T(w).
struct Group {
  AsymptoticMap map;
  bool mean;
  std::int64_t begin, length;

  void values(const Real* w, Real* y) const {
    unscaled_values(w, y);
    if (!mean) return;
    const Sums s = sums_of(length, w, y, nullptr);
    if (s.aa == 0) return;  // all weights are 0
    each(length, [=, alpha = static_cast<Real>(s.wa / s.aa)](std::int64_t i) { y[i] *= alpha; });
  }

  // The derivative of <g, values(w)>: g a', or alpha g a' + <g, a> (a + w a' - 2 alpha a a') / <a, a>.
  void gradient(const Real* w, const Real* g, Real* d) const {
    parallel_spans(length, w, d, [this](auto in, auto out) { map.slopes<Real>(in, out); });
    Sums s;
    const Scratch<Real> a(static_cast<std::size_t>(mean ? length : 0));
    if (mean) {
      unscaled_values(w, a.data());
      s = sums_of(length, w, a.data(), g);
    }
    if (s.aa == 0) return each(length, [=](std::int64_t i) { d[i] *= g[i]; });
    const auto alpha = static_cast<Real>(s.wa / s.aa), share = static_cast<Real>(s.ga / s.aa);
    each(length, [=, values = a.data()](std::int64_t i) {
      d[i] = d[i] * (alpha * g[i] + share * (w[i] - 2 * alpha * values[i])) + share * values[i];
    });
  }

 private:
  void unscaled_values(const Real* w, Real* y) const {
    parallel_spans(length, w, y, [this](auto in, auto out) { map.values<Real>(in, out); });
  }
};

class AsymptoticRelaxation : public Relaxation {
 public:
  explicit AsymptoticRelaxation(const RelaxationOptions& o) : most_(o.most) {
    const double growth = o.growth == 1 ? schedule_.last / schedule_.first : o.growth;
    if (o.strength != 0) schedule_.first = o.strength;
    schedule_.last = schedule_.first * growth;
    schedule_.hard_from = o.hard_from;
    schedule_.validate();
    check(most_ > 0, "asymptotic: given at most ", most_, ", expected a positive number");
  }

  std::string name() const override { return "asymptotic"; }
  double strength() const override { return std::min(schedule_.sharpness(share_), most_); }
  void advance(const Progress& at) override { share_ = at.share(); }

  Tensor used(WeightProjection& projection, const Tensor& w) override {
    if (hard() || w.numel() == 0) return fixed(projection).project(w);
    Tensor y = Tensor::uninitialized(w.shape());
    for_groups(fixed(projection), w, [&, out = y.mutable_data()](const Group& group) {
      group.values(w.data() + group.begin, out + group.begin);
    });
    return y;
  }

  Tensor gradient(WeightProjection& projection, const Tensor& w, const Tensor& g) override {
    check(g.shape() == w.shape(), "asymptotic: given a gradient of shape ", g.shape(), ", expected ",
          w.shape());
    if (hard()) return Tensor(w.shape());
    Tensor d = Tensor::uninitialized(w.shape());
    for_groups(fixed(projection), w, [&, out = d.mutable_data()](const Group& group) {
      group.gradient(w.data() + group.begin, g.data() + group.begin, out + group.begin);
    });
    return d;
  }

  void after_step(WeightProjection& projection, double, Tensor& w) override {
    FixedLevels& levels = fixed(projection);
    Real* all = w.mutable_data();
    const auto lowest = static_cast<Real>(levels.levels().lowest());
    const auto highest = static_cast<Real>(levels.levels().highest());
    for_groups(levels, w, [=, reach = levels.reach(w)](const Group& group) {
      const Real m = reach[static_cast<std::size_t>(group.begin / group.length)];
      each(group.length, [=, to = all + group.begin](std::int64_t i) {
        to[i] = std::clamp(to[i], m * lowest, m * highest);
      });
    });
  }

 private:
  static FixedLevels& fixed(WeightProjection& projection) {
    auto* levels = dynamic_cast<FixedLevels*>(&projection);
    check_usage(levels, "asymptotic: given the projection ", projection.name(), ", expected fixed_levels");
    return *levels;
  }
  bool hard() const { return schedule_.hard(share_); }

  template <class F>
  void for_groups(FixedLevels& levels, const Tensor& w, F f) const {
    if (w.numel() == 0) return;
    const std::vector<Real> reach = levels.reach(w);
    const auto count = static_cast<std::int64_t>(reach.size()), length = w.numel() / count;
    const double sharpness = strength() / levels.levels().least_step();
    parallel_for(count, [&](std::int64_t g) {
      const auto m = static_cast<double>(reach[static_cast<std::size_t>(g)]);
      f(Group{AsymptoticMap(levels.levels(), sharpness, m), levels.scale() == LevelScale::mean, g * length,
              length});
    });
  }

  SharpnessSchedule schedule_;
  double most_, share_ = 0;
};

}  // namespace

std::unique_ptr<Relaxation> asymptotic_relaxation(const RelaxationOptions& options) {
  return std::make_unique<AsymptoticRelaxation>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
