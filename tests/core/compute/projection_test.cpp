#include "core/kernels/projection.h"

#include <optional>

#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

TEST_CASE("projection.magnitude, projection.encode and projection.decode: every table gives the reference's bits") {
  for_each_vector_table([](const Kernels& table, const Kernels& scalar) {
    for (const std::int64_t n : {0, 1, 7, 8, 15, 16, 17, 31, 33, 100, 1000, 4133})
      for (const bool flush : {false, true}) {
        std::optional<FlushDenormals> mode;
        if (flush) mode.emplace();
        const auto x = awkward(n, static_cast<unsigned>(n));
        const std::vector<float> thresholds{0.f, 0.5f, 1.f, 1.5f, 3.f};
        for (const int levels : {1, 3, 5}) {
          const auto run = [&](const Kernels& k) {
            auto codes = output<std::int8_t>(n);
            auto y = output<float>(n);
            double sums[2];
            float max;
            std::int64_t squares;
            k.real.projection.magnitude(n, x.data(), &sums[0], &max);
            k.real.projection.encode(n, x.data(), levels, thresholds.data(), codes.data(), &sums[1], &squares);
            k.real.projection.decode(n, codes.data(), 0.3f, y.data());
            std::vector<double> all(codes.begin(), codes.end());
            all.insert(all.end(), y.begin(), y.end());
            all.insert(all.end(), {sums[0], sums[1], max, static_cast<double>(squares)});
            return all;
          };
          CHECK(same_bits(run(table), run(scalar)));
        }
      }
  });
}
