#include "experiments/studies/two_layer_setup.h"

#include <algorithm>

#include "core/base/check.h"
#include "quant/theory/teacher.h"

namespace coarsegrad::experiments {

TwoLayerSetup::TwoLayerSetup(Args& args, std::vector<std::string> stes) : stes_(std::move(stes)) {
  Choices choices = stes_;
  choices.insert(choices.begin(), "all");
  args.add("m", m, "rows of Z, entries of v", {1, 1024});
  args.add("n", n, "columns of Z, entries of w", {2, 4096});
  args.add("v-star", v_star, "teacher's second layer: 1, 0.6, -0.4, 0.5 in turn, or random N(0,1) entries",
           {"cycle", "random"});
  args.add("ste", ste, "estimators", choices);
}

bool TwoLayerSetup::all() const { return std::ranges::find(ste, "all") != ste.end(); }

std::vector<theory::Ste> TwoLayerSetup::chosen() const {
  check_usage(!all() || ste.size() == 1, "--ste: given all beside other names, expected either");
  std::vector<theory::Ste> chosen;
  for (const std::string& name : all() ? stes_ : ste) chosen.push_back(theory::ste(name));
  return chosen;
}

theory::TwoLayer TwoLayerSetup::teacher(const Rng& rng) const {
  return {v_star == "random" ? theory::normal_vector(m, rng.split("v*")) : theory::reference_second_layer(m),
          theory::random_unit_vector(n, rng.split("w*"))};
}

std::vector<std::string> paper_names() {
  std::vector<std::string> names;
  for (const theory::Ste& ste : theory::paper_stes()) names.push_back(ste.name());
  return names;
}

bool is_of_paper(const theory::Ste& ste) {
  return std::ranges::find(theory::paper_stes(), ste.name(), &theory::Ste::name) != theory::paper_stes().end();
}

void log_teacher(RunLog& log, const theory::TwoLayer& model) {
  log_vector(log, "v_star", model.v_star(), "second layer of the teacher");
  log_vector(log, "w_star", model.w_star(), "filter of the teacher, of length 1");
}

void log_vector(RunLog& log, std::string name, const theory::Vector& values, std::string description) {
  log.input(std::move(name), {static_cast<std::int64_t>(values.size())}, values, "1", std::move(description));
}

}  // namespace coarsegrad::experiments
