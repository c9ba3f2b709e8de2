// The kernels of sampling, of the two-layer Monte Carlo and of matrix products, each by itself, against the reference.
#include "tests/support/tables.h"

#include "core/kernels/sampling.h"
#include "core/kernels/two_layer.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

TEST_CASE("philox kernel: every table gives the words of the reference, up to counters that overflow 32 bits") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::uint64_t counter : {std::uint64_t{0}, std::uint64_t{5}, (std::uint64_t{1} << 32) - 3})
      for (const std::int64_t n : {0, 1, 3, 4, 15, 64, 67, 1001}) {
        const auto run = [&](const Kernels& k) {
          auto words = output<std::uint32_t>(n);
          k.sampling.philox(0x123456789ABCDEF0, 7, counter, words.data(), static_cast<std::size_t>(n));
          return words;
        };
        CHECK(run(table) == run(scalar));
      }
  });
}

TEST_CASE("normal kernel: every table gives the bits of the reference, for lengths that end within a group") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : {0, 1, 15, 16, 17, 31, 32, 33, 100, 1024, 4099}) {
      const auto run = [&](const Kernels& k) {
        auto z = output<float>(n);
        k.sampling.normal(42, 1, 3, z.data(), static_cast<std::size_t>(n));
        return z;
      };
      CHECK(same_bits(run(table), run(scalar)));
    }
  });
}

namespace {

// What one group of samples leaves behind, everything in one array.
std::vector<float> group_of_samples(const Kernels& k, std::size_t m, std::size_t n, std::size_t valid) {
  constexpr std::size_t lanes = kernels::kGaussLanes, stes = 3;
  const auto v = gaussian(static_cast<std::int64_t>(m), 1), v_star = gaussian(static_cast<std::int64_t>(m), 2);
  const auto w = gaussian(static_cast<std::int64_t>(n), 3), w_star = gaussian(static_cast<std::int64_t>(n), 4);
  const auto directions = gaussian(static_cast<std::int64_t>(2 * n), 5);
  const kernels::TwoLayerModel model{m, n, v.data(), w.data(), v_star.data(), w_star.data()};
  const auto room = [](std::size_t values) { return output<float>(static_cast<std::int64_t>(values)); };
  auto z = room(m * model.row() * lanes), a = room(m * lanes), b = a, grad_v = a, grad_v_square = a;
  auto residual = room(lanes), sum = room(stes * n * lanes), square = sum, along = room(stes * 2 * lanes);
  auto derivative = gaussian(static_cast<std::int64_t>(stes * m * lanes), 6);
  k.two_layer.draw(11, 12, model, z.data(), a.data(), b.data());
  k.two_layer.residual(model, a.data(), b.data(), valid, residual.data(), grad_v.data(), grad_v_square.data());
  k.two_layer.gradient(model, stes, z.data(), residual.data(), directions.data(), derivative.data(), sum.data(),
                       square.data(), along.data());
  for (const auto* part : {&a, &b, &residual, &grad_v, &grad_v_square, &sum, &square, &along})
    z.insert(z.end(), part->begin(), part->end());
  return z;
}

}  // namespace

TEST_CASE(
    "two-layer kernels: every table gives the bits of the reference, odd sizes and unfilled groups "
    "included") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::size_t m : {1, 2, 10, 33})
      for (const std::size_t n : {1, 2, 7, 20, 101})
        for (const std::size_t valid : {1, 16})
          CHECK(same_bits(group_of_samples(table, m, n, valid), group_of_samples(scalar, m, n, valid)));
  });
}

TEST_CASE("tile and transpose kernels: small integers multiply exactly, in every table and shape of tile") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    const auto& family = table.real.matmul;
    for (int vectors = 1; vectors <= family.kMaxVectors; ++vectors)
      for (int rows = 1; rows <= family.max_rows[vectors]; ++rows)
        for (const int columns : {(vectors - 1) * family.lanes + 1, vectors * family.lanes}) {
          constexpr std::int64_t kSteps = 9;
          std::vector<float> a(static_cast<std::size_t>(rows * kSteps)), b(static_cast<std::size_t>(columns * kSteps));
          for (std::size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i % 7) - 3;
          for (std::size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(i % 5) - 2;
          const auto run = [&](const Kernels& k) {
            auto c = output<float>(rows * columns);
            k.real.matmul.tile({.a = a.data(),
                                .a_row = kSteps,
                                .b = b.data(),
                                .steps = {1, 3, 3},
                                .a_step = {0, 3, 1},
                                .b_step = {0, 3 * columns, columns},
                                .c = c.data(),
                                .c_row = columns,
                                .rows = rows,
                                .columns = columns,
                                .accumulate = rows % 2 == 0});
            return c;
          };
          CHECK(same_bits(run(table), run(scalar)));
        }
    for (const std::int64_t rows : {1, 8, 17, 64})
      for (const std::int64_t columns : {1, 7, 16, 33}) {
        const auto x = gaussian(rows * (columns + 3), 7);
        const auto run = [&](const Kernels& k) {
          auto y = output<float>(columns * (rows + 2));
          k.real.matmul.transpose(rows, columns, x.data(), columns + 3, y.data(), rows + 2);
          return y;
        };
        CHECK(same_bits(run(table), run(scalar)));
      }
  });
}
