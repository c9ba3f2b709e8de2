// The search for a rate and a decay: what it chooses, and what it leaves behind.
#include "experiments/training/rate_search.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "tests/experiments/small_training.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::tests;

namespace {

// A run with one variant, "v", by as many epochs as small_training.h has.
struct Searched {
  TempFolder folder;
  SplitData data = small_data();
  Sweep sweep{folder / "cells", "{}"};
  RunLog log{(folder / "run.h5").string(), {"test", "", "{}", 1, 1, "float"}};
  RateSearchSettings settings;

  static CellPlan plan(int epochs) {
    CellPlan p;
    p.name = "v";
    p.optim.epochs = epochs;
    p.optim.batch = 20;
    p.optim.lr = 0.1;
    p.optim.weight_decay = 1e-3;
    return p;
  }

  // The plan of three epochs, tuned by trainings of one.
  CellPlan tuned() {
    const RateSearch search(log, settings, {{"bits", "bit", "bits of the weights"}}, data);
    log.start();
    const auto make = [](const nn::MakeActivation&) -> std::unique_ptr<nn::Module> { return small_net(Rng(5)); };
    return search.tuned(sweep, {2}, plan(3), plan(1), data, make, true);
  }

  double held_out(const std::string& cell) const {
    return best_row(sweep.cell(cell, []() -> CellRows { throw Error("is not there"); }))[kHeldOut];
  }
};

}  // namespace

TEST_CASE("rate search: of all pairs the held-out images choose the best one, and each is a cell that is kept") {
  Searched s;
  s.settings = {.factors = {1e-9, 1, 3}, .decays = {0, 1e-2}, .epochs = 1};
  const CellPlan tuned = s.tuned();
  double best = 0, chosen = 0;
  for (const char* lr : {"1e-10", "0.1", "0.3"})
    for (const char* decay : {"0", "0.01"}) {
      const double found = s.held_out(cat("v-search1-lr", lr, "-decay", decay));
      best = std::max(best, found);
      if (tuned.name == cat("v-lr", lr, "-decay", decay)) chosen = found;
    }
  CHECK(chosen == best);
  CHECK(tuned.optim.lr > 0.05);  // at the smallest rate nothing is learned
  CHECK(tuned.optim.epochs == 3);
  CHECK(s.held_out("v-search1-lr1e-10-decay0") < best);
}

TEST_CASE("rate search: a list that is empty stands for what the plan has") {
  Searched s;
  s.settings = {.decays = {1e-4}, .epochs = 1};
  const CellPlan tuned = s.tuned();
  CHECK(tuned.optim.lr == 0.1);
  CHECK(tuned.optim.weight_decay == 1e-4);
  CHECK(tuned.name == "v-lr0.1-decay0.0001");
}

TEST_CASE("rate search: a training that diverges is the worst, and where all do the plan stays as it was") {
  Searched one, all;
  one.settings = {.factors = {1e30, 1e-9}, .epochs = 1};
  CHECK(one.tuned().optim.lr == doctest::Approx(1e-10));
  all.settings = {.factors = {1e30, 1e31}, .epochs = 1};
  const CellPlan tuned = all.tuned();
  CHECK(tuned.optim.lr == 0.1);
  CHECK(tuned.name == "v");
}

TEST_CASE("rate search: without epochs or lists there is none, and without held-out images it is refused") {
  for (const RateSearchSettings& off :
       {RateSearchSettings{}, RateSearchSettings{.factors = {1, 2}}, RateSearchSettings{.epochs = 3}}) {
    Searched s;
    s.settings = off;
    CHECK(s.tuned().name == "v");
    CHECK(std::distance(std::filesystem::directory_iterator(s.folder / "cells"), {}) == 1);  // settings.json
  }
  Searched s;
  s.data = small_data(0);
  s.settings = {.factors = {1, 2}, .epochs = 1};
  CHECK_THROWS_AS(s.tuned(), UsageError);
  CHECK_SAYS(complaint_of([&] { s.tuned(); }), "without held-out images");
}
