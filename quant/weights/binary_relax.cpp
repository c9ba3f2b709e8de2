#include "quant/weights/binary_relax.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/map.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class BinaryRelax : public Relaxation {
 public:
  explicit BinaryRelax(const BinaryRelaxOptions& o) : options_(o) {
    check(o.lambda >= 0 && std::isfinite(o.lambda) && o.growth >= 1 && std::isfinite(o.growth) && o.every > 0 &&
              std::isfinite(o.every) && !std::isnan(o.most) && std::isfinite(o.hard_from),
          "relax: given lambda = ", o.lambda, " growing by ", o.growth, " every ", o.every,
          " epochs, expected lambda >= 0, growth >= 1 and a positive number of epochs");
    advance({});
  }

  std::string name() const override { return "relax"; }
  double strength() const override { return lambda_; }
  void advance(const Progress& at) override {
    const double periods = std::floor(at.epoch / options_.every);
    const double grown =  // 0 times a growth without end would be NaN
        options_.lambda == 0 ? 0 : options_.lambda * std::pow(options_.growth, periods + 1);
    lambda_ =
        at.share() >= options_.hard_from ? std::numeric_limits<double>::infinity() : std::min(grown, options_.most);
  }

  Tensor effective(WeightProjection& projection, const Tensor& w) override {
    if (lambda_ == 0) return w;
    Tensor projected = projection.project(w);
    if (std::isinf(lambda_)) return projected;
    return zip(w, projected, [lambda = lambda_](Real a, Real p) {  // in double: lambda may be 1e12
      return static_cast<Real>((static_cast<double>(a) + lambda * static_cast<double>(p)) / (1 + lambda));
    });
  }

 private:
  const BinaryRelaxOptions options_;
  double lambda_ = 0;
};

}  // namespace

void describe(OptionVisitor& v, BinaryRelaxOptions& o) {
  v.number({"lambda", "1", "strength at the start, which draws weights to their projection"}, o.lambda, {0, kNoEnd});
  v.number({"growth", "1", "factor of the strength at each growth"}, o.growth, {1, kNoEnd});
  v.number(option_text::every(), o.every, {0.001, kNoEnd});
  v.number(option_text::most(), o.most, {0, kNoEnd});
  v.number(option_text::hard_from(), o.hard_from, {0, 1});
}

std::unique_ptr<Relaxation> binary_relax(const BinaryRelaxOptions& options) {
  return std::make_unique<BinaryRelax>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
