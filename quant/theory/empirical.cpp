#include "quant/theory/empirical.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"

namespace coarsegrad::theory {
namespace {

// Sixteen running sums, which the compiler turns into vectors, in a fixed order.
double dot(const float* a, const float* b, std::size_t count) {
  constexpr std::size_t kLanes = 16;
  float lanes[kLanes] = {};
  std::size_t i = 0;
  for (; i + kLanes <= count; i += kLanes)
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  double sum = 0;
  for (const float lane : lanes) sum += lane;
  for (; i < count; ++i) sum += a[i] * b[i];
  return sum;
}

double half_sum_of_squares(const std::vector<float>& r) { return 0.5 * dot(r.data(), r.data(), r.size()); }

void add(Vector& sum, double factor, const Vector& x) {
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += factor * x[i];
}

void divide(Vector& sum, double count) {
  for (double& value : sum) value /= count;
}

}  // namespace

// Some of the samples, few enough to stay in a core's own cache. Z is stored as n columns of m * samples
// rows; row i * samples + s is patch i of sample s.
class EmpiricalLoss::Batch {
 public:
  Batch(const TwoLayer& teacher, std::size_t samples, Rng& rng);
  static std::int64_t size(const TwoLayer& teacher);

  /// Sums over the samples.
  Gradients gradients(const Surrogate& surrogate, const Point& student) const;
  Vector losses_along(const Point& student, const Gradients& direction, const Vector& etas) const;

 private:
  std::vector<float> project(const Vector& w) const;
  std::vector<float> outputs(const std::vector<float>& activations, const Vector& v) const;
  std::vector<float> residuals(const std::vector<float>& activations, const Vector& v) const;

  std::size_t m_, n_, samples_;
  std::vector<float> z_, answers_;
};

EmpiricalLoss::Batch::Batch(const TwoLayer& teacher, std::size_t samples, Rng& rng)
    : m_(teacher.v_star().size()), n_(teacher.w_star().size()), samples_(samples), z_(m_ * n_ * samples) {
  rng.normal(z_.data(), z_.size());
  answers_ = outputs(project(teacher.w_star()), teacher.v_star());
}

std::int64_t EmpiricalLoss::Batch::size(const TwoLayer& teacher) {
  constexpr std::int64_t kCachedValues = 64 * 1024;  // 256 KiB
  return std::max<std::int64_t>(16, kCachedValues / (std::int64_t{teacher.m()} * teacher.n()));
}

// Z w, one value per row.
std::vector<float> EmpiricalLoss::Batch::project(const Vector& w) const {
  const std::size_t rows = m_ * samples_;
  std::vector<float> out(rows);
  float* const y = out.data();
  for (std::size_t j = 0; j < n_; ++j) {
    const float* const column = z_.data() + j * rows;
    const float weight = static_cast<float>(w[j]);
    for (std::size_t i = 0; i < rows; ++i) y[i] += weight * column[i];
  }
  return out;
}

// v' sigma(a) for each sample.
std::vector<float> EmpiricalLoss::Batch::outputs(const std::vector<float>& activations, const Vector& v) const {
  std::vector<float> y(samples_);
  for (std::size_t i = 0; i < m_; ++i) {
    const float* const a = activations.data() + i * samples_;
    const float weight = static_cast<float>(v[i]);
    for (std::size_t s = 0; s < samples_; ++s) y[s] += a[s] > 0 ? weight : 0;
  }
  return y;
}

std::vector<float> EmpiricalLoss::Batch::residuals(const std::vector<float>& activations, const Vector& v) const {
  std::vector<float> r = outputs(activations, v);
  for (std::size_t s = 0; s < samples_; ++s) r[s] -= answers_[s];
  return r;
}

Gradients EmpiricalLoss::Batch::gradients(const Surrogate& surrogate, const Point& student) const {
  const std::vector<float> activations = project(student.w), r = residuals(activations, student.v);
  Gradients sums{half_sum_of_squares(r), Vector(m_), Vector(n_)};
  std::vector<float> weights(activations.size());
  surrogate.derivative(activations, 1.0f, weights);
  for (std::size_t i = 0; i < m_; ++i) {
    const float* const a = activations.data() + i * samples_;
    float* const weight = weights.data() + i * samples_;
    const float v = static_cast<float>(student.v[i]);
    for (std::size_t s = 0; s < samples_; ++s) {
      sums.v[i] += a[s] > 0 ? r[s] : 0;
      weight[s] *= v * r[s];
    }
  }
  for (std::size_t j = 0; j < n_; ++j) sums.w[j] = dot(z_.data() + j * weights.size(), weights.data(), weights.size());
  return sums;
}

Vector EmpiricalLoss::Batch::losses_along(const Point& student, const Gradients& direction, const Vector& etas) const {
  const std::vector<float> here = project(student.w), slope = project(direction.w);
  std::vector<float> moved(here.size());
  Vector losses;
  for (const double eta : etas) {
    Vector v = student.v;
    add(v, -eta, direction.v);
    const float step = static_cast<float>(eta);
    for (std::size_t i = 0; i < moved.size(); ++i) moved[i] = here[i] - step * slope[i];
    losses.push_back(half_sum_of_squares(residuals(moved, v)));
  }
  return losses;
}

EmpiricalLoss::EmpiricalLoss(const TwoLayer& teacher, std::int64_t samples, Rng rng) : samples_(samples) {
  check(samples >= 1, "empirical loss: given ", samples, " samples, expected 1 or more");
  const std::int64_t piece = Batch::size(teacher);
  for (std::int64_t done = 0; done < samples; done += piece)
    batches_.emplace_back(teacher, static_cast<std::size_t>(std::min(piece, samples - done)), rng);
}

EmpiricalLoss::~EmpiricalLoss() = default;
EmpiricalLoss::EmpiricalLoss(EmpiricalLoss&&) noexcept = default;
EmpiricalLoss& EmpiricalLoss::operator=(EmpiricalLoss&&) noexcept = default;

// The batches' sums are added in their order, whichever thread took them.
Gradients EmpiricalLoss::gradients(const Surrogate& surrogate, const Point& student) const {
  std::vector<Gradients> sums(batches_.size());
  parallel_for(static_cast<std::int64_t>(sums.size()), [&](std::int64_t task) {
    const auto b = static_cast<std::size_t>(task);
    sums[b] = batches_[b].gradients(surrogate, student);
  });
  Gradients mean{0, Vector(student.v.size()), Vector(student.w.size())};
  for (const Gradients& sum : sums) {
    mean.loss += sum.loss;
    add(mean.v, 1, sum.v);
    add(mean.w, 1, sum.w);
  }
  const auto count = static_cast<double>(samples_);
  mean.loss /= count;
  divide(mean.v, count);
  divide(mean.w, count);
  return mean;
}

Vector EmpiricalLoss::one_step_curve(const Surrogate& surrogate, const Point& student, const Vector& etas) const {
  const Gradients direction = gradients(surrogate, student);
  std::vector<Vector> sums(batches_.size());
  parallel_for(static_cast<std::int64_t>(sums.size()), [&](std::int64_t task) {
    const auto b = static_cast<std::size_t>(task);
    sums[b] = batches_[b].losses_along(student, direction, etas);
  });
  Vector curve(etas.size());
  for (const Vector& sum : sums) add(curve, 1, sum);
  divide(curve, static_cast<double>(samples_));
  return curve;
}

double excess_variation(const Vector& curve) {
  check(!curve.empty(), "excess_variation: given an empty curve, expected at least one point");
  const auto lowest = std::min_element(curve.begin(), curve.end());
  double variation = 0;
  for (auto point = curve.begin(); point != lowest; ++point) variation += std::abs(point[1] - point[0]);
  return variation / std::max(curve.front() - *lowest, 1e-12) - 1;
}

}  // namespace coarsegrad::theory
