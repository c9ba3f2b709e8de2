// Does the expected coarse gradient point where the true gradient does, and does it vanish where it should?
// Expectation (closed form, or quadrature where there is none) and Monte Carlo over a grid of angles between the
// student's filter and the teacher's.
#include <algorithm>
#include <cmath>
#include <iostream>
#include <limits>
#include <map>
#include <numbers>
#include <optional>
#include <span>

#include "experiments/studies/two_layer_setup.h"
#include "experiments/support/progress.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "quant/theory/estimates.h"
#include "quant/theory/teacher.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;
namespace lab = coarsegrad::experiments;

namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
// The grid stops this far from 0 and pi, where w lies on the line of w* and the true gradient is undefined.
constexpr double kFromTheLine = 0.002;
constexpr int kRepeats = 20;  // draws behind each error of the sample-size table

struct Flags {
  double norm_w = 1;
  int angles = 61;
  std::int64_t samples = 1000000;
  std::string v = "fixed";
};

const std::vector<lab::Column> kColumns{
    {"theta", "rad", "angle between w and w*"},
    {"correlation", "1", "<E g, df/dw> in closed form, or by quadrature where there is none"},
    {"correlation_mc", "1", "<E g, df/dw> by Monte Carlo"},
    {"correlation_se", "1", "standard error of correlation_mc"},
    {"norm", "1", "|E g| in closed form, or by quadrature where there is none"},
    {"norm_mc", "1", "sqrt(max(0, |mean|^2 - trace of its covariance)) by Monte Carlo"},
    {"norm_se", "1", "standard error of norm_mc (delta method)"},
    {"loss", "1", "population loss f(v, w) in closed form"},
    {"loss_mc", "1", "population loss f(v, w) by Monte Carlo"},
    {"loss_se", "1", "standard error of loss_mc"},
    {"bound_ratio", "1", "|E g|^2 / (|df/dv|^2 + correlation)"}};

using Row = std::vector<double>;  // one value for each of kColumns

double angle_of(const Flags& flags, int i) {
  if (flags.angles == 1) return std::numbers::pi / 2;
  return kFromTheLine + (std::numbers::pi - 2 * kFromTheLine) * i / (flags.angles - 1);
}

Row row_of(const TwoLayer& model, const Point& point, const Ste& ste, const Estimates& estimates,
           const CoarseEstimate& g) {
  const double correlation = model.correlation(ste, point.v, point.w);
  const double length = norm(model.coarse_gradient(ste, point.v, point.w));
  const Vector grad_v = model.grad_v(point.v, point.w);
  const double descent = dot(grad_v, grad_v) + correlation;
  return {angle(point.w, model.w_star()),
          correlation,
          g.correlation.value,
          g.correlation.se,
          length,
          g.norm.value,
          g.norm.se,
          model.loss(point.v, point.w),
          estimates.loss.value,
          estimates.loss.se,
          descent > 0 ? length * length / descent : kNaN};
}

std::vector<const Surrogate*> surrogates_of(std::span<const Ste> stes) {
  std::vector<const Surrogate*> surrogates;
  for (const Ste& ste : stes) surrogates.push_back(&ste.surrogate());
  return surrogates;
}

// Root-mean-square distance of the sampled coarse gradients from the expected ones, over kRepeats draws; all
// estimators see the same draws.
std::vector<Measured> sampling_errors(const TwoLayer& model, const Point& point, std::span<const Ste> stes,
                                      std::int64_t samples, const Rng& rng) {
  const std::vector<const Surrogate*> surrogates = surrogates_of(stes);
  std::vector<double> sum(stes.size()), sum_of_squares(stes.size());
  for (std::uint64_t repeat = 0; repeat < kRepeats; ++repeat) {
    const Estimates drawn = estimate(model, point, surrogates, samples, rng.split(repeat), lab::check_stop);
    for (std::size_t k = 0; k < stes.size(); ++k) {
      const Vector expected = model.coarse_gradient(stes[k], point.v, point.w);
      double square = 0;
      for (std::size_t j = 0; j < expected.size(); ++j)
        square += (drawn.coarse[k].mean[j] - expected[j]) * (drawn.coarse[k].mean[j] - expected[j]);
      sum[k] += square / kRepeats;
      sum_of_squares[k] += square * square / kRepeats;
    }
  }
  std::vector<Measured> errors;
  for (std::size_t k = 0; k < stes.size(); ++k) {
    const double rms = std::sqrt(sum[k]);
    const double variance = std::max(0.0, sum_of_squares[k] - sum[k] * sum[k]) / (kRepeats - 1);
    errors.push_back({rms, std::sqrt(variance) / (2 * rms)});
  }
  return errors;
}

std::vector<std::int64_t> sample_sizes(std::int64_t largest) {
  std::vector<std::int64_t> sizes;
  for (int half_decades = 4;; ++half_decades) {
    const double size = std::pow(10.0, half_decades / 2.0);
    if (size >= 0.99 * static_cast<double>(largest)) break;
    sizes.push_back(std::llround(size));
  }
  sizes.push_back(largest);
  return sizes;
}

// The teacher, the student's second layer for each angle, and the plane in which w turns.
struct Problem {
  TwoLayer model;
  Vector w_perp;
  std::vector<Vector> v;

  Problem(TwoLayer teacher, const Flags& flags, const Rng& rng)
      : model(std::move(teacher)), w_perp(random_orthogonal(model.w_star(), rng.split("w_perp"))) {
    const Vector random_v = normal_vector(model.m(), rng.split("v"));
    for (int i = 0; i < flags.angles; ++i)
      v.push_back(flags.v == "optimal" ? model.best_v(angle_of(flags, i)) : random_v);
  }

  Point at(const Flags& flags, int i) const {
    return {v[static_cast<std::size_t>(i)], filter_at(model.w_star(), w_perp, angle_of(flags, i), flags.norm_w)};
  }
};

void log_inputs(lab::RunLog& log, const Problem& problem, const Flags& flags) {
  lab::log_teacher(log, problem.model);
  lab::log_vector(log, "w_perp", problem.w_perp, "w = |w| (cos(theta) w* + sin(theta) w_perp)");
  if (flags.v == "fixed") return lab::log_vector(log, "v", problem.v[0], "second layer of the student");
  Vector rows;
  for (const Vector& v : problem.v) rows.insert(rows.end(), v.begin(), v.end());
  log.input("v", {flags.angles, problem.model.m()}, rows, "1",
            "second layer of the student, the minimiser of the loss at each angle");
}

void log_sample_sizes(const lab::Table& table, const Problem& problem, const Flags& flags, std::span<const Ste> stes,
                      const Rng& rng) {
  const Point point = problem.at(flags, flags.angles / 2);
  for (const std::int64_t samples : sample_sizes(flags.samples)) {
    const std::vector<Measured> errors =
        sampling_errors(problem.model, point, stes, samples, rng.split(static_cast<std::uint64_t>(samples)));
    for (std::size_t k = 0; k < errors.size(); ++k)
      table.add({static_cast<double>(k), static_cast<double>(samples), errors[k].value, errors[k].se});
  }
}

// What was found, one line per estimator.
void print_summary(const std::map<std::string, std::vector<Row>>& rows, std::span<const Ste> stes) {
  lab::TextTable table({"ste", "by", "least correlation", "|E g| at first angle", "|E g| at last angle",
                        "largest bound ratio", "worst |MC - expectation| / SE"});
  for (const Ste& ste : stes) {
    double ratio = 0, worst = 0;
    const std::vector<Row>& found = rows.at(ste.name());
    const Row& least = *std::ranges::min_element(found, {}, [](const Row& row) { return row[1]; });
    for (const Row& row : found) {
      ratio = std::fmax(ratio, row[10]);
      worst = std::fmax(worst, std::abs(row[2] - row[1]) / row[3]);
    }
    table.row(ste.name(), std::string(ste.closed_form() ? "closed form" : "quadrature"), least[1], found.front()[4],
              found.back()[4], ratio, worst);
  }
  std::cout << table.str();
}

// One table for each estimator; returns all rows.
std::map<std::string, std::vector<Row>> sweep_angles(const std::vector<lab::Table>& tables, const Problem& problem,
                                                     const Flags& flags, std::span<const Ste> stes, const Rng& rng,
                                                     bool quiet) {
  const std::vector<const Surrogate*> surrogates = surrogates_of(stes);
  std::map<std::string, std::vector<Row>> rows;
  lab::ProgressBar progress("angles", flags.angles, quiet);
  for (int i = 0; i < flags.angles; ++i) {
    const Point point = problem.at(flags, i);
    const Estimates estimates = estimate(problem.model, point, surrogates, flags.samples,
                                         rng.split(static_cast<std::uint64_t>(i)), lab::check_stop);
    for (std::size_t k = 0; k < stes.size(); ++k) {
      const Row row = row_of(problem.model, point, stes[k], estimates, estimates.coarse[k]);
      tables[k].add(row);
      rows[stes[k].name()].push_back(row);
    }
    progress.update(i + 1);
  }
  return rows;
}

void run_experiment(lab::RunLog& log, const lab::Args& args, const lab::TwoLayerSetup& setup, const Flags& flags) {
  const Rng rng(args.seed());
  const Problem problem(setup.teacher(rng), flags, rng);
  const std::vector<Ste> stes = setup.chosen();
  std::vector<Ste> of_paper;  // the law of the sample size is that of every estimator
  std::vector<std::string> names_of_paper;
  for (const Ste& ste : stes)
    if (lab::is_of_paper(ste)) {
      of_paper.push_back(ste);
      names_of_paper.push_back(ste.name());
    }
  std::vector<lab::Table> tables;
  for (const Ste& ste : stes) tables.push_back(log.table(ste.name(), kColumns));
  std::optional<lab::Table> sizes;
  if (!of_paper.empty())
    sizes = log.table("sample_size", {{"ste", "1", "estimator", names_of_paper},
                                      {"samples", "1", "samples N"},
                                      {"rms_error", "1", "root-mean-square |mean of g - E g| over 20 draws"},
                                      {"rms_error_se", "1", "standard error of rms_error"}});
  log_inputs(log, problem, flags);
  log.start();
  const auto rows = sweep_angles(tables, problem, flags, stes, rng.split("angle"), args.quiet());
  if (sizes) log_sample_sizes(*sizes, problem, flags, of_paper, rng.split("sample_size"));
  if (!args.quiet()) print_summary(rows, stes);
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  lab::Args args("coarse_gradient",
                 "Expected coarse gradients of the two-layer model over the angle, beside Monte Carlo.");
  const lab::TwoLayerSetup setup(args, surrogate_names());
  args.add("norm-w", flags.norm_w, "length of w", {1e-3, 1e3});
  args.add("angles", flags.angles, "grid points in (0, pi)", {1, 10000});
  args.add("samples", flags.samples, "samples for each angle", {2, 1'000'000'000'000});
  args.add("v", flags.v, "one random v, or the minimiser of the loss at each angle", {"fixed", "optimal"});
  return lab::run(
      args, argc, argv, [&](lab::RunLog& log) { run_experiment(log, args, setup, flags); }, "double");
}
