#include "quant/theory/monte_carlo.h"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

using namespace coarsegrad;
using namespace coarsegrad::theory;

namespace {

/// A teacher and a student of random weights.
struct Problem {
  TwoLayer model;
  Point point;
  std::array<Vector, 2> directions;
};

Vector gaussian(Rng& rng, int n) {
  Vector x(static_cast<std::size_t>(n));
  rng.normal(x.data(), x.size());
  for (double& value : x) value = static_cast<float>(value);  // what the kernels see
  return x;
}

Problem problem(int m, int n, std::uint64_t seed) {
  Rng rng(seed);
  const Vector v_star = gaussian(rng, m), w_star = gaussian(rng, n);
  const Vector v = gaussian(rng, m), w = gaussian(rng, n), d1 = gaussian(rng, n), d2 = gaussian(rng, n);
  return {TwoLayer(v_star, w_star), {v, w}, {d1, d2}};
}

const std::vector<const Surrogate*>& three() {
  static const std::vector<const Surrogate*> list{&surrogate("identity"), &surrogate("relu"),
                                                  &surrogate("clipped_relu")};
  return list;
}

/// Mean and variance in double precision, one number at a time.
struct Plain {
  std::vector<double> values;
  Moments moments() const {
    Moments out;
    for (const double x : values) out.mean += x / static_cast<double>(values.size());
    for (const double x : values)
      out.variance += (x - out.mean) * (x - out.mean) / static_cast<double>(values.size() - 1);
    return out;
  }
};

double size(const Moments& x) { return std::sqrt(x.variance) + std::abs(x.mean) + 1e-6; }

bool close(const Moments& a, const Moments& b) {
  const double scale = size(b);
  return std::abs(a.mean - b.mean) < 1e-5 * scale && std::abs(a.variance - b.variance) < 1e-5 * scale * scale;
}

/// The definition: one sample after the other, all in double, on the same Z.
MonteCarlo plain_loop(const Problem& p, std::int64_t samples, const Rng& rng) {
  const auto m = static_cast<std::size_t>(p.model.m()), n = static_cast<std::size_t>(p.model.n());
  const std::size_t row = (n + 1) / 2 * 2;
  std::vector<float> z(m * row * 16);
  Plain loss;
  std::vector<Plain> grad_v(m), component(3 * n), along(6);
  for (std::int64_t s = 0; s < samples; ++s) {
    const auto lane = static_cast<std::size_t>(s % 16);
    active_kernels().sampling.normal(rng.split("Z").key(), static_cast<std::uint64_t>(s / 16), 0, z.data(), z.size());
    const auto entry = [&](std::size_t i, std::size_t j) { return double{z[(i * row + j) * 16 + lane]}; };
    std::vector<double> a(m), b(m);
    double r = 0;
    for (std::size_t i = 0; i < m; ++i) {
      for (std::size_t j = 0; j < n; ++j) {
        a[i] += entry(i, j) * p.point.w[j];
        b[i] += entry(i, j) * p.model.w_star()[j];
      }
      r += p.point.v[i] * (a[i] > 0) - p.model.v_star()[i] * (b[i] > 0);
    }
    loss.values.push_back(r * r / 2);
    for (std::size_t i = 0; i < m; ++i) grad_v[i].values.push_back(a[i] > 0 ? r : 0);
    for (std::size_t k = 0; k < 3; ++k) {
      double first = 0, second = 0;
      for (std::size_t j = 0; j < n; ++j) {
        double g = 0;
        for (std::size_t i = 0; i < m; ++i) g += entry(i, j) * three()[k]->derivative(a[i]) * p.point.v[i] * r;
        component[k * n + j].values.push_back(g);
        first += g * p.directions[0][j];
        second += g * p.directions[1][j];
      }
      along[2 * k].values.push_back(first);
      along[2 * k + 1].values.push_back(second);
    }
  }
  MonteCarlo out{samples, loss.moments(), {}, {}};
  for (const Plain& x : grad_v) out.grad_v.push_back(x.moments());
  for (std::size_t k = 0; k < 3; ++k) {
    GradientMoments g;
    for (std::size_t j = 0; j < n; ++j) g.component.push_back(component[k * n + j].moments());
    g.along = {along[2 * k].moments(), along[2 * k + 1].moments()};
    Plain product;
    for (std::size_t s = 0; s < along[2 * k].values.size(); ++s)
      product.values.push_back((along[2 * k].values[s] - g.along[0].mean) *
                               (along[2 * k + 1].values[s] - g.along[1].mean));
    const double count = static_cast<double>(samples);
    g.along_covariance = product.moments().mean * count / (count - 1);
    out.coarse.push_back(g);
  }
  return out;
}

/// How many of all the numbers differ by more than single precision.
int differences(const MonteCarlo& a, const MonteCarlo& b) {
  int count = !close(a.loss, b.loss);
  for (std::size_t i = 0; i < b.grad_v.size(); ++i) count += !close(a.grad_v[i], b.grad_v[i]);
  for (std::size_t k = 0; k < b.coarse.size(); ++k) {
    const GradientMoments &x = a.coarse[k], &y = b.coarse[k];
    for (std::size_t j = 0; j < y.component.size(); ++j) count += !close(x.component[j], y.component[j]);
    count += !close(x.along[0], y.along[0]) + !close(x.along[1], y.along[1]);
    const double scale = size(y.along[0]) * size(y.along[1]);
    count += !(std::abs(x.along_covariance - y.along_covariance) < 1e-5 * scale);
  }
  return count;
}

bool equal(const Moments& a, const Moments& b) { return a.mean == b.mean && a.variance == b.variance; }

bool equal(const std::vector<Moments>& a, const std::vector<Moments>& b) {
  for (std::size_t i = 0; i < b.size(); ++i)
    if (!equal(a[i], b[i])) return false;
  return a.size() == b.size();
}

bool equal(const MonteCarlo& a, const MonteCarlo& b) {
  bool same = equal(a.loss, b.loss) && equal(a.grad_v, b.grad_v) && a.coarse.size() == b.coarse.size();
  for (std::size_t k = 0; same && k < b.coarse.size(); ++k)
    same = equal(a.coarse[k].component, b.coarse[k].component) && equal(a.coarse[k].along[0], b.coarse[k].along[0]) &&
           equal(a.coarse[k].along[1], b.coarse[k].along[1]) &&
           a.coarse[k].along_covariance == b.coarse[k].along_covariance;
  return same;
}

}  // namespace

TEST_SUITE("quick") {
  TEST_CASE("the fused Monte Carlo equals a plain double loop over the same samples") {
    const int shapes[][2] = {{1, 1}, {1, 2}, {2, 3}, {3, 1}, {5, 7}, {4, 17}, {10, 20}, {20, 100}};
    for (const auto& shape : shapes) {
      const int m = shape[0], n = shape[1];
      CAPTURE(m);
      CAPTURE(n);
      const Problem p = problem(m, n, 3);
      const Rng rng(9);
      for (const std::int64_t samples : {2, 16, 45, 1100}) {
        if (m * n > 100 && samples > 45) continue;
        CAPTURE(samples);
        const MonteCarlo fused = sample_coarse_gradients(p.model, p.point, three(), p.directions, samples, rng);
        MonteCarlo plain = plain_loop(p, samples, rng);
        CHECK(fused.samples == samples);
        CHECK(differences(fused, plain) == 0);
        // The comparison can fail: a thousandth of a standard deviation, or a wrong Z, is seen.
        plain.coarse[2].component[0].mean += 1e-3 * (std::sqrt(plain.coarse[2].component[0].variance) + 1e-3);
        CHECK(differences(fused, plain) >= 1);
        if (samples > 2)
          CHECK(differences(sample_coarse_gradients(p.model, p.point, three(), p.directions, samples, Rng(10)), plain) >
                3);
      }
    }
  }

  TEST_CASE("the Monte Carlo gives the same bits on 1 and 2 threads, with all tables, and in any company") {
    const Problem p = problem(5, 9, 4);
    const int threads = num_threads();
    const std::string table = active_kernels().name;
    const auto sample = [&](std::span<const Surrogate* const> stes) {
      return sample_coarse_gradients(p.model, p.point, stes, p.directions, 70001, Rng(1));
    };
    set_num_threads(1);
    const MonteCarlo one = sample(three());
    set_num_threads(2);
    CHECK(equal(one, sample(three())));
    for (const Kernels* kernels : all_kernels()) {
      CAPTURE(kernels->name);
      use_kernels(kernels->name);
      CHECK(equal(one, sample(three())));
      const Surrogate* five[] = {three()[0], &surrogate("tanh"), three()[1], &surrogate("sigmoid"), three()[2]};
      MonteCarlo some = sample(five);
      some.coarse.erase(some.coarse.begin() + 3);
      some.coarse.erase(some.coarse.begin() + 1);
      CHECK(equal(one, some));
      CHECK(equal(one.loss, sample({}).loss));
    }
    use_kernels(table);
    set_num_threads(threads);
    CHECK_FALSE(equal(one, sample_coarse_gradients(p.model, p.point, three(), p.directions, 70000, Rng(1))));
  }

  TEST_CASE("all tables give the same bits for all small widths, odd ones too") {
    const std::string table = active_kernels().name;
    for (int n = 1; n <= 40; ++n) {
      CAPTURE(n);
      const Problem p = problem(1 + n % 4, n, 6);
      const auto sample = [&](const char* name) {
        use_kernels(name);
        return sample_coarse_gradients(p.model, p.point, three(), p.directions, 77, Rng(3));
      };
      const MonteCarlo reference = sample("scalar");
      for (const Kernels* kernels : all_kernels()) CHECK(equal(reference, sample(kernels->name)));
    }
    use_kernels(table);
  }

  TEST_CASE("the samples depend on the stream alone, so that an empirical loss can be descended") {
    const Problem p = problem(3, 4, 5);
    Rng rng(2);
    const MonteCarlo before = sample_coarse_gradients(p.model, p.point, three(), p.directions, 100, rng);
    rng.uniform();
    CHECK(equal(before, sample_coarse_gradients(p.model, p.point, three(), p.directions, 100, rng)));
  }

  TEST_CASE("lengths that do not fit are errors") {
    const Problem p = problem(3, 4, 5);
    const Rng rng(2);
    CHECK_THROWS_AS(sample_coarse_gradients(p.model, p.point, three(), p.directions, 0, rng), Error);
    CHECK_THROWS_AS(sample_coarse_gradients(p.model, {p.point.w, p.point.v}, three(), p.directions, 5, rng), Error);
    CHECK_THROWS_AS(sample_coarse_gradients(p.model, p.point, three(), {p.point.w, p.point.v}, 5, rng), Error);
  }
}
