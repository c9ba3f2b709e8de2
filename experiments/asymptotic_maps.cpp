// How do smooth maps become quantizers?
//   asymptotic_maps --sharpness 1.5,4,10,30 --out results/asymptotic_maps.h5
// The maps of the AQE-style reconstruction with their slopes, and how far they are from the quantizer, beside
// the law ln 2 / T times the sum of the steps.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>

#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "quant/math/asymptotic_map.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::vector<double> sharpness{1.5, 3, 6, 15, 100};
  double range = 1.6;
  int points = 3201;
};

struct Named {
  std::string name;
  LevelSet levels;
};
std::vector<Named> level_sets() {
  return {{"1 bit", level_set(1)},
          {"2 bits", level_set(2)},
          {"3 bits", level_set(3)},
          {"3 bits, three powers", level_set(3, ThreeBits::three_powers)}};
}

// The integral of |A_T - q| over [-3, 3], by the midpoint rule in each stretch between thresholds, where both
// are smooth.
double distance(const LevelSet& levels, const AsymptoticMap& map) {
  constexpr int kPoints = 20000;
  double sum = 0, from = -3;
  for (std::size_t i = 0; i <= levels.thresholds().size(); ++i) {
    const double to = i < levels.thresholds().size() ? levels.thresholds()[i] : 3, h = (to - from) / kPoints;
    for (int j = 0; j < kPoints; ++j)
      sum += h * std::abs(map.value(from + (j + 0.5) * h) - levels.levels()[i]);
    from = to;
  }
  return sum;
}

// One map, point by point; returns its largest slope among them.
double log_map(const Settings& s, const LevelSet& levels, const AsymptoticMap& map, double set, double steps,
               const Table& table) {
  double steepest = 0;
  for (int i = 0; i < s.points; ++i) {
    const double x = s.range * (2.0 * i / (s.points - 1) - 1);
    table.add({set, steps, x, map.value(x), map.slope(x), levels.nearest(x)});
    steepest = std::max(steepest, map.slope(x));
  }
  return steepest;
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("asymptotic_maps", "How smooth maps become quantizers.");
  args.add("sharpness", s.sharpness, "T times the least step of the levels", {0.01, 1e6});
  args.add("range", s.range, "maps are drawn from minus to plus this", {0.1, 100});
  args.add("points", s.points, "of each map", {2, 1000000});
  return run(args, argc, argv, [&](RunLog& log) {
    const auto sets = level_sets();
    std::vector<std::string> names;
    for (const Named& set : sets) names.push_back(set.name);
    const Table maps = log.table("maps", {{"levels", "1", "level set", names},
                                          {"sharpness", "1", "T times the least step"},
                                          {"x", "1", "input"},
                                          {"value", "1", "A_T(x)"},
                                          {"slope", "1", "A_T'(x)"},
                                          {"level", "1", "the nearest level"}});
    const Table distances = log.table("distances", {{"levels", "1", "level set", names},
                                                    {"sharpness", "1", "T times the least step"},
                                                    {"distance", "1", "integral of |A_T - q| over [-3, 3]"},
                                                    {"law", "1", "ln 2 / T times the sum of the steps"}});
    log.start();
    TextTable text({"levels", "T step", "|A - q|", "law", "steepest"});
    for (std::size_t k = 0; k < sets.size(); ++k)
      for (const double steps : s.sharpness) {
        check_stop();
        const LevelSet& levels = sets[k].levels;
        const double sharpness = steps / levels.least_step();
        const AsymptoticMap map(levels, sharpness);
        const double steepest = log_map(s, levels, map, static_cast<double>(k), steps, maps);
        const double gap = distance(levels, map);
        const double law = std::numbers::ln2 / sharpness * (levels.highest() - levels.lowest());
        distances.add({static_cast<double>(k), steps, gap, law});
        text.row(names[k], steps, gap, law, steepest);
      }
    if (!args.quiet()) std::fputs(text.str().c_str(), stdout);
  });
}
