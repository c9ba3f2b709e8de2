#include "quant/gradients/gradient_quantizer.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/registry.h"
#include "core/in_range.h"
#include "quant/gradients/coded_gradient.h"
#include "quant/math/block_householder.h"
#include "quant/math/gradient_variance.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

struct Matrix {
  std::int64_t rows, cols;
};

std::vector<double> in_double(const Tensor& g) { return {g.view().begin(), g.view().end()}; }

// What the shipped ones share.
class Rounding : public GradientQuantizer {
 public:
  Rounding(std::string name, const GradientQuantizerOptions& options) : name_(std::move(name)), options_(options) {
    check_usage(options.bits >= 1 && options.bits <= 8, name_, " gradients: given ", options.bits,
                " bits, expected 1 to 8");
  }
  std::string name() const override { return name_; }
  int bits() const override { return options_.bits; }

  Tensor quantize(const Tensor& g, Rng rng) const override {
    SampleRanges none;
    return quantize_with(none, g, rng);
  }
  Tensor quantize_with(SampleRanges& known, const Tensor& g, Rng rng) const override {
    const Matrix m = matrix(g);
    const Rng* const draws = options_.stochastic ? &rng : nullptr;
    if (options_.codes && g.numel() > 0)
      if (Tensor q = encoded(m, g, draws, known); q.defined()) return q;
    Tensor q = Tensor::uninitialized(g.shape());
    if (g.numel() > 0) round(m, g.data(), draws, known, q.mutable_data());
    return q;
  }
  std::vector<double> variance(const Tensor& g) const override {
    if (!options_.stochastic) return std::vector<double>(static_cast<std::size_t>(g.numel()));
    return variance(matrix(g), in_double(g), RoundingNoise::exact);
  }
  double variance_bound(const Tensor& g) const override {
    if (!options_.stochastic) return 0;
    const std::vector<double> v = variance(matrix(g), in_double(g), RoundingNoise::largest);
    return std::accumulate(v.begin(), v.end(), 0.0);
  }

 protected:
  int bins() const { return (1 << options_.bits) - 1; }
  // Samples times all that belongs to one.
  Matrix matrix(const Tensor& g) const {
    check(g.shape().rank() >= 1, name_, " gradients: given a scalar, expected a batch");
    return {g.size(0), g.size(0) > 0 ? g.numel() / g.size(0) : 0};
  }
  virtual void round(Matrix m, const Real* g, const Rng* rng, SampleRanges& known, Real* q) const = 0;
  virtual std::vector<double> variance(Matrix m, std::span<const double> g, RoundingNoise noise) const = 0;
  // The intervals of the grids that round() rounds onto, one for all elements or one for each sample; none where what it
  // gives lies on no grids.
  virtual SampleRanges grid_ranges(Matrix m, const Real* g, SampleRanges& known) const = 0;

 private:
  // What round() gives, by codes; not defined where there are none.
  Tensor encoded(Matrix m, const Tensor& g, const Rng* rng, SampleRanges& known) const {
    const SampleRanges ranges = grid_ranges(m, g.data(), known);
    const auto rows = static_cast<std::int64_t>(ranges.size());
    if (rows == 0 || !std::ranges::all_of(ranges, [this](const auto& range) { return has_codes(range, bins()); }))
      return {};
    std::vector<Grid<Real>> grids;
    for (const Interval<Real>& range : ranges) grids.push_back(grid_over(range, bins()));
    const auto coded = std::make_shared<CodedGradient>(g.numel(), std::move(grids));
    encode_onto(rows, g.numel() / rows, g.data(), ranges.data(), bins(), rng, coded->codes());
    return Tensor::deferred(g.shape(), coded);
  }

  std::string name_;
  GradientQuantizerOptions options_;
};

void find_ranges(Matrix m, const Real* g, SampleRanges& known) {
  if (!known.empty()) return;
  known.resize(static_cast<std::size_t>(m.rows));
  row_ranges(m.rows, m.cols, g, RowRange::min_max, known.data());
}

class DoReFa : public Rounding {
 public:
  explicit DoReFa(const GradientQuantizerOptions& options) : Rounding("dorefa", options) {}

 protected:
  void round(Matrix m, const Real* g, const Rng* rng, SampleRanges&, Real* q) const override {
    round_rows(m.rows, m.cols, g, RowRange::symmetric, bins(), rng, q);
  }
  SampleRanges grid_ranges(Matrix m, const Real* g, SampleRanges&) const override {
    SampleRanges ranges(static_cast<std::size_t>(m.rows));
    row_ranges(m.rows, m.cols, g, RowRange::symmetric, ranges.data());
    return ranges;
  }
  std::vector<double> variance(Matrix m, std::span<const double> g, RoundingNoise noise) const override {
    return rounding_variance(m.rows, m.cols, g, RowRange::symmetric, bins(), noise);
  }
};

class PerTensor : public Rounding {
 public:
  explicit PerTensor(const GradientQuantizerOptions& options) : Rounding("ptq", options) {}

 protected:
  void round(Matrix m, const Real* g, const Rng* rng, SampleRanges& known, Real* q) const override {
    const SampleRanges all = grid_ranges(m, g, known);
    round_onto(1, m.rows * m.cols, g, all.data(), bins(), rng, q);
  }
  SampleRanges grid_ranges(Matrix m, const Real* g, SampleRanges& known) const override {
    find_ranges(m, g, known);
    Interval<Real> all = known[0];
    for (const Interval<Real>& range : known) all = hull(all, range);
    return {all};
  }
  std::vector<double> variance(Matrix m, std::span<const double> g, RoundingNoise noise) const override {
    return rounding_variance(1, m.rows * m.cols, g, RowRange::min_max, bins(), noise);
  }
};

class PerSample : public Rounding {
 public:
  explicit PerSample(const GradientQuantizerOptions& options, std::string name = "psq")
      : Rounding(std::move(name), options) {}

 protected:
  void round(Matrix m, const Real* g, const Rng* rng, SampleRanges& known, Real* q) const override {
    if (!known.empty()) return round_onto(m.rows, m.cols, g, known.data(), bins(), rng, q);
    known.resize(static_cast<std::size_t>(m.rows));
    round_rows(m.rows, m.cols, g, RowRange::min_max, bins(), rng, q, known.data());
  }
  SampleRanges grid_ranges(Matrix m, const Real* g, SampleRanges& known) const override {
    find_ranges(m, g, known);
    return known;
  }
  std::vector<double> variance(Matrix m, std::span<const double> g, RoundingNoise noise) const override {
    return rounding_variance(m.rows, m.cols, g, RowRange::min_max, bins(), noise);
  }
};

class BlockHouseholder : public PerSample {
 public:
  explicit BlockHouseholder(const GradientQuantizerOptions& options) : PerSample(options, "bhq") {}

 protected:
  void round(Matrix m, const Real* g, const Rng* rng, SampleRanges& known, Real* q) const override {
    find_ranges(m, g, known);
    std::vector<double> lengths;
    for (const Interval<Real>& r : known) lengths.push_back(r.wide_length());
    if (std::ranges::any_of(lengths, [](double r) { return !std::isfinite(r); }))
      std::fill_n(q, m.rows * m.cols, std::numeric_limits<Real>::quiet_NaN());
    else if (few(lengths))
      PerSample::round(m, g, rng, known, q);
    else if (const double most = std::ranges::max(lengths); most < kLeastRange || most > kMostRange)
      round_wide(m, g, rng, known, lengths, q);
    else
      round_householder<Real>(m.rows, m.cols, g, known, householder_groups(lengths), bins(), rng, q);
  }
  // What is rounded there are mixed samples, and they are mixed back.
  SampleRanges grid_ranges(Matrix, const Real*, SampleRanges&) const override { return {}; }
  std::vector<double> variance(Matrix m, std::span<const double> g, RoundingNoise noise) const override {
    std::vector<Interval<double>> ranges(static_cast<std::size_t>(m.rows));
    row_ranges(m.rows, m.cols, g.data(), RowRange::min_max, ranges.data());
    std::vector<double> lengths;
    for (const Interval<double>& r : ranges) lengths.push_back(r.length());
    if (few(lengths)) return PerSample::variance(m, g, noise);
    return householder_variance(m.rows, m.cols, g, bins(), noise);
  }

 private:
  // Of the longest row: outside of these the rows of some group may leave the range of floats on their way
  // through the transform. The leading row of no other group is shorter by more than the number of rows, and
  // no scale is above 10^7.
  static constexpr double kLeastRange = 0x1p-80, kMostRange = 0x1p100;

  // All in double.
  void round_wide(Matrix m, const Real* g, const Rng* rng, const SampleRanges& known, std::span<const double> lengths,
                  Real* q) const {
    const std::vector<double> wide(g, g + m.rows * m.cols);
    std::vector<Interval<double>> ranges;
    for (const Interval<Real>& r : known) ranges.push_back({r.low, r.high});
    std::vector<double> y(wide.size());
    round_householder<double>(m.rows, m.cols, wide.data(), ranges, householder_groups(lengths), bins(), rng, y.data());
    std::ranges::transform(y, q, to_finite);
  }

  // Too few rows to make groups of.
  static bool few(const std::vector<double>& lengths) {
    return lengths.size() < 3 || std::ranges::all_of(lengths, [](double r) { return r == 0; });
  }
};

Registry<MakeGradientQuantizer>& registry() {
  using Options = GradientQuantizerOptions;
  static Registry<MakeGradientQuantizer> r(
      "gradient quantizer", {{"dorefa", [](const Options& o) { return std::make_unique<DoReFa>(o); }},
                             {"ptq", [](const Options& o) { return std::make_unique<PerTensor>(o); }},
                             {"psq", [](const Options& o) { return std::make_unique<PerSample>(o); }},
                             {"bhq", [](const Options& o) { return std::make_unique<BlockHouseholder>(o); }}});
  return r;
}

}  // namespace

std::unique_ptr<GradientQuantizer> gradient_quantizer(std::string_view name, const GradientQuantizerOptions& options) {
  return registry().find(name)(options);
}

void register_gradient_quantizer(std::string name, MakeGradientQuantizer make) {
  registry().add(std::move(name), std::move(make));
}

std::vector<std::string> gradient_quantizer_names() { return registry().names(); }

GradientMoments gradient_moments(const GradientQuantizer& quantizer, const Tensor& g, std::int64_t draws,
                                 const Rng& rng) {
  check(draws >= 2, "gradient moments: given ", draws, " draws, expected 2 or more");
  const auto n = static_cast<std::size_t>(g.numel());
  GradientMoments m{std::vector<double>(n), std::vector<double>(n)};  // of Q(g) - g, by Welford's recurrence
  for (std::int64_t draw = 0; draw < draws; ++draw) {
    const Tensor q = quantizer.quantize(g, rng.split(static_cast<std::uint64_t>(draw)));
    for (std::size_t i = 0; i < n; ++i) {
      const double d = static_cast<double>(q.view()[i]) - static_cast<double>(g.view()[i]);
      const double from_mean = d - m.mean[i];
      m.mean[i] += from_mean / static_cast<double>(draw + 1);
      m.variance[i] += from_mean * (d - m.mean[i]);
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    m.mean[i] += static_cast<double>(g.view()[i]);
    m.variance[i] /= static_cast<double>(draws - 1);
  }
  return m;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
