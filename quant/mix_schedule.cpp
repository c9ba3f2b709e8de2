#include "quant/mix_schedule.h"

#include <algorithm>
#include <cmath>

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

void describe(OptionVisitor& v, MixOptions& o) {
  v.number({"first", "1", "share of the quantized value at the start of the training"}, o.first, {0, 1});
  v.number({"last", "1", "share of the quantized value at the end, not below first"}, o.last, {0, 1});
  v.number({"until", "1", "share of the training after which the quantized value has its last share"}, o.until,
           {1e-6, 1e6});
  const std::vector<std::string> names{"paper", "one"};
  std::string name = names[static_cast<std::size_t>(o.factor)];
  v.choice({"factor", "", "factor of the gradient inside of [-1, 1]: twice the share of the quantized value, or 1"},
           name, names);
  o.factor = name == "one" ? MixFactor::one : MixFactor::paper;
}

MixSchedule::MixSchedule(const MixOptions& o) : options_(o), share_(o.first) {
  check(o.first >= 0 && o.first <= o.last && o.last <= 1 && o.until > 0 && std::isfinite(o.until),
        "mix: given shares from ", o.first, " to ", o.last, " until ", o.until,
        " of the training, expected 0 <= first <= last <= 1 and until > 0");
}

void MixSchedule::advance(const Progress& at) {
  share_ = options_.first + (options_.last - options_.first) * std::min(1.0, at.share() / options_.until);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
