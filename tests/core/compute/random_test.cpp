#include "core/compute/random.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <set>
#include <vector>

#include "core/base/check.h"
#include "core/base/parallel.h"

using namespace coarsegrad;

namespace {

template <class T>
std::vector<T> normals(Rng rng, std::size_t n) {
  std::vector<T> z(n);
  rng.normal(z.data(), n);
  return z;
}

double correlation(const std::vector<float>& x, const std::vector<float>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) sum += double{x[i]} * y[i];
  return sum / static_cast<double>(x.size());
}

// Chi-square of counts against equal probabilities, in standard deviations from its mean.
double chi_square_score(const std::vector<int>& counts) {
  const double cells = static_cast<double>(counts.size());
  const double expected = std::accumulate(counts.begin(), counts.end(), 0.0) / cells;
  double chi2 = 0;
  for (const int c : counts) chi2 += (c - expected) * (c - expected) / expected;
  return (chi2 - (cells - 1)) / std::sqrt(2 * (cells - 1));
}

}  // namespace

TEST_SUITE("quick") {
  TEST_CASE("a stream is written down as key and position and goes on from there") {
    Rng rng(7);
    rng.normal(std::vector<float>(100).data(), 100);
    Rng copy = Rng::at(rng.key(), rng.position());
    CHECK(normals<float>(rng, 333) == normals<float>(copy, 333));
    copy.set_position(0);
    CHECK(normals<float>(copy, 100) == normals<float>(Rng(7), 100));
    CHECK(normals<float>(rng, 333) != normals<float>(Rng(7), 333));
  }

  TEST_CASE("each call takes the stated number of blocks, and whole groups continue one another") {
    Rng rng(1);
    std::vector<float> f(100);
    std::vector<std::uint32_t> words(9);
    rng.bits(words.data(), 9);
    CHECK(rng.position() == 3);
    rng.uniform(f.data(), 5);
    CHECK(rng.position() == 5);
    rng.uniform();
    CHECK(rng.position() == 6);
    rng.normal(f.data(), 33);
    CHECK(rng.position() == 22);
    Rng pieces(3);
    pieces.normal(f.data(), 64);
    pieces.normal(f.data() + 64, 36);
    CHECK(f == normals<float>(Rng(3), 100));
  }

  TEST_CASE(
      "children depend on key and name alone, and all names, numbers and generations give different "
      "streams") {
    Rng rng(5);
    const Rng before = rng.split("conv1");
    rng.uniform();
    CHECK(rng.split("conv1").key() == before.key());
    CHECK(before.position() == 0);
    std::set<std::uint64_t> keys{rng.key()};
    std::size_t made = 1;
    for (const char* name : {"", "a", "b", "ab", "ba", "layer1.0", "layer1.1", "layer10"}) {
      const Rng child = rng.split(name);
      keys.insert(child.key());
      keys.insert(child.split("a").key());
      made += 2;
    }
    for (std::uint64_t i = 0; i < 1000; ++i, made += 2) {
      keys.insert(rng.split(i).key());
      keys.insert(Rng(i + 100).key());
    }
    CHECK(keys.size() == made);
  }

  TEST_CASE("neighbouring seeds, children and positions are uncorrelated, while the same stream is not") {
    constexpr std::size_t n = 200000;
    const double bound = 5 / std::sqrt(double{n});
    const auto base = normals<float>(Rng(0), n);
    Rng later(0);
    later.set_position(8);
    CHECK(std::abs(correlation(base, normals<float>(Rng(1), n))) < bound);
    CHECK(std::abs(correlation(base, normals<float>(Rng(0).split("a"), n))) < bound);
    CHECK(std::abs(correlation(normals<float>(Rng(0).split("a"), n), normals<float>(Rng(0).split("b"), n))) < bound);
    CHECK(std::abs(correlation(normals<float>(Rng(0).split(0), n), normals<float>(Rng(0).split(1), n))) < bound);
    CHECK(std::abs(correlation(base, normals<float>(later, n))) < bound);
    CHECK(correlation(base, normals<float>(Rng(0), n)) > 0.9);  // the check can fail
  }

  TEST_CASE("uniform numbers stay in their interval and fill it evenly") {
    Rng rng(11);
    constexpr std::size_t n = 100000;
    std::vector<float> f(n);
    std::vector<double> d(n);
    rng.uniform(f.data(), n, -2.0f, 3.0f);
    rng.set_position(0);
    rng.uniform(d.data(), n, -2.0, 3.0);
    std::vector<int> counts(50);
    double difference = 0;
    for (std::size_t i = 0; i < n; ++i) {
      REQUIRE(f[i] >= -2.0f);
      REQUIRE(f[i] < 3.0f);
      ++counts[static_cast<std::size_t>((d[i] + 2) * 10)];
      difference = std::max(difference, std::abs(f[i] - d[i]));
    }
    CHECK(std::abs(chi_square_score(counts)) < 5);
    CHECK(difference < 1e-6);
    counts[3] += 300;
    CHECK(std::abs(chi_square_score(counts)) > 5);  // the check can fail
    float tight[64];
    rng.uniform(tight, 64, 1.0f, std::nextafter(1.0f, 2.0f));
    CHECK(std::all_of(tight, tight + 64, [](float x) { return x == 1.0f; }));
    CHECK_THROWS_AS(rng.uniform(tight, 64, 1.0f, 0.0f), Error);
    for (int i = 0; i < 1000; ++i) {
      const double u = rng.uniform();
      REQUIRE((u >= 0 && u < 1));
    }
  }

  TEST_CASE("double variates are the float ones to single precision") {
    const auto f = normals<float>(Rng(2), 100003);
    const auto d = normals<double>(Rng(2), 100003);
    double worst = 0;
    for (std::size_t i = 0; i < f.size(); ++i) worst = std::max(worst, std::abs(f[i] - d[i]));
    CHECK(worst < 1e-6);
    CHECK(worst > 0);
    std::vector<double> scaled(100);
    Rng(2).normal(scaled.data(), 100, 3.0, 0.5);
    CHECK(scaled[99] == 3.0 + 0.5 * d[99]);
  }

  TEST_CASE("numbers do not depend on the number of threads") {
    const int threads = num_threads();
    constexpr std::size_t n = 300001;
    std::vector<float> u1(n), u2(n);
    set_num_threads(1);
    const auto one = normals<float>(Rng(4), n);
    Rng(4).uniform(u1.data(), n);
    set_num_threads(2);
    const auto two = normals<float>(Rng(4), n);
    Rng(4).uniform(u2.data(), n);
    set_num_threads(threads);
    CHECK(one == two);
    CHECK(u1 == u2);
  }

  TEST_CASE("below(n) reaches each number equally often, also when n does not divide the range") {
    Rng rng(13);
    std::vector<int> counts(7);
    for (int i = 0; i < 70000; ++i) ++counts[rng.below(7)];
    CHECK(std::abs(chi_square_score(counts)) < 5);
    // Two thirds of the range: without rejection the lower half would come twice as often.
    const std::uint64_t n = std::uint64_t{3} << 62;
    int low = 0;
    for (int i = 0; i < 10000; ++i) low += rng.below(n) < n / 2;
    CHECK(std::abs(low - 5000) < 5 * 50);
    CHECK(rng.below(1) == 0);
    CHECK_THROWS_AS(rng.below(0), Error);
  }

  TEST_CASE("shuffle gives each order equally often") {
    Rng rng(17);
    std::vector<int> counts(24);
    for (int i = 0; i < 24000; ++i) {
      std::array<int, 4> order{0, 1, 2, 3};
      rng.shuffle(std::span<int>(order));
      std::size_t index = 0;  // the number of the permutation in lexicographic order
      for (std::size_t j = 0; j < 4; ++j) {
        const auto smaller = std::count_if(order.begin() + static_cast<std::ptrdiff_t>(j), order.end(),
                                           [&](int x) { return x < order[j]; });
        index = index * (4 - j) + static_cast<std::size_t>(smaller);
      }
      ++counts[index];
    }
    CHECK(std::abs(chi_square_score(counts)) < 5);
  }
}
