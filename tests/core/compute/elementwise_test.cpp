#include "core/compute/elementwise.h"

#include "core/base/check.h"
#include "core/kernels/math.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

const std::int64_t kSizes[] = {0, 1, 3, 10, 15, 16, 17, 33, 64, 1000};

// All floats of every size and sign: a step through the bit patterns that hits each exponent often.
std::vector<float> all_sizes() {
  std::vector<float> x;
  for (std::uint64_t bits = 0; bits < (std::uint64_t{1} << 32); bits += 4093)
    x.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
  return x;
}

// n values from low to high.
std::vector<float> line(double low, double high, std::size_t n) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i)
    x[i] = static_cast<float>(low + (high - low) * static_cast<double>(i) / static_cast<double>(n - 1));
  return x;
}

using Function = void (*)(std::int64_t, const float*, float*);

// The largest relative error in units of 2^-23; 0 is right for anything below the smallest normal number, and
// subnormal arguments are left out.
double worst_ulp(Function f, double (*exact)(double), const std::vector<float>& x) {
  std::vector<float> y(x.size());
  f(static_cast<std::int64_t>(x.size()), x.data(), y.data());
  double worst = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::fpclassify(x[i]) == FP_SUBNORMAL) continue;
    const double want = exact(x[i]), got = y[i];
    double error = std::abs(got - want) / std::abs(want) * 0x1p23;
    if (got == want || (std::isnan(got) && std::isnan(want))) error = 0;
    if (std::abs(want) < 0x1p-126 && std::abs(got) <= 0x1p-126) error = 0;
    if (std::isinf(got) && std::abs(want) > 0x1.fffffep127) error = 0;
    worst = std::isnan(error) ? 1e30 : std::max(worst, error);
  }
  return worst;
}

double exact_sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

TEST_CASE("exp, log, tanh, sigmoid: within the stated error of the true value, for every table and all floats") {
  using namespace kernels;
  with_each_table([] {
    const auto& math = active_kernels().real.math;
    for (const auto& x : {all_sizes(), line(-110, 100, 300001), line(-2, 2, 300001), line(0.5, 2, 300001)}) {
      CHECK(worst_ulp(math.exp, std::exp, x) <= kExpUlp);
      CHECK(worst_ulp(math.log, std::log, x) <= kLogUlp);
      CHECK(worst_ulp(math.tanh, std::tanh, x) <= kTanhUlp);
      CHECK(worst_ulp(math.sigmoid, exact_sigmoid, x) <= kSigmoidUlp);
    }
  });
}

TEST_CASE("error measurement: a function that is off by 3 units in the last place is noticed") {
  const Function off = [](std::int64_t n, const float* x, float* y) {
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<float>(std::exp(double(x[i])) * (1 + 3 * 0x1p-23));
  };
  CHECK(worst_ulp(off, std::exp, line(-2, 2, 1000)) > kernels::kExpUlp);
  const Function nan = [](std::int64_t n, const float*, float* y) { std::fill_n(y, n, NAN); };
  CHECK(worst_ulp(nan, std::exp, line(-2, 2, 1000)) > kernels::kExpUlp);
}

TEST_CASE("exp, log, tanh, sigmoid: the values at the ends, and tails that write nothing beyond them") {
  const float inf = std::numeric_limits<float>::infinity();
  with_each_table([inf] {
    const auto& math = active_kernels().real.math;
    const auto at = [](Function f, float x) {
      float y = 0;
      f(1, &x, &y);
      return y;
    };
    CHECK(at(math.exp, 0) == 1);
    CHECK(at(math.exp, -inf) == 0);
    CHECK(at(math.exp, inf) == inf);
    CHECK(at(math.exp, 89) == inf);
    CHECK(at(math.log, 1) == 0);
    CHECK(at(math.log, 0) == -inf);
    CHECK(at(math.log, inf) == inf);
    CHECK(std::isnan(at(math.log, -1)));
    CHECK(at(math.tanh, inf) == 1);
    CHECK(at(math.tanh, -40) == -1);
    CHECK(std::signbit(at(math.tanh, -0.f)));
    CHECK(at(math.sigmoid, 0) == 0.5f);
    CHECK(at(math.sigmoid, -inf) == 0);
    for (const Function f : {math.exp, math.log, math.tanh, math.sigmoid}) {
      CHECK(std::isnan(at(f, NAN)));
      for (const std::int64_t n : kSizes) {
        const std::vector<float> x(static_cast<std::size_t>(n), 0.5f);
        auto y = output<float>(n);
        f(n, x.data(), y.data());
        CHECK(std::all_of(y.begin() + n, y.end(), [](float v) { return v == 77; }));
        CHECK(std::all_of(y.begin(), y.begin() + n, [&](float v) { return v == y[0]; }));
      }
    }
  });
}

TEST_CASE("accumulate, scale, add_row kernels: every table gives the bits of the reference") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t rows : {1, 2, 5})
      for (const std::int64_t cols : kSizes) {
        const std::int64_t n = rows * cols;
        const auto x = awkward(n, 1), y0 = gaussian(n, 2), row = gaussian(cols, 3);
        const auto run = [&](const Kernels& k) {
          auto sum = output<float>(n), scaled = sum, shifted = sum;
          std::copy(y0.begin(), y0.end(), sum.begin());
          k.real.elementwise.accumulate(n, x.data(), sum.data());
          k.real.elementwise.scale(n, 0.3f, x.data(), scaled.data());
          k.real.elementwise.add_row(rows, cols, row.data(), x.data(), shifted.data());
          sum.insert(sum.end(), scaled.begin(), scaled.end());
          sum.insert(sum.end(), shifted.begin(), shifted.end());
          return sum;
        };
        CHECK(same_bits(run(table), run(scalar)));
      }
  });
}

TEST_CASE("fill, add_row and column_sums: right for narrow and wide matrices, for every table") {
  with_each_table([] {
    for (const std::int64_t rows : {0, 1, 2, 129, 5000})
      for (const std::int64_t cols : {1, 3, 10, 16, 33, 64, 200}) {
        INFO(rows, " x ", cols);
        const auto x = gaussian(rows * cols, 4), row = gaussian(cols, 5);
        std::vector<float> y(x.size()), sums(row.size()), filled(x.size());
        add_row(rows, cols, row.data(), x.data(), y.data());
        column_sums(rows, cols, x.data(), sums.data());
        fill(rows * cols, 3.f, filled.data());
        CHECK(filled == std::vector<float>(x.size(), 3.f));
        std::vector<double> want(row.size());
        bool right = true;
        for (std::size_t i = 0; i < x.size(); ++i) {
          want[i % row.size()] += x[i];
          right = right && y[i] == x[i] + row[i % row.size()];
        }
        CHECK(right);
        for (std::size_t c = 0; c < row.size(); ++c)
          CHECK(std::abs(sums[c] - want[c]) <= 1e-6 * std::sqrt(static_cast<double>(rows)) + 1e-6 * std::abs(want[c]));
      }
  });
}

TEST_CASE("softmax and log-softmax: equal the definitions to 1e-6, for every table and row length") {
  with_each_table([] {
    for (const std::int64_t cols : {1, 2, 10, 16, 17, 100, 1000})
      for (const float size : {1.f, 30.f}) {
        const std::int64_t rows = 7;
        const auto x = gaussian(rows * cols, 6, 100, size);
        auto y = output<float>(rows * cols), z = y;
        softmax_forward(rows, cols, x.data(), y.data());
        log_softmax_forward(rows, cols, x.data(), z.data());
        for (std::int64_t r = 0; r < rows; ++r) {
          const float* xr = x.data() + r * cols;
          const double m = *std::max_element(xr, xr + cols);
          double sum = 0;
          for (std::int64_t c = 0; c < cols; ++c) sum += std::exp(xr[c] - m);
          for (std::int64_t c = 0; c < cols; ++c) {
            const auto i = static_cast<std::size_t>(r * cols + c);
            const double p = std::exp(xr[c] - m) / sum, log_p = xr[c] - m - std::log(sum);
            CHECK(std::abs(y[i] - p) <= 1e-6 * p + 1e-37);
            CHECK(std::abs(z[i] - log_p) <= 1e-6 * (1 + std::abs(log_p)));
          }
        }
        CHECK(y.back() == 77);
        CHECK(z[static_cast<std::size_t>(rows * cols)] == 77);
      }
  });
}

TEST_CASE("softmax: a row with NaN or infinity becomes NaN and leaves the others alone") {
  with_each_table([] {
    for (const float bad : {static_cast<float>(NAN), std::numeric_limits<float>::infinity()})
      for (const std::size_t at : {std::size_t{0}, std::size_t{19}}) {
        std::vector<float> x(40, 1.f), y(40), z(40);
        x[at] = bad;
        softmax_forward(2, 20, x.data(), y.data());
        log_softmax_forward(2, 20, x.data(), z.data());
        for (std::size_t i = 0; i < 40; ++i) {
          CHECK(std::isnan(y[i]) == (i < 20));
          CHECK(std::isnan(z[i]) == (i < 20));
        }
      }
  });
}

namespace {

const SgdStep<float> kSgdSteps[] = {{0.1f, 0, 0, false, true},        {0.1f, 0, 1e-2f, false, false},
                                    {0.1f, 0.9f, 1e-2f, false, true}, {0.1f, 0.9f, 1e-2f, false, false},
                                    {0.1f, 0.9f, 0, true, false},     {0.1f, 0.9f, 1e-2f, true, true}};
const AdamStep<float> kAdamStep{0.9f, 0.999f, 0.1f, 0.001f, 1e-8f, 1e-2f, 0.01f, 0.03f};

// Weight and state after one step from fixed values, one after another.
std::vector<float> after_sgd(const Kernels& k, std::int64_t n, const SgdStep<float>& step) {
  const auto g = gaussian(n, 1);
  auto w = gaussian(n, 2), buf = gaussian(n, 3);
  w.resize(w.size() + kGuard);
  buf.resize(buf.size() + kGuard);
  k.real.update.sgd(n, step, g.data(), w.data(), buf.data());
  w.insert(w.end(), buf.begin(), buf.end());
  return w;
}
std::vector<float> after_adam(const Kernels& k, std::int64_t n) {
  const auto g = gaussian(n, 4);
  auto w = gaussian(n, 5), m = gaussian(n, 6), v = gaussian(n, 7, 3, 0.1f);
  for (auto* state : {&w, &m, &v}) state->resize(state->size() + kGuard);
  k.real.update.adam(n, kAdamStep, g.data(), w.data(), m.data(), v.data());
  w.insert(w.end(), m.begin(), m.end());
  w.insert(w.end(), v.begin(), v.end());
  return w;
}

}  // namespace

TEST_CASE("SGD and Adam kernels: every table gives the bits of the reference") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : kSizes) {
      for (const auto& step : kSgdSteps) CHECK(same_bits(after_sgd(table, n, step), after_sgd(scalar, n, step)));
      CHECK(same_bits(after_adam(table, n), after_adam(scalar, n)));
    }
  });
}

TEST_CASE("SGD: two steps by hand, with momentum, Nesterov and weight decay, in double") {
  const double rate = 0.1, momentum = 0.9, decay = 0.01, g = 2;
  for (const bool nesterov : {false, true}) {
    double w = 1, buf = 0, want = 1, b = 0;
    for (const bool first : {true, false}) {
      sgd_update<double>(1, {rate, momentum, decay, nesterov, first}, &g, &w, &buf);
      const double d = g + decay * want;
      b = first ? d : momentum * b + d;
      want -= rate * (nesterov ? d + momentum * b : b);
      CHECK(w == want);
      CHECK(buf == b);
    }
  }
}

TEST_CASE("SGD: momentum without a buffer is an error, without momentum none is needed") {
  const float g = 1;
  float w = 1;
  CHECK_THROWS_AS(sgd_update<float>(1, {0.1f, 0.9f, 0, false, true}, &g, &w, nullptr), Error);
  sgd_update<float>(1, {0.5f, 0, 0, false, true}, &g, &w, nullptr);
  CHECK(w == 0.5f);
}

TEST_CASE("elementwise sweeps: bitwise the same with 1 and with 2 threads, for every table") {
  with_each_table([] {
    const std::int64_t rows = 20001, cols = 10;
    const auto x = gaussian(rows * cols, 8);
    CHECK(same_with_two_threads([&] {
      std::vector<float> all, y(x.size()), sums(static_cast<std::size_t>(cols));
      const auto keep = [&](const std::vector<float>& v) { all.insert(all.end(), v.begin(), v.end()); };
      column_sums(rows, cols, x.data(), sums.data());
      keep(sums);
      softmax_forward(rows, cols, x.data(), y.data());
      keep(y);
      add_row(rows, cols, sums.data(), x.data(), y.data());
      keep(y);
      for (const auto f : {exp_forward<float>, log_forward<float>, tanh_forward<float>, sigmoid_forward<float>}) {
        f(rows * cols, x.data(), y.data());
        keep(y);
      }
      accumulate(rows * cols, x.data(), y.data());
      scale(rows * cols, 0.3f, y.data(), y.data());
      keep(y);
      std::vector<float> m(x.size()), v(x.size());
      sgd_update<float>(rows * cols, {0.1f, 0.9f, 0.01f, true, false}, x.data(), y.data(), m.data());
      adam_update(rows * cols, kAdamStep, x.data(), y.data(), m.data(), v.data());
      keep(y);
      return all;
    }));
  });
}
