#include "quant/theory/monte_carlo.h"

#include <algorithm>
#include <limits>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::theory {
namespace {

using kernels::kGaussLanes;
using kernels::TwoLayerModel;

// A block is what one task sums in single precision, lane by lane; a wave is the blocks whose sums are in
// memory at once.
constexpr std::int64_t kGroupsPerBlock = 64;
constexpr std::int64_t kBlockSamples = kGroupsPerBlock * std::int64_t{kGaussLanes};
constexpr std::size_t kWaveBytes = std::size_t{1} << 26;

/// The vectors in single precision, as the kernels read them.
struct Inputs {
  std::vector<float> v, w, v_star, w_star, directions;
  TwoLayerModel model;

  Inputs(const TwoLayer& teacher, const Point& point, const std::array<Vector, 2>& d)
      : v(point.v.begin(), point.v.end()),
        w(point.w.begin(), point.w.end()),
        v_star(teacher.v_star().begin(), teacher.v_star().end()),
        w_star(teacher.w_star().begin(), teacher.w_star().end()),
        directions(d[0].begin(), d[0].end()),
        model{v.size(), w.size(), v.data(), w.data(), v_star.data(), w_star.data()} {
    directions.insert(directions.end(), d[1].begin(), d[1].end());
  }
};

/// Sums and sums of squares over samples.
struct Sums {
  double value = 0, square = 0;

  void add(double x) {
    value += x;
    square += x * x;
  }
  void add(const Sums& other) {
    value += other.value;
    square += other.square;
  }
  Moments moments(std::int64_t samples) const {
    const double n = static_cast<double>(samples), mean = value / n;
    const double variance =
        samples > 1 ? std::max(0.0, square - value * mean) / (n - 1) : std::numeric_limits<double>::quiet_NaN();
    return {mean, variance};
  }
};

/// All that one block adds up.
struct BlockSums {
  Sums loss;
  std::vector<Sums> grad_v, component, along;  // m; stes x n; stes x 2
  std::vector<double> along_product;           // stes

  BlockSums(const TwoLayerModel& model, std::size_t stes)
      : grad_v(model.m), component(stes * model.n), along(2 * stes), along_product(stes) {}

  std::size_t bytes() const {
    return sizeof(BlockSums) + sizeof(Sums) * (grad_v.size() + component.size() + along.size());
  }
  void add(const BlockSums& other) {
    loss.add(other.loss);
    for (std::size_t i = 0; i < grad_v.size(); ++i) grad_v[i].add(other.grad_v[i]);
    for (std::size_t i = 0; i < component.size(); ++i) component[i].add(other.component[i]);
    for (std::size_t i = 0; i < along.size(); ++i) along[i].add(other.along[i]);
    for (std::size_t i = 0; i < along_product.size(); ++i) along_product[i] += other.along_product[i];
  }
};

/// Sums and sums of squares, lane by lane, of an array of values; in single precision and for one block only.
class LaneSums {
 public:
  explicit LaneSums(std::size_t values) : sum_(values * kGaussLanes), square_(values * kGaussLanes) {}
  float* sum() { return sum_.data(); }
  float* square() { return square_.data(); }
  void flush_to(std::vector<Sums>& totals) const {
    for (std::size_t i = 0; i < totals.size(); ++i)
      for (std::size_t lane = i * kGaussLanes; lane < (i + 1) * kGaussLanes; ++lane)
        totals[i].add(Sums{sum_[lane], square_[lane]});
  }

 private:
  std::vector<float> sum_, square_;
};

/// Samples [begin, end), a whole number of groups apart from the last block.
BlockSums sample_block(const Inputs& in, std::span<const Surrogate* const> surrogates, std::uint64_t key,
                       std::int64_t begin, std::int64_t end) {
  const auto& kernel = active_kernels().two_layer;
  const TwoLayerModel& model = in.model;
  const std::size_t stes = surrogates.size(), rows = model.m * kGaussLanes;
  const Scratch<float> z(model.row() * rows), a(rows), b(rows), derivative(stes * rows), along(2 * stes * kGaussLanes);
  float residual[kGaussLanes];
  LaneSums grad_v(model.m), component(stes * model.n);
  BlockSums sums(model, stes);
  for (std::int64_t s = begin; s < end; s += std::int64_t{kGaussLanes}) {
    const std::size_t valid = std::min(kGaussLanes, static_cast<std::size_t>(end - s));
    kernel.draw(key, static_cast<std::uint64_t>(s) / kGaussLanes, model, z.data(), a.data(), b.data());
    kernel.residual(model, a.data(), b.data(), valid, residual, grad_v.sum(), grad_v.square());
    for (std::size_t k = 0; k < stes; ++k)
      surrogates[k]->derivative(std::span<const float>(a.data(), rows), 1.0f, {derivative.data() + k * rows, rows});
    kernel.gradient(model, stes, z.data(), residual, in.directions.data(), derivative.data(), component.sum(),
                    component.square(), along.data());
    for (std::size_t lane = 0; lane < valid; ++lane) {
      sums.loss.add(0.5 * residual[lane] * residual[lane]);
      for (std::size_t k = 0; k < stes; ++k) {
        const double first = along[2 * k * kGaussLanes + lane], second = along[(2 * k + 1) * kGaussLanes + lane];
        sums.along[2 * k].add(first);
        sums.along[2 * k + 1].add(second);
        sums.along_product[k] += first * second;
      }
    }
  }
  grad_v.flush_to(sums.grad_v);
  component.flush_to(sums.component);
  return sums;
}

std::vector<Moments> moments(std::span<const Sums> sums, std::int64_t samples) {
  std::vector<Moments> out;
  out.reserve(sums.size());
  for (const Sums& s : sums) out.push_back(s.moments(samples));
  return out;
}

MonteCarlo finish(const BlockSums& total, std::size_t stes, std::int64_t samples) {
  MonteCarlo result{samples, total.loss.moments(samples), moments(total.grad_v, samples), {}};
  const std::size_t n = stes > 0 ? total.component.size() / stes : 0;
  for (std::size_t k = 0; k < stes; ++k) {
    const Sums &first = total.along[2 * k], &second = total.along[2 * k + 1];
    const double count = static_cast<double>(samples);
    const double product = total.along_product[k] - first.value * second.value / count;
    result.coarse.push_back({moments(std::span(total.component).subspan(k * n, n), samples),
                             {first.moments(samples), second.moments(samples)},
                             samples > 1 ? product / (count - 1) : std::numeric_limits<double>::quiet_NaN()});
  }
  return result;
}

}  // namespace

MonteCarlo sample_coarse_gradients(const TwoLayer& model, const Point& point,
                                   std::span<const Surrogate* const> surrogates,
                                   const std::array<Vector, 2>& directions, std::int64_t samples, const Rng& rng,
                                   const std::function<void()>& poll) {
  const std::size_t m = model.v_star().size(), n = model.w_star().size();
  check(samples >= 1, "Monte Carlo: given ", samples, " samples, expected at least 1");
  check(point.v.size() == m && point.w.size() == n, "Monte Carlo: given ", point.v.size(), " and ", point.w.size(),
        " student weights, expected ", m, " and ", n);
  check(directions[0].size() == n && directions[1].size() == n, "Monte Carlo: given directions of length ",
        directions[0].size(), " and ", directions[1].size(), ", expected ", n);
  const Inputs in(model, point, directions);
  const std::uint64_t key = rng.split("Z").key();
  BlockSums total(in.model, surrogates.size());
  const std::int64_t blocks = (samples + kBlockSamples - 1) / kBlockSamples;
  const std::int64_t per_wave = std::clamp<std::int64_t>(kWaveBytes / total.bytes(), 16, 4096);
  for (std::int64_t first = 0; first < blocks; first += per_wave) {
    const std::int64_t count = std::min(per_wave, blocks - first);
    std::vector<BlockSums> wave(static_cast<std::size_t>(count), BlockSums(in.model, 0));
    parallel_for(count, [&](std::int64_t task) {
      if (poll) poll();
      const std::int64_t begin = (first + task) * kBlockSamples;
      wave[static_cast<std::size_t>(task)] =
          sample_block(in, surrogates, key, begin, std::min(samples, begin + kBlockSamples));
    });
    for (const BlockSums& block : wave) total.add(block);
  }
  return finish(total, surrogates.size(), samples);
}

}  // namespace coarsegrad::theory
