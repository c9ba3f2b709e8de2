#include "quant/theory/two_layer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "core/base/check.h"

namespace coarsegrad::theory {
namespace {

constexpr double kPi = std::numbers::pi;
const double kSqrt2Pi = std::sqrt(2 * kPi);
// Below this sine w counts as lying on the line of w*.
constexpr double kOnTheLine = 1e-14;

double total(const Vector& a) { return std::accumulate(a.begin(), a.end(), 0.0); }
double cosine_weight(double theta) { return 1 - 2 * theta / kPi; }

}  // namespace

double dot(const Vector& a, const Vector& b) {
  check(a.size() == b.size(), "dot: given lengths ", a.size(), " and ", b.size(), ", expected equal ones");
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

double norm(const Vector& a) { return std::sqrt(dot(a, a)); }

double angle(const Vector& a, const Vector& b) {
  check(a.size() == b.size(), "angle: given lengths ", a.size(), " and ", b.size(), ", expected equal ones");
  const double norm_a = norm(a), norm_b = norm(b);
  check(norm_a > 0 && norm_b > 0, "angle: given a zero vector, expected two non-zero vectors");
  double apart = 0, together = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i] / norm_a, y = b[i] / norm_b;
    apart += (x - y) * (x - y);
    together += (x + y) * (x + y);
  }
  return 2 * std::atan2(std::sqrt(apart), std::sqrt(together));
}

TwoLayer::TwoLayer(Vector v_star, Vector w_star)
    : v_star_(std::move(v_star)), w_star_(std::move(w_star)), sum_(total(v_star_)), square_(dot(v_star_, v_star_)) {
  const double length = norm(w_star_);
  check(square_ > 0 && length > 0, "two-layer model: given a zero v* or w*, expected non-zero vectors");
  for (double& x : w_star_) x /= length;
}

void TwoLayer::check_sizes(const char* operation, const Vector& v, const Vector& w) const {
  check(v.size() == v_star_.size() && w.size() == w_star_.size(), operation, ": given v of length ", v.size(),
        " and w of length ", w.size(), ", expected ", m(), " and ", n());
}

double TwoLayer::loss(const Vector& v, const Vector& w) const {
  check_sizes("loss", v, w);
  if (norm(w) == 0) return (square_ + sum_ * sum_) / 8;
  return loss_at(v, angle(w, w_star_));
}

double TwoLayer::loss_at(const Vector& v, double theta) const {
  const double sum_v = total(v);
  const double cross = cosine_weight(theta) * dot(v, v_star_) + sum_v * sum_;
  return (dot(v, v) + sum_v * sum_v - 2 * cross + square_ + sum_ * sum_) / 8;
}

Vector TwoLayer::grad_v(const Vector& v, const Vector& w) const {
  check_sizes("grad_v", v, w);
  return grad_v_at(v, angle(w, w_star_));
}

Vector TwoLayer::grad_v_at(const Vector& v, double theta) const {
  const double c = cosine_weight(theta), sum_v = total(v);
  Vector g(v.size());
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = 0.25 * (v[i] + sum_v - c * v_star_[i] - sum_);
  return g;
}

Vector TwoLayer::grad_w(const Vector& v, const Vector& w) const {
  check_sizes("grad_w", v, w);
  const double norm_w = norm(w), along = dot(w, w_star_) / (norm_w * norm_w);
  Vector g(w.size());
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = w_star_[i] - along * w[i];
  const double sine = norm(g);  // g / sine is the unit vector orthogonal to w that points towards w*
  const double scale =
      sine > kOnTheLine ? -dot(v, v_star_) / (2 * kPi * norm_w * sine) : std::numeric_limits<double>::quiet_NaN();
  for (double& x : g) x *= scale;
  return g;
}

double TwoLayer::h(const Vector& v) const {
  const double sum_v = total(v);
  return dot(v, v) + sum_v * sum_v - sum_v * sum_ + dot(v, v_star_);
}

// E g = sum_i v_i (v_i A + sum_{j != i} v_j B / 2 - v*_i C - sum_{j != i} v*_j B / 2) with A = (b + n) w_hat, B = b w_hat
// and C the third vector of quant/theory/ste.h. The form has no singularity; those printed in the paper divide by
// |w/|w| + w*| or sin(theta/2) (the tests compare the two).
Vector TwoLayer::coarse_gradient(const Ste& ste, const Vector& v, const Vector& w) const {
  check_sizes("coarse_gradient", v, w);
  const double norm_w = norm(w), cross = dot(v, v_star_);
  check(norm_w > 0, "coarse_gradient: given w = 0, expected a non-zero w");
  const Expectations e = ste.expectations(norm_w, angle(w, w_star_));
  const double radial = (e.n * dot(v, v) + 0.5 * e.b * h(v) - cross * e.along) / e.over;
  const double towards = -cross * e.towards / e.over;
  Vector g(w.size());
  for (std::size_t i = 0; i < g.size(); ++i) g[i] = radial * (w[i] / norm_w) + towards * w_star_[i];
  return g;
}

double TwoLayer::correlation(const Ste& ste, const Vector& v, const Vector& w) const {
  check_sizes("correlation", v, w);
  const double theta = angle(w, w_star_), norm_w = norm(w), cross = dot(v, v_star_);
  const Expectations e = ste.expectations(norm_w, theta);
  return cross * cross / (2 * kPi * norm_w) * (std::sin(theta) * e.towards) / e.over;
}

// A constant of our own. With n = 0 the part of E g along w is 2 b v'df/dv + v'v* rho, rho = b (1 - theta/pi) - r, and
// the one across is v'v* t.
double TwoLayer::bound_constant(const Ste& ste, const Vector& v, const Vector& w) const {
  check_sizes("bound_constant", v, w);
  const double norm_w = norm(w), theta = angle(w, w_star_);
  const Expectations e = ste.expectations(norm_w, theta);
  if (e.n != 0) return std::numeric_limits<double>::infinity();
  const double b = e.b / e.over, rho = b * (1 - theta / kPi) - e.r(theta), t = e.t(theta);
  const ClosedForm* const form = ste.closed_form();
  const double steepest = form && form->steepest ? *form->steepest : (2 * rho * rho + t * t) / t;
  return std::max(8 * b * b * dot(v, v), 2 * kPi * norm_w * steepest);
}

// With r = |w|/2 a lower bound on |w| along the step and C a bound on |v|, L bounds the curvature along it.
double TwoLayer::safe_step(const Ste& ste, const Vector& v, const Vector& w) const {
  const double r = 0.5 * norm(w), norm_v_star = std::sqrt(square_);
  const double c = norm(v) + norm(grad_v(v, w));
  const double lipschitz = 0.25 * (m() + 1) + norm_v_star / (2 * kPi * r) + c * norm_v_star / (2 * kPi * r * r);
  const double eta = std::min(1.0, 1 / (lipschitz * (1 + bound_constant(ste, v, w))));
  return std::min(eta, r / std::max(norm(coarse_gradient(ste, v, w)), 1e-300));
}

Vector TwoLayer::best_v(double theta) const {
  const double c = cosine_weight(theta);
  Vector v(v_star_.size());
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = c * v_star_[i] + (1 - c) * sum_ / (m() + 1);
  return v;
}

Critical TwoLayer::global_minimum() const { return {v_star_, 0, 0}; }

Critical TwoLayer::spurious_minimum() const { return {best_v(kPi), kPi, 0.5 * sum_ * sum_ / (m() + 1)}; }

bool TwoLayer::has_spurious_minimum() const { return sum_ * sum_ < 0.5 * (m() + 1) * square_; }

std::optional<Critical> TwoLayer::saddle() const {
  if (!has_spurious_minimum()) return std::nullopt;
  const double c = -sum_ * sum_ / ((m() + 1) * square_ - sum_ * sum_);
  const double theta = 0.5 * kPi * (1 - c);
  return Critical{best_v(theta), theta, (square_ + sum_ * sum_ * (1 - c) / (m() + 1)) / 8};
}

double TwoLayer::identity_drift() const { return 2 * (m() - 1) * sum_ * sum_ / (kSqrt2Pi * (m() + 1) * (m() + 1)); }

double TwoLayer::escape_jump() const { return 0.5 * (square_ - 2 * sum_ * sum_ / (m() + 1)); }

Vector filter_at(const Vector& w_star, const Vector& w_perp, double theta, double norm_w) {
  check(w_star.size() == w_perp.size(), "filter_at: given lengths ", w_star.size(), " and ", w_perp.size(),
        ", expected equal ones");
  Vector w(w_star.size());
  for (std::size_t i = 0; i < w.size(); ++i)
    w[i] = norm_w * (std::cos(theta) * w_star[i] + std::sin(theta) * w_perp[i]);
  return w;
}

}  // namespace coarsegrad::theory
