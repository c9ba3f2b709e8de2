#include "quant/theory/estimates.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"

namespace coarsegrad::theory {
namespace {

Vector unit(Vector x) {
  const double length = norm(x);
  for (double& value : x) value /= length;
  return x;
}

// The unit vector orthogonal to the unit vector w_hat in the plane of it and w*.
Vector across(const Vector& w_hat, const Vector& w_star) {
  const double along = dot(w_hat, w_star);
  Vector e = w_star;
  for (std::size_t i = 0; i < e.size(); ++i) e[i] -= along * w_hat[i];
  return unit(std::move(e));
}

// `g` holds the moments of one sample; its directions are orthonormal and span the plane that E g lies in.
Measured norm_of(const GradientMoments& g, const Vector& mean, double samples) {
  double trace = 0;
  for (const Moments& component : g.component) trace += component.variance / samples;
  const double c00 = g.along[0].variance / samples, c11 = g.along[1].variance / samples,
               c01 = g.along_covariance / samples, m0 = g.along[0].mean, m1 = g.along[1].mean;
  const double slope = m0 * m0 * c00 + 2 * m0 * m1 * c01 + m1 * m1 * c11;  // mean'C mean
  double trace_square = c00 * c00 + 2 * c01 * c01 + c11 * c11;
  const double outside = std::max(0.0, trace - c00 - c11), dimensions = static_cast<double>(mean.size()) - 2;
  if (dimensions > 0) trace_square += outside * outside / dimensions;
  const double square = std::max(0.0, dot(mean, mean) - trace);
  const double s = std::sqrt(4 * std::max(0.0, slope) + 2 * trace_square);
  return {std::sqrt(square), std::sqrt(square + s) - std::sqrt(square)};
}

}  // namespace

Measured mean_of(const Moments& moments, std::int64_t samples) {
  return {moments.mean, std::sqrt(moments.variance / static_cast<double>(samples))};
}

Estimates estimate(const TwoLayer& model, const Point& point, std::span<const Surrogate* const> surrogates,
                   std::int64_t samples, const Rng& rng, const std::function<void()>& poll) {
  check(samples >= 2 && model.n() >= 2, "estimate: given ", samples, " samples and n = ", model.n(),
        ", expected 2 or more of both");
  const Vector w_hat = unit(point.w), e = across(w_hat, model.w_star());
  const double slope = dot(model.grad_w(point.v, point.w), e);  // df/dw is this multiple of e
  const MonteCarlo drawn = sample_coarse_gradients(model, point, surrogates, {w_hat, e}, samples, rng, poll);
  Estimates out{samples, mean_of(drawn.loss, samples), {}};
  for (const GradientMoments& g : drawn.coarse) {
    Vector mean;
    for (const Moments& component : g.component) mean.push_back(component.mean);
    const Measured part = mean_of(g.along[1], samples);
    const Measured norm = norm_of(g, mean, static_cast<double>(samples));
    out.coarse.push_back({std::move(mean), {slope * part.value, std::abs(slope) * part.se}, norm});
  }
  return out;
}

}  // namespace coarsegrad::theory
