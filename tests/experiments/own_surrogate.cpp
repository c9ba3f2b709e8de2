// Does a pseudo-derivative of one's own point where the true gradient does?
#include <numbers>

#include "experiments/support/run.h"
#include "quant/theory/estimates.h"
#include "quant/theory/teacher.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;

int main(int argc, char** argv) {
  const Surrogate& bump = register_surrogate(
      "cauchy", [](auto x, auto) { return std::atan(x); }, [](auto x, auto) { return 1 / (1 + x * x); });
  int m = 4, n = 10;
  experiments::Args args("own_surrogate", "Correlation of a coarse gradient of my own with the true gradient.");
  args.add("m", m, "rows of Z", {1, 1024});
  args.add("n", n, "columns of Z", {2, 4096});
  return experiments::run(args, argc, argv, [&](experiments::RunLog& log) {
    const auto table = log.table(bump.name(), {{"theta", "rad", "angle between w and w*"},
                                               {"correlation_mc", "1", "<E g, df/dw>"},
                                               {"correlation_se", "1", "its standard error"}});
    log.start();
    const Rng rng(args.seed());
    const TwoLayer model(reference_second_layer(m), random_unit_vector(n, rng.split("w*")));
    const Vector w_perp = random_orthogonal(model.w_star(), rng.split("w_perp"));
    for (double theta = 0.1; theta < std::numbers::pi; theta += 0.1) {
      const Point point{model.best_v(theta), filter_at(model.w_star(), w_perp, theta, 1)};
      const Surrogate* const all[] = {&bump};
      const Estimates e = estimate(model, point, all, 100000, rng.split("Z"));
      table.add({theta, e.coarse[0].correlation.value, e.coarse[0].correlation.se});
    }
  });
}
