// Histograms of weights in training.
#include "experiments/studies/weight_snapshot.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {
double sum(const std::array<double, WeightSnapshot::kBins>& shares) {
  return std::accumulate(shares.begin(), shares.end(), 0.0);
}
constexpr int kZero = WeightSnapshot::kBins / 2;
}  // namespace

TEST_CASE("weight snapshot: sizes, distance, flips and the bins of a few weights") {
  const Tensor w({4}, {1, -1, 1, 1}), x({4}, {2, -2, 2, 0}), start({4}, {1, 1, -3, 2});
  const WeightSnapshot s = snapshot_of(w, x, start);
  CHECK(s.float_rms == 1);
  CHECK(s.used_rms == doctest::Approx(std::sqrt(3.0)));
  CHECK(s.distance == doctest::Approx(0.25));
  CHECK(s.flips == 0.5);
  CHECK(s.float_share[kZero + 10] == 0.75);
  CHECK(s.float_share[kZero - 10] == 0.25);
  CHECK(s.used_share[kZero] == 0.25);
  CHECK(s.used_share[kZero + 12] == 0.5);  // 2 / sqrt(3) = 1.155
  CHECK(s.used_share[kZero - 12] == 0.25);
  CHECK(WeightSnapshot::centre(kZero + 12) == doctest::Approx(1.2));
  const WeightSnapshot zeros = snapshot_of(Tensor({3}), Tensor({3}), Tensor({3}));
  CHECK(zeros.float_share[kZero] == doctest::Approx(1));
  CHECK(zeros.distance == 0);
  CHECK_THROWS_AS(snapshot_of(w, x, Tensor({3})), Error);
  CHECK_THROWS_AS(snapshot_of(Tensor({0}), Tensor({0}), Tensor({0})), Error);
}

TEST_CASE("weight snapshot: shares of one and the same kind of weight are 1, for every number of weights") {
  for (std::int64_t n = 1; n < 200; ++n) {
    INFO(n);
    const WeightSnapshot s = snapshot_of(Tensor({n}, Real(1)), Tensor({n}), Tensor({n}, Real(-1)));
    CHECK(s.flips == 1);
    CHECK(s.float_share[kZero + 10] == 1);
    CHECK(s.used_share[kZero] == 1);
  }
}

TEST_CASE("weight snapshot: Gaussian weights fill the bins as their density says, binary ones fill two") {
  Tensor w = Tensor::uninitialized({200000});
  Rng(1).normal(w.mutable_data(), 200000, Real(0), Real(0.02));
  w.mutable_data()[0] = Real(0.5);  // 25 standard deviations
  const Tensor x = quant::weight_projection({"binary"})->project(w);
  const WeightSnapshot s = snapshot_of(w, x, w);
  CHECK(s.flips == 0);
  CHECK(sum(s.float_share) == doctest::Approx(1));
  CHECK(sum(s.used_share) == doctest::Approx(1));
  for (const int bin : {kZero, kZero + 10, kZero - 20}) {
    const double c = WeightSnapshot::centre(bin) * s.float_rms / 0.02;
    CHECK(s.float_share[static_cast<std::size_t>(bin)] ==
          doctest::Approx(0.1 * s.float_rms / 0.02 * 0.39894 * std::exp(-c * c / 2)).epsilon(0.05));
  }
  CHECK(s.float_share[WeightSnapshot::kBins - 1] > 0);
  CHECK(s.distance == doctest::Approx(0.363).epsilon(0.01));
  CHECK(snapshot_of(w, w, w).distance < 1e-12);
  CHECK(s.used_share[kZero + 10] + s.used_share[kZero - 10] == doctest::Approx(1));
}
