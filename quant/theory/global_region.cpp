#include "quant/theory/global_region.h"

#include <algorithm>
#include <numbers>
#include <numeric>

#include "core/base/check.h"
#include "quant/theory/teacher.h"

namespace coarsegrad::theory {

bool GlobalRegion::theta_holds() const { return theta < std::numbers::pi / 2; }

GlobalRegion region_at(const TwoLayer& model, const Vector& v, double theta) {
  const double sum_v = std::accumulate(v.begin(), v.end(), 0.0);
  return {dot(v, model.v_star()), theta, model.sum() * (model.sum() - sum_v)};
}

GlobalRegion worse(const GlobalRegion& a, const GlobalRegion& b) {
  return {std::min(a.cross, b.cross), std::max(a.theta, b.theta), std::min(a.slack, b.slack)};
}

double region_step(const TwoLayer& model, const Ste& ste, const Point& point) {
  const double norm_w = norm(point.w);
  const double radial = dot(model.coarse_gradient(ste, point.v, point.w), point.w) / norm_w;
  const double most = 4.0 / (model.m() + 1);
  return radial > 0 ? std::min(most, norm_w / radial) : most;
}

DrawnStart start_where(const TwoLayer& model, double norm_w, const Rng& rng,
                       const std::function<bool(const GlobalRegion&)>& wanted) {
  constexpr int kMostDraws = 100000;
  for (int draw = 0; draw < kMostDraws; ++draw) {
    Point point = random_start(model, norm_w, rng.split(static_cast<std::uint64_t>(draw)));
    const double theta = angle(point.w, model.w_star());
    if (wanted(region_at(model, point.v, theta))) return {std::move(point), draw + 1};
  }
  throw Error(
      cat("start: given a teacher for which none of ", kMostDraws, " random starts is as wanted, expected one"));
}

}  // namespace coarsegrad::theory
