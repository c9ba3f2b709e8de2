#include "experiments/training/rate_search.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/base/check.h"

namespace coarsegrad::experiments {
namespace {

std::string with_rate(const std::string& name, double lr, double decay) {
  return cat(name, "-lr", lr, "-decay", decay);
}

}  // namespace

void declare(Args& args, RateSearchSettings& s) {
  args.add("rate-factors", s.factors, "factors of --lr that a search tries for each variant; empty: 1 alone",
           {1e-6, 1e6});
  args.add("decays", s.decays, "weight decays that a search tries for each variant; empty: --weight-decay alone",
           {0, 10});
  args.add("search-epochs", s.epochs, "epochs of each training of a search for rate and decay; 0: no search",
           {0, 100000});
  args.add_need({"rate-factors", "decays"}, "search-epochs", "without --search-epochs", [&s] { return s.epochs > 0; });
  args.add_need({"search-epochs"}, "rate-factors", "without --rate-factors or --decays", [&s] { return s.on(); });
}

RateSearch::RateSearch(RunLog& log, const RateSearchSettings& s, std::vector<Column> keys, const SplitData& data)
    : s_(s) {
  if (!s.on()) return;
  check_usage(data.held_out->size() > 0, "search-epochs: given ", s.epochs,
              " without held-out images, which choose the rate; expected --held-out");
  keys.insert(keys.end(), {{"lr", "1", "largest learning rate"},
                           {"weight_decay", "1", "weight decay"},
                           {"held_out_accuracy", "1", "share right of the held-out images, best epoch of the search"},
                           {"test_accuracy", "1", "share right of the test images after that epoch"},
                           {"chosen", "1", "whether the runs of the comparison have this rate and decay: 1 or 0"}});
  table_.push_back(log.table("search", std::move(keys)));
}

std::vector<RateSearch::Trial> RateSearch::trials(const Sweep& sweep, const CellPlan& shorter, const SplitData& data,
                                                  const quant::MakeNetwork& make, bool quiet) const {
  const std::vector<double> factors = s_.factors.empty() ? std::vector<double>{1} : s_.factors;
  const std::vector<double> decays = s_.decays.empty() ? std::vector<double>{shorter.optim.weight_decay} : s_.decays;
  std::vector<Trial> all;
  for (const double factor : factors)
    for (const double decay : decays) {
      CellPlan plan = shorter;
      plan.seed = kSeed;
      plan.optim.lr = factor * shorter.optim.lr;
      plan.optim.weight_decay = decay;
      plan.judge_train = TrainerOptions::JudgeTrain::never;
      plan.may_diverge = true;
      plan.name = with_rate(cat(shorter.name, "-search", s_.epochs), plan.optim.lr, decay);
      const CellRows rows = train_cell(sweep, plan, data, make, quiet);
      const std::vector<double>& row = best_row(rows, epochs_on_the_way(plan));
      const bool whole = std::isfinite(rows.back()[kLoss]);
      all.push_back({plan.optim.lr, decay, whole ? row[kHeldOut] : std::nan(""), whole ? row[kTest] : std::nan("")});
    }
  return all;
}

CellPlan RateSearch::tuned(const Sweep& sweep, const std::vector<double>& key, CellPlan whole, const CellPlan& shorter,
                           const SplitData& data, const quant::MakeNetwork& make, bool quiet) const {
  if (!s_.on()) return whole;
  const std::vector<Trial> all = trials(sweep, shorter, data, make, quiet);
  const auto worth = [](const Trial& t) { return std::isnan(t.held_out) ? -1 : t.held_out; };
  const auto best = std::ranges::max_element(all, {}, worth);
  const bool found = worth(*best) >= 0;
  for (const Trial& t : all) {
    std::vector<double> row = key;
    row.insert(row.end(), {t.lr, t.decay, t.held_out, t.test, static_cast<double>(found && &t == &*best)});
    table_.front().add(row);
  }
  if (!found) {
    std::printf("%s: diverged with every rate of the search, stays at rate %g\n", whole.name.c_str(), whole.optim.lr);
    return whole;
  }
  whole.optim.lr = best->lr;
  whole.optim.weight_decay = best->decay;
  whole.name = with_rate(whole.name, best->lr, best->decay);
  return whole;
}

}  // namespace coarsegrad::experiments
