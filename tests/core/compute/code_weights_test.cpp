// Layers on codes to floats: one result, whichever kernel multiplies.
#include "core/compute/code_weights.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/check.h"
#include "tests/support/code_values.h"
#include "tests/support/conv_shapes.h"
#include "tests/support/tables.h"

using namespace coarsegrad;
using namespace coarsegrad::testing;

namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

struct Case {
  ConvShape s;
  BitCode weight_code, activation;
  std::vector<std::int8_t> x, weight;
  std::vector<float> scale, bias;

  Case(const ConvShape& shape, const BitCode& w, const BitCode& a, bool per_channel)
      : s(shape),
        weight_code(w),
        activation(a),
        x(values_of(a, x_size(s), 1)),
        weight(values_of(w, weight_size(s), 2)),
        scale(gaussian(per_channel ? s.out_channels : 1, 3)),
        bias(gaussian(s.out_channels, 4)) {}

  const std::uint8_t* bytes() const { return reinterpret_cast<const std::uint8_t*>(x.data()); }
  const float* bias_or_null() const { return scale.size() > 1 ? bias.data() : nullptr; }

  std::vector<float> forward() const {
    std::vector<float> y = output<float>(y_size(s));
    CodeWeights(activation, s, weight.data()).forward(s, bytes(), scale, bias_or_null(), y.data());
    return y;
  }

  // What conv2d_forward_codes() promises, from the definition.
  std::vector<float> expected() const {
    std::vector<std::int64_t> sums(at(y_size(s)));
    for_each_product(s, [&](std::int64_t ix, std::int64_t iw, std::int64_t iy) {
      sums[at(iy)] += std::int64_t{x[at(ix)]} * weight[at(iw)];
    });
    std::vector<float> y = output<float>(y_size(s));
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const std::size_t o = i % at(s.out_channels);
      y[i] = std::fma(scale[scale.size() == 1 ? 0 : o], static_cast<float>(sums[i]),
                      bias_or_null() ? bias_or_null()[o] : 0.f);
    }
    return y;
  }
};

std::string name(const Case& c) {
  return cat(testing::name(c.s), ", weights of ", c.weight_code.bits, " bits, activations of ", c.activation.bits,
             " from ", c.activation.low);
}

const BitCode kWeights[] = {BitCode::signs(), BitCode::ternary(), BitCode::signed_bits(2), BitCode::signed_bits(4),
                            BitCode::signed_bits(8)};
const BitCode kActivations[] = {BitCode::signs(),          BitCode::signed_bits(2),   BitCode::signed_bits(4),
                                BitCode::unsigned_bits(1), BitCode::unsigned_bits(3), BitCode::unsigned_bits(4),
                                BitCode::unsigned_bits(7), BitCode::signed_bits(8)};

const std::vector<ConvShape> kShapes = {square(2, 5, 3, 7, 3, 1, 1), square(1, 6, 65, 33, 3, 2, 1),
                                        square(3, 4, 32, 64, 3, 1, 1), square(1, 5, 64, 70, 2, 1, 0),
                                        square(5, 1, 300, 65, 1, 1, 0)};

ConvShape with_groups(std::int64_t groups) {
  ConvShape s = square(2, 5, 8, 6, 3, 1, 1);
  s.groups = groups;
  return s;
}

ConvShape dilated() {
  ConvShape s = square(2, 7, 8, 6, 3, 1, 2);
  s.dilation_h = 2;
  return s;
}

}  // namespace

TEST_SUITE("bits") {
  TEST_CASE("layers on codes equal the definition bit for bit, on whichever kernel and kernel table they run") {
    const OneThread one;
    int on_bits = 0, on_bytes = 0;
    for (const ConvShape& s : kShapes)
      for (const BitCode& weight : kWeights)
        for (const BitCode& activation : kActivations) {
          const Case c(s, weight, activation, s.out_channels % 2 == 1);
          INFO(name(c));
          const std::vector<float> expected = c.expected();
          with_each_table([&] {
            CHECK(same_bits(c.forward(), expected));
            ++(CodeWeights(activation, s, c.weight.data()).kernel() == CodeKernel::bits ? on_bits : on_bytes);
          });
        }
    CHECK(on_bits > 0);
    CHECK(on_bytes > 0);
  }

  TEST_CASE(
      "layers with groups and dilation, and codes of many bits, are multiplied as bytes, also those with a sign") {
    const OneThread one;
    for (const ConvShape& s : {with_groups(2), dilated()})
      for (const BitCode& activation : {BitCode::unsigned_bits(2), BitCode::signs(), BitCode::signed_bits(8)}) {
        const Case c(s, BitCode::signs(), activation, true);
        INFO(name(c));
        with_each_table([&] { CHECK(same_bits(c.forward(), c.expected())); });
        CHECK(multiplies_codes(activation, s));
        CHECK(CodeWeights(activation, s, c.weight.data()).kernel() == CodeKernel::bytes);
      }
    const Case dense(with_groups(1), BitCode::signs(), BitCode::signs(), true);
    CHECK(CodeWeights(dense.activation, dense.s, dense.weight.data()).kernel() == CodeKernel::bits);
    for (const BitCode& activation : {BitCode::unsigned_bits(8), BitCode::signed_bits(5)}) {
      CHECK(multiplies_codes(activation, bit_linear_shape(1, kernels::kMaxCodeDepth, 1)));
      CHECK_FALSE(multiplies_codes(activation, bit_linear_shape(1, kernels::kMaxCodeDepth + 1, 1)));
    }
    const ConvShape longer = bit_linear_shape(1, kernels::kMaxCodeDepth + 1, 1);
    const std::vector<std::int8_t> ones(at(kernels::kMaxCodeDepth + 1), 1);
    CHECK_THROWS_AS(CodeWeights(BitCode::signed_bits(8), longer, ones.data()), Error);
  }

  TEST_CASE(
      "bits give the floats that bytes give, on the networks' layers, on every kernel table and with two threads") {
    for (const ConvShape& s : {square(9, 16, 32, 64, 3, 1, 1), square(3, 8, 128, 256, 3, 1, 1),
                               square(5, 4, 256, 512, 3, 1, 1), square(33, 1, 2048, 96, 1, 1, 0)})
      for (const int bits : {1, 4}) {
        const BitCode activation = BitCode::unsigned_bits(bits);
        const Case c(s, BitCode::signs(), activation, true);
        INFO(name(c));
        std::vector<float> expected = output<float>(y_size(s));
        conv2d_forward_codes(s, c.bytes(), c.weight.data(), c.scale, c.bias.data(), expected.data());
        std::vector<std::uint64_t> planes(at(packed_words(bits, x_size(s) / s.in_channels, s.in_channels)));
        pack_values(activation, x_size(s) / s.in_channels, s.in_channels, c.x.data(), planes.data());
        with_each_table([&] {
          const BitWeights w(c.weight_code, activation, s.out_channels, s.kernel_h, s.kernel_w, s.in_channels,
                             c.weight.data());
          const auto run = [&] {
            std::vector<float> y = output<float>(y_size(s));
            bit_conv2d_scaled(s, planes.data(), w, c.scale, c.bias.data(), y.data());
            return y;
          };
          CHECK(same_bits(run(), expected));
          CHECK(same_with_two_threads(run));
        });
      }
  }

  TEST_CASE("weights serve their layer at any batch, image, stride and padding, in the kernel table of their making") {
    const BitCode activation = BitCode::unsigned_bits(2);
    const ConvShape s = square(3, 6, 64, 32, 3, 1, 1);
    const std::vector<std::int8_t> values = values_of(BitCode::signs(), weight_size(s), 1);
    const CodeWeights w(activation, s, values.data());
    CHECK(w.serve(activation, s));
    CHECK(w.serve(activation, square(1, 9, 64, 32, 3, 2, 0)));
    CHECK_FALSE(w.serve(BitCode::unsigned_bits(3), s));
    CHECK_FALSE(w.serve(activation, square(3, 6, 64, 31, 3, 1, 1)));
    CHECK_FALSE(w.serve(activation, square(3, 6, 32, 32, 3, 1, 1)));
    CHECK_FALSE(w.serve(activation, square(3, 6, 64, 32, 1, 1, 1)));
    ConvShape grouped = s;
    grouped.groups = 2;
    CHECK_FALSE(w.serve(activation, grouped));
    if (all_kernels().size() == 1) MESSAGE("skipped: this processor runs the scalar table only");
    for (const Kernels* table : all_kernels())
      if (table != &active_kernels()) {
        use_kernels(table->name);
        CHECK_FALSE(w.serve(activation, s));
        use_kernels("auto");
      }
  }

  TEST_CASE("weights that are packed as bytes once multiply any batch and image, and no other layer") {
    for (const ConvShape& s : {square(3, 6, 5, 7, 3, 1, 1), with_groups(2), dilated()}) {
      const Case c(s, BitCode::signed_bits(8), BitCode::unsigned_bits(7), true);
      const ByteWeights w(s, c.weight.data());
      ConvShape one = s;
      one.batch = 1;
      for (const ConvShape& shape : {s, one}) {
        std::vector<float> y = output<float>(y_size(shape)), expected = y;
        conv2d_forward_codes(shape, c.bytes(), w, c.scale, c.bias.data(), y.data());
        conv2d_forward_codes(shape, c.bytes(), c.weight.data(), c.scale, c.bias.data(), expected.data());
        CHECK(same_bits(y, expected));
      }
      for (const auto change : {+[](ConvShape& shape) { shape.out_channels += shape.groups; },
                                +[](ConvShape& shape) { shape.kernel_w = 2; },
                                +[](ConvShape& shape) { shape.in_channels += shape.groups; }}) {
        ConvShape other = s;
        change(other);
        CHECK_THROWS_AS(w.validate("test", other), Error);
      }
    }
    const Case c(dilated(), BitCode::signs(), BitCode::unsigned_bits(2), true);
    CHECK_THROWS_AS(ByteWeights(dilated(), c.weight.data()).validate("test", square(2, 7, 8, 6, 3, 1, 2)), Error);
    CHECK_THROWS_AS(ByteWeights(square(2, 7, 8, 6, 3, 1, 2), c.weight.data()).validate("test", dilated()), Error);
  }

  TEST_CASE("the narrowest code has all values and a plane less has not") {
    const auto narrowest = [](std::initializer_list<std::int8_t> values) {
      return narrowest_code(std::ssize(values), values.begin());
    };
    CHECK(narrowest({1, -1, -1, 1}) == BitCode::signs());
    CHECK(narrowest({1, 1}) == BitCode::signs());
    CHECK(narrowest({1, 0, -1}) == BitCode::ternary());
    CHECK(narrowest({1, 0}) == BitCode::ternary());
    CHECK(narrowest({-2, 0, 1}) == BitCode::signed_bits(2));
    CHECK(narrowest({0, -1}) == BitCode::signed_bits(1));
    CHECK(narrowest({-2, 1}) == BitCode::signed_bits(2));
    CHECK(narrowest({2, 1}) == BitCode::signed_bits(3));
    CHECK(narrowest({3, -3, 1, -1}) == BitCode::signed_bits(3));
    CHECK(narrowest({-8, 7}) == BitCode::signed_bits(4));
    CHECK(narrowest({127}) == BitCode::signed_bits(8));
    CHECK(narrowest({-128}) == BitCode::signed_bits(8));
    std::vector<std::int8_t> many(100000, 1);
    CHECK(narrowest_code(std::ssize(many), many.data()) == BitCode::signs());
    many.back() = 5;
    CHECK(narrowest_code(std::ssize(many), many.data()) == BitCode::signed_bits(4));
  }

  TEST_CASE("values without a level are refused, below the code as above it and between its steps") {
    const auto pack = [](const BitCode& code, std::int8_t value) {
      const std::vector<std::int8_t> values{static_cast<std::int8_t>(code.low), value};
      std::uint64_t planes[8];
      pack_values(code, 1, 2, values.data(), planes);
    };
    for (const BitCode& code :
         {BitCode::signs(), BitCode::ternary(), BitCode::unsigned_bits(1), BitCode::unsigned_bits(4),
          BitCode::unsigned_bits(8), BitCode::signed_bits(1), BitCode::signed_bits(4), BitCode::signed_bits(8)})
      for (int value = -128; value <= 127; ++value) {
        INFO("code of ", code.bits, " bits from ", code.low, ", value ", value);
        const bool has = value >= code.low && value <= code.high() && (value - code.low) % code.step == 0;
        if (has)
          CHECK_NOTHROW(pack(code, static_cast<std::int8_t>(value)));
        else
          CHECK_THROWS_AS(pack(code, static_cast<std::int8_t>(value)), Error);
      }
  }

  TEST_CASE("another number of scales than one, or one for each channel, is an error on bits as on bytes") {
    for (const BitCode& activation : {BitCode::signs(), BitCode::unsigned_bits(7)}) {
      Case c(square(1, 3, 4, 6, 3, 1, 1), BitCode::signs(), activation, true);
      c.scale.pop_back();
      CHECK_THROWS_AS(c.forward(), Error);
    }
  }
}
