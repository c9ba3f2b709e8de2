#include "core/compute/conv.h"

#include <doctest/doctest.h>

#include <ostream>
#include <string>

#include "core/base/check.h"
#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/conv_winograd.h"
#include "core/compute/float_weights.h"
#include "core/kernels/kernels.h"
#include "tests/support/conv_case.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

// In float epsilons of the sum of the products' magnitudes: what conv.h promises.
constexpr double kWinogradError = 128;

template <class T>
void check_convolution(const ConvShape& s) {
  for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
    INFO(name(s), fill == Fill::kIntegers ? ", integers" : ", reals");
    const Case<T> c(s, fill);
    CHECK(worst_error(c.forward(false), c.reference_forward(false)) <= allowed_error(fill));
    CHECK(worst_error(c.forward(true), c.reference_forward(true)) <= allowed_error(fill));
    CHECK(worst_error(c.backward_data(), c.reference_backward_data()) <= allowed_error(fill));
    CHECK(worst_error(c.backward_weight(), c.reference_backward_weight()) <= allowed_error(fill));
  }
}

template <class T, class From, class Map>
std::vector<T> mapped(const std::vector<From>& from, Map map) {
  std::vector<T> to;
  for (const From& v : from) to.push_back(static_cast<T>(map(v)));
  return to;
}

// The convolution in double stands in for the definition, which is slow on large layers: of the values, and
// of the magnitudes that errors are measured by. Each product may be as inexact as its algorithm.
void check_layer(const ConvShape& s) {
  const Case<float> c(s, Fill::kReals);
  Case<double> value(ConvShape{}, Fill::kReals), magnitude = value;
  for (Case<double>* reference : {&value, &magnitude}) {
    const auto map = [&](float v) { return reference == &value ? static_cast<double>(v) : std::abs(v); };
    reference->s = s;
    reference->x = mapped<double>(c.x, map);
    reference->weight = mapped<double>(c.weight, map);
    reference->bias = mapped<double>(c.bias, map);
    reference->dy = mapped<double>(c.dy, map);
  }
  const auto sums = [](std::vector<double> values, std::vector<double> magnitudes) {
    ReferenceSums both(0);
    both.value = std::move(values);
    both.magnitude = std::move(magnitudes);
    return both;
  };
  const ReferenceSums y = sums(value.forward(true), magnitude.forward(true));
  const ReferenceSums dx = sums(value.backward_data(), magnitude.backward_data());
  const ReferenceSums dweight = sums(value.backward_weight(), magnitude.backward_weight());
  with_each_table([&] {
    INFO(name(s));
    const auto allowed = [](bool by_winograd) { return by_winograd ? kWinogradError : allowed_error(Fill::kReals); };
    CHECK(worst_error(c.forward(true), y) <= allowed(winograd::covers(s)));
    CHECK(worst_error(c.backward_data(), dx) <= allowed(winograd::covers_data(s)));
    CHECK(worst_error(c.backward_weight(), dweight) <= allowed(winograd::covers_weight(s)));
  });
}

}  // namespace

TEST_SUITE("conv") {
  TEST_CASE("convolutions in float: integers exactly, reals within the bound, on every kernel table" *
            doctest::test_suite("conv long")) {
    const OneThread one;
    with_each_table([] {
      for_each_ordinary_shape(check_convolution<float>);
      for_each_unusual_shape(check_convolution<float>);
      for (const ConvShape& s : kCorners) check_convolution<float>(s);
    });
  }

  TEST_CASE("convolutions in double: integers exactly, reals within the bound") {
    const OneThread one;
    for_each_unusual_shape(check_convolution<double>);
    for (const ConvShape& s : kCorners) check_convolution<double>(s);
    for_each_ordinary_shape([turn = 0](const ConvShape& s) mutable {
      if (turn++ % 7 == 0) check_convolution<double>(s);
    });
  }

  TEST_CASE("convolutions of the networks' layers agree with those in double, on every kernel table" *
            doctest::test_suite("conv long")) {
    for (const ConvShape& s : kLayers) check_layer(s);
  }

  TEST_CASE("convolutions by Winograd's algorithm agree with those in double, a digit less exactly") {
    for (const ConvShape& s : kWinogradLayers) {
      for (const Kernels* table : all_kernels()) {
        use_kernels(table->name);
        CHECK(winograd::covers_data(s) == (table->real.matmul.lanes > 0));
      }
      check_layer(s);
    }
  }

  TEST_CASE("the comparison with Winograd's algorithm catches one product too few") {
    const Case<float> c(kWinogradLayers.front(), Fill::kReals);
    ReferenceSums y = c.reference_forward(true);
    CHECK(worst_error(c.forward(true), y) <= kWinogradError);
    y.add(y_size(c.s) - 1, 1, 1);
    CHECK(worst_error(c.forward(true), y) > kWinogradError);
  }

  TEST_CASE("convolutions of the networks' layers give the same bits with 1 and with 2 threads" *
            doctest::test_suite("conv long")) {
    const int before = num_threads();
    std::vector<ConvShape> layers = kLayers;
    layers.insert(layers.end(), kWinogradLayers.begin(), kWinogradLayers.end());
    with_each_table([&] {
      for (const ConvShape& s : layers) {
        INFO(name(s));
        const Case<float> c(s, Fill::kReals);
        set_num_threads(1);
        const auto y = c.forward(true), dx = c.backward_data(), dweight = c.backward_weight();
        set_num_threads(2);
        CHECK(c.forward(true) == y);
        CHECK(c.backward_data() == dx);
        CHECK(c.backward_weight() == dweight);
      }
    });
    set_num_threads(before);
  }

  TEST_CASE("an image has the same outputs in every batch, whatever algorithm its shape asks for") {
    std::vector<ConvShape> layers = kWinogradLayers;
    layers.push_back(square(9, 8, 3, 20, 3, 2, 1));
    with_each_table([&] {
      for (const ConvShape& s : layers) {
        INFO(name(s));
        const Case<float> c(s, Fill::kReals);
        const auto y = c.forward(true);
        ConvShape one = s;
        one.batch = 1;
        std::vector<float> alone(static_cast<std::size_t>(one.outputs()));
        conv2d_forward(one, c.x.data() + (s.batch - 1) * one.inputs(), c.weight.data(), c.bias.data(), alone.data());
        CHECK(std::equal(alone.begin(), alone.end(), y.end() - one.outputs()));
      }
    });
  }

  TEST_CASE("a weight that is packed for one kernel table is refused by another") {
    const Case<float> c(square(2, 8, 16, 16, 3, 1, 1), Fill::kReals);
    use_kernels("scalar");
    const FloatWeights weights(c.s, c.weight.data());
    std::vector<float> y = c.forward(true), again(y.size());
    weights.forward(2, c.x.data(), c.bias.data(), again.data());
    CHECK(again == y);
    if (all_kernels().size() > 1) {
      use_kernels("auto");
      CHECK_SAYS(complaint_of([&] { weights.forward(2, c.x.data(), c.bias.data(), again.data()); }),
                 "packed for another kernel table");
    } else {
      MESSAGE("skipped: this processor runs the scalar table only");
    }
    use_kernels("auto");
  }

  TEST_CASE("an output too large for the caches has the same bits wherever it lies in memory") {
    const ConvShape s = square(104, 32, 3, 64, 1, 1, 0);  // streamed where it is aligned
    const auto n = static_cast<std::size_t>(y_size(s));
    const std::vector<float> x = filled<float>(x_size(s), Fill::kReals, 1),
                             weight = filled<float>(weight_size(s), Fill::kReals, 2),
                             bias = filled<float>(s.out_channels, Fill::kReals, 3);
    const Scratch<float> aligned(n), room(n + 1);
    with_each_table([&] {
      std::fill_n(aligned.data(), n, 77.f);
      conv2d_forward(s, x.data(), weight.data(), bias.data(), aligned.data());
      conv2d_forward(s, x.data(), weight.data(), bias.data(), room.data() + 1);
      CHECK(std::equal(aligned.data(), aligned.data() + n, room.data() + 1));
      CHECK(std::count(aligned.data(), aligned.data() + n, 77.f) == 0);
    });
  }

  TEST_CASE("a kernel that does not fit into the padded image, and groups that do not divide, are errors") {
    float nothing = 0;
    const ConvShape large_kernel = square(1, 1, 1, 1, 4, 2, 1), room_for_stride = square(1, 1, 1, 1, 2, 2, 0);
    ConvShape uneven = square(1, 3, 4, 6, 1, 1, 0);
    uneven.groups = 4;
    for (const ConvShape& s : {large_kernel, room_for_stride, uneven}) {
      INFO(name(s));
      CHECK_THROWS_AS(conv2d_forward(s, &nothing, &nothing, &nothing, &nothing), Error);
      CHECK_THROWS_AS(conv2d_backward_data(s, &nothing, &nothing, &nothing), Error);
      CHECK_THROWS_AS(conv2d_backward_weight(s, &nothing, &nothing, &nothing), Error);
    }
  }

  TEST_CASE("the comparison catches one product too few in one output") {
    for (Fill fill : {Fill::kIntegers, Fill::kReals}) {
      const Case<float> c(square(2, 6, 17, 5, 3, 1, 1), fill);
      ReferenceSums y = c.reference_forward(true), dx = c.reference_backward_data();
      ReferenceSums dweight = c.reference_backward_weight();
      y.add(y_size(c.s) - 1, 1, 1);
      dx.add(x_size(c.s) - 1, 1, 1);
      dweight.add(weight_size(c.s) - 1, 1, 1);
      CHECK(worst_error(c.forward(true), y) > allowed_error(fill));
      CHECK(worst_error(c.backward_data(), dx) > allowed_error(fill));
      CHECK(worst_error(c.backward_weight(), dweight) > allowed_error(fill));
    }
  }
}
