#include "quant/weights/mix.h"

#include <cmath>

#include "core/map.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class MixRelaxation : public Relaxation {
 public:
  explicit MixRelaxation(const MixOptions& options) : schedule_(options) {}

  std::string name() const override { return "mix"; }
  double strength() const override { return schedule_.share(); }
  void advance(const Progress& at) override { schedule_.advance(at); }

  Tensor effective(WeightProjection& projection, const Tensor& w) override {
    if (schedule_.share() == 0) return w;
    Tensor projected = projection.project(w);
    if (schedule_.share() == 1) return projected;
    return zip(projected, w, schedule_.mix());
  }
  ProjectionGradient gradient(WeightProjection& projection, const Tensor& w, const Tensor& g) override {
    ProjectionGradient found = projection.gradient(w, g);
    if (found.weight.defined())
      found.weight = zip(w, found.weight, [factor = schedule_.factor()](Real x, Real d) {
        return std::abs(x) <= 1 ? factor * d : Real(0);
      });
    return found;
  }
  void after_step(WeightProjection&, double, Tensor& w) override { clip_to_unit(w); }

 private:
  MixSchedule schedule_;
};

}  // namespace

std::unique_ptr<Relaxation> mix_relaxation(const MixOptions& options) {
  return std::make_unique<MixRelaxation>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
