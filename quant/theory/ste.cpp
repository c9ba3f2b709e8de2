#include "quant/theory/ste.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <mutex>
#include <numbers>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "quant/theory/closed_forms.h"
#include "quant/theory/integral.h"

namespace coarsegrad::theory {
namespace {

const double kSqrt2Pi = std::sqrt(2 * std::numbers::pi);
constexpr double kFar = 14;  // the Gaussian density is below 1e-42 from here on

double density(double u) { return std::exp(-0.5 * u * u) / kSqrt2Pi; }
double probability(double u) { return 0.5 * std::erfc(-u / std::numbers::sqrt2); }

// By the surrogate itself, not by its name, which another one outside of the registry may have, too.
class ClosedForms {
 public:
  ClosedForms() {
    for (auto& [name, form] : shipped_closed_forms()) all_.emplace(&coarsegrad::surrogate(name), std::move(form));
  }

  const ClosedForm* find(const Surrogate& surrogate) const {
    const std::lock_guard lock(mutex_);
    const auto found = all_.find(&surrogate);
    return found == all_.end() ? nullptr : &found->second;
  }

  void add(const Surrogate& surrogate, ClosedForm form) {
    const std::lock_guard lock(mutex_);
    const bool added = all_.emplace(&surrogate, std::move(form)).second;
    check_usage(added, "closed form: given a second one for ", surrogate.name(), ", expected one");
  }

 private:
  mutable std::mutex mutex_;
  std::map<const Surrogate*, ClosedForm> all_;
};

ClosedForms& closed_forms() {
  static ClosedForms all;
  return all;
}

// Panels for an integral over mu'(+-scale u), u > 0: finer towards 0 where mu' changes, with its window and the ends of
// its pass band among their ends.
std::vector<double> panel_ends(const Surrogate& surrogate, double scale) {
  std::vector<double> ends{0, kFar};
  const auto add = [&ends](double u) {
    if (u > 0 && u < kFar) ends.push_back(u);
  };
  const double least = std::min(1.0, 1 / scale) / 8;
  for (int doublings = 0; std::ldexp(least, doublings) < kFar; ++doublings) add(std::ldexp(least, doublings));
  add(1 / scale);
  if (surrogate.needs() == Surrogate::Needs::bit) {
    const auto pass = surrogate.interval(1.0);
    add(std::abs(pass.above) / scale);
    add(std::abs(pass.upto) / scale);
  }
  std::ranges::sort(ends);
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  return ends;
}

}  // namespace

double Expectations::r(double theta) const { return (along + std::cos(theta) * towards) / over; }

double Expectations::t(double theta) const { return std::sin(theta) * towards / over; }

void declare_closed_form(const Surrogate& surrogate, ClosedForm form) {
  closed_forms().add(surrogate, std::move(form));
}

// Everything is folded onto u > 0, where u = z'w_hat is on one side and -u on the other. The density of u times that of
// what of z'w* is across gives t a scale of its own, |w| sin(theta).
Expectations quadrature(const Surrogate& surrogate, double norm_w, double theta) {
  constexpr double kLeast = 1e-300;  // so that the cotangent is finite
  const double sine = std::max(kLeast, std::sin(theta)), cosine = std::cos(theta), cotangent = cosine / sine;
  const auto slope = [&surrogate](double x) { return surrogate.derivative(x, 1.0); };
  const std::vector<double> ends = panel_ends(surrogate, norm_w);
  const double above = integral([&](double u) { return u * slope(norm_w * u) * density(u); }, ends);
  const double below = integral([&](double u) { return u * slope(-norm_w * u) * density(u); }, ends);
  const double r = integral(
      [&](double u) {
        const double side = u * cotangent;
        return u * (slope(norm_w * u) * probability(side) - slope(-norm_w * u) * probability(-side)) * density(u);
      },
      ends);
  const double scale = norm_w * sine;
  const double towards = integral([&](double u) { return (slope(scale * u) + slope(-scale * u)) * density(u); },
                                  panel_ends(surrogate, scale)) /
                         kSqrt2Pi;
  return {below, above - below, r - cosine * towards, towards};
}

Ste::Ste(const Surrogate& surrogate) : surrogate_(&surrogate), closed_form_(closed_forms().find(surrogate)) {}

Expectations Ste::expectations(double norm_w, double theta) const {
  return closed_form_ ? closed_form_->at(norm_w, theta) : quadrature(*surrogate_, norm_w, theta);
}

Ste ste(std::string_view name) { return Ste(surrogate(name)); }

const std::array<Ste, 3>& paper_stes() {
  static const std::array<Ste, 3> three{ste("identity"), ste("relu"), ste("clipped_relu")};
  return three;
}

}  // namespace coarsegrad::theory
