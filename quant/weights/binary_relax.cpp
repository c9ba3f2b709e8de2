#include "quant/weights/binary_relax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/map.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class BinaryRelax : public Relaxation {
 public:
  explicit BinaryRelax(const RelaxationOptions& o) : options_(o) {
    check(o.strength >= 0 && o.growth >= 1 && o.every > 0, "relax: given lambda = ", o.strength,
          " growing by ", o.growth, " every ", o.every,
          " epochs, expected lambda >= 0, growth >= 1 and a positive number of epochs");
    advance({});
  }

  std::string name() const override { return "relax"; }
  double strength() const override { return lambda_; }
  void advance(const Progress& at) override {
    const double periods = std::floor(at.epoch / options_.every);
    const double grown =  // 0 times a growth without end would be NaN
        options_.strength == 0 ? 0 : options_.strength * std::pow(options_.growth, periods + 1);
    lambda_ = at.share() >= options_.hard_from ? std::numeric_limits<double>::infinity()
                                               : std::min(grown, options_.most);
  }

  Tensor used(WeightProjection& projection, const Tensor& w) override {
    if (lambda_ == 0) return w;
    Tensor projected = projection.project(w);
    if (std::isinf(lambda_)) return projected;
    return zip(w, projected, [lambda = lambda_](Real a, Real p) {  // in double: lambda may be 1e12
      return static_cast<Real>((static_cast<double>(a) + lambda * static_cast<double>(p)) / (1 + lambda));
    });
  }

 private:
  const RelaxationOptions options_;
  double lambda_ = 0;
};

}  // namespace

std::unique_ptr<Relaxation> binary_relax(const RelaxationOptions& options) {
  return std::make_unique<BinaryRelax>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
