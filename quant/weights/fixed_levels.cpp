#include "quant/weights/fixed_levels.h"

#include <cmath>
#include <limits>

#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class FixedLevels : public PowerProjection {
 public:
  explicit FixedLevels(const LevelSet& levels)
      : PowerProjection("fixed_levels", {levels.bits()}, levels.magnitudes()), levels_(levels) {}

 private:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    levels_.encode(w, codes);
    return std::isfinite(magnitude(w).sum) ? 1 : std::numeric_limits<double>::quiet_NaN();
  }

  const LevelSet levels_;
};

}  // namespace

void describe(OptionVisitor& v, FixedLevelsOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 3});
  describe(v, o.thresholds);
}

std::unique_ptr<WeightProjection> fixed_levels(const FixedLevelsOptions& options) {
  return std::make_unique<FixedLevels>(level_set(options.bits, options.thresholds));
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
