#include "core/compute/stochastic.h"

#include <optional>

#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

const std::vector<std::int64_t> kLengths{1, 2, 7, 8, 15, 16, 17, 31, 33, 63, 64, 65, 100, 1000, 4133};

std::vector<std::uint16_t> draws_of(std::int64_t n) {
  std::vector<std::uint32_t> words(static_cast<std::size_t>(n));
  Rng(9).bits(words.data(), words.size());
  return {words.begin(), words.end()};
}

}  // namespace

TEST_CASE(
    "stochastic.range, stochastic.round, stochastic.combine, stochastic.combined_range, stochastic.round_combined and "
    "stochastic.decode: every table gives the reference's bits") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : kLengths)
      for (const bool flush : {false, true}) {
        std::optional<FlushDenormals> mode;
        if (flush) mode.emplace();
        const auto draws = draws_of(n);
        const auto t = gaussian(n, 5);
        for (const auto& x : {awkward(n, static_cast<unsigned>(n)), gaussian(n, 3, 0.5f)})
          for (const int bins : {1, 3, 31, 255})
            for (const std::uint16_t* drawn : {draws.data(), static_cast<const std::uint16_t*>(nullptr)}) {
              const kernels::Grid<float> grid{0.1f, 4.f / static_cast<float>(bins), static_cast<float>(bins) / 4.f,
                                              bins};
              const kernels::Combination<float> mix{0.3f, 0.2f, -1.7f, 0.01f};
              const auto run = [&](const Kernels& k) {
                auto y = output<float>(4 + 5 * n);
                float* const out = y.data() + 4;
                k.real.stochastic.range(n, x.data(), y.data(), y.data() + 1);
                k.real.stochastic.combined_range(n, mix, x.data(), t.data(), y.data() + 2, y.data() + 3);
                k.real.stochastic.round(n, grid, drawn, x.data(), out);
                k.real.stochastic.combine(n, mix, x.data(), t.data(), out + n);
                std::copy_n(t.data(), n, out + 3 * n);
                k.real.stochastic.round_combined(n, mix, grid, drawn, x.data(), t.data(), 0.7f, out + 2 * n,
                                                 out + 3 * n);
                std::vector<std::uint8_t> codes(draws.begin(), draws.end());
                for (std::uint8_t& code : codes) code = static_cast<std::uint8_t>(code % (bins + 1));
                k.real.stochastic.decode(n, grid, codes.data(), out + 4 * n);
                return y;
              };
              CHECK(same_bits(run(table), run(scalar)));
            }
      }
  });
}

TEST_CASE("stochastic.encode and stochastic.decode: codes are the reference's, and their points what round() gives") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : kLengths) {
      const auto draws = draws_of(n);
      const auto x = gaussian(n, 3, 0.5f);
      for (const int bins : {1, 3, 31, 255})
        for (const std::uint16_t* drawn : {draws.data(), static_cast<const std::uint16_t*>(nullptr)}) {
          const kernels::Grid<float> grid{0.1f, 4.f / static_cast<float>(bins), static_cast<float>(bins) / 4.f, bins};
          auto codes = output<std::uint8_t>(n), expected = codes;
          table.real.stochastic.encode(n, grid, drawn, x.data(), codes.data());
          scalar.real.stochastic.encode(n, grid, drawn, x.data(), expected.data());
          CHECK(codes == expected);
          std::vector<float> points(x.size()), rounded(x.size());
          table.real.stochastic.decode(n, grid, codes.data(), points.data());
          table.real.stochastic.round(n, grid, drawn, x.data(), rounded.data());
          CHECK(same_bits(points, rounded));
        }
    }
  });
}

TEST_CASE("fused stochastic kernels do what the parts do one after another") {
  with_each_table([] {
    const auto& k = active_kernels().real.stochastic;
    const std::int64_t n = 1000;
    const auto x = gaussian(n, 1), t = gaussian(n, 2), back0 = gaussian(n, 3);
    const auto draws = draws_of(n);
    const kernels::Grid<float> grid{0.1f, 0.2f, 5.f, 15};
    const kernels::Combination<float> mix{0.3f, 0.2f, -1.7f, 0.01f};
    std::vector<float> c(x.size()), y(x.size()), fused(x.size()), back = back0, fused_back = back0;
    k.combine(n, mix, x.data(), t.data(), c.data());
    float ranges[4];
    k.range(n, c.data(), ranges, ranges + 1);
    k.combined_range(n, mix, x.data(), t.data(), ranges + 2, ranges + 3);
    CHECK(ranges[0] == ranges[2]);
    CHECK(ranges[1] == ranges[3]);
    k.round(n, grid, draws.data(), c.data(), y.data());
    k.combine(n, {0.7f, 0, 1, 0}, y.data(), back.data(), back.data());
    k.round_combined(n, mix, grid, draws.data(), x.data(), t.data(), 0.7f, fused.data(), fused_back.data());
    CHECK(same_bits(y, fused));
    CHECK(same_bits(back, fused_back));
  });
}

TEST_CASE("stochastic.range: extremes, zeros of either sign, what is not finite") {
  with_each_table([] {
    const auto range = [](const std::vector<float>& x) {
      Interval<float> r;
      active_kernels().real.stochastic.range(static_cast<std::int64_t>(x.size()), x.data(), &r.low, &r.high);
      return r;
    };
    for (const std::int64_t n : kLengths) {
      auto x = gaussian(n, static_cast<unsigned>(n));
      CHECK(range(x).low == *std::min_element(x.begin(), x.end()));
      CHECK(range(x).high == *std::max_element(x.begin(), x.end()));
      for (const float bad : {INFINITY, -INFINITY, NAN})
        for (const std::int64_t at : {std::int64_t{0}, n / 2, n - 1}) {
          auto y = x;
          y[static_cast<std::size_t>(at)] = bad;
          CHECK(std::isnan(range(y).low));
          CHECK(std::isnan(range(y).high));
        }
    }
    CHECK(same_bits(range({-0.f, -0.f}).low, 0.f));
    CHECK(same_bits(range({-0.f, -0.f}).high, 0.f));
  });
}

TEST_CASE("rounding: an element between two points goes up with the probability of its place between them") {
  const Grid<double> grid = grid_over(Interval<double>{-1, 2}, 3);
  CHECK(grid.step == 1);
  const auto kernel = real_kernels<double>().stochastic.round;
  const auto rounded = [&](double x, std::uint16_t draw) {
    double y;
    kernel(1, grid, &draw, &x, &y);
    return y;
  };
  const auto high = [](double share) { return static_cast<std::uint16_t>(share * 65536); };
  CHECK(rounded(0.25, high(0.2499)) == 1);
  CHECK(rounded(0.25, high(0.2501)) == 0);
  CHECK(rounded(-0.75, 0) == 0);
  CHECK(rounded(-0.75, high(0.9999)) == -1);
  for (const double at : {-1.0, 0.0, 1.0, 2.0})  // a point of the grid stays, whatever is drawn
    for (const std::uint16_t draw : {0, 0x8000, 0xFFFF}) CHECK(rounded(at, draw) == at);
  CHECK(rounded(-7, 0) == -1);
  CHECK(rounded(7, 0xFFFF) == 2);
  const double ties[] = {-0.5, 0.5, 1.5};
  double nearest[3];
  kernel(3, grid, nullptr, ties, nearest);  // indices 1/2, 3/2, 5/2 go to the even one
  CHECK(nearest[0] == -1);
  CHECK(nearest[1] == 1);
  CHECK(nearest[2] == 1);
}

TEST_CASE("rows of any length are rounded as pieces of them are, with one and with two threads") {
  const Rng rng = Rng::at(17, 5);
  for (const auto& shape : std::vector<std::pair<std::int64_t, std::int64_t>>{
           {1, 1}, {3, 5}, {100, 10}, {2, 32768}, {3, 70001}, {1, 140000}}) {
    const std::int64_t rows = shape.first, cols = shape.second;
    INFO(rows, " x ", cols);
    const auto x = gaussian(rows * cols, 1);
    const auto run = [&] {
      std::vector<float> y(x.size());
      round_rows(rows, cols, x.data(), RowRange::min_max, 15, &rng, y.data());
      return y;
    };
    CHECK(same_with_two_threads(run));
    std::vector<Interval<float>> ranges(static_cast<std::size_t>(rows));
    row_ranges(rows, cols, x.data(), RowRange::min_max, ranges.data());
    std::vector<float> pieces(x.size());
    for (std::int64_t row = 0; row < rows; ++row) {
      const auto grid = grid_over(ranges[static_cast<std::size_t>(row)], 15);
      for (std::int64_t begin = 0; begin < cols; begin += 440) {
        const std::int64_t first = row * cols + begin, count = std::min<std::int64_t>(440, cols - begin);
        const RoundingDraws draws(&rng, row, cols, begin, count);
        real_kernels<float>().stochastic.round(count, grid, draws.data(), x.data() + first, pieces.data() + first);
      }
    }
    CHECK(same_bits(run(), pieces));
  }
}

TEST_CASE("grids: constants, ranges that are hardly any, too many bins") {
  const Grid<float> constant = grid_over(Interval<float>{3.5f, 3.5f}, 15);
  CHECK(constant.center == 3.5f);
  CHECK(constant.step == 0);
  CHECK(constant.inverse == 0);
  const Grid<float> tiny = grid_over(Interval<float>{0.f, 1e-37f}, 255);
  CHECK(std::isnormal(tiny.step));
  CHECK(std::isnormal(tiny.inverse));
  CHECK(std::isnan(grid_over(Interval<float>{NAN, NAN}, 3).step));
  CHECK_THROWS_AS(grid_over(Interval<float>{0, 1}, 0), Error);
  CHECK_THROWS_AS(grid_over(Interval<float>{0, 1}, 256), Error);
  const auto both = hull(Interval<float>{-1, 2}, Interval<float>{0, 3});
  CHECK(both.low == -1);
  CHECK(both.high == 3);
  CHECK(std::isnan(hull(Interval<float>{-1, 2}, Interval<float>{NAN, NAN}).low));
}
