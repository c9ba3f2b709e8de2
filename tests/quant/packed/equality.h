#pragma once
// Whether a packed model computes what the network computes that it was made from.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "datasets/pixel_codes.h"
#include "nn/module.h"
#include "quant/evaluation_scope.h"
#include "quant/export/freeze.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"
#include "tests/support/tables.h"

namespace coarsegrad::testing {

inline Shape batch_shape(std::int64_t batch, const Shape& sample) { return packed::batch_of(batch, sample); }

/// The logits of an evaluation, as a training makes it.
inline std::vector<float> evaluated(nn::Module& net, quant::WeightRule* rule, const Tensor& x) {
  const quant::EvaluationScope scope(net, rule);
  const NoGrad constant;
  const Tensor y = net(x).value();
  return {y.view().begin(), y.view().end()};
}
inline std::vector<float> evaluated(nn::Module& net, quant::WeightRule* rule, const Shape& batch,
                                    const std::vector<float>& x) {
  return evaluated(net, rule, Tensor(batch, x));
}

inline std::vector<float> inferred(const packed::Runtime& net, std::int64_t batch, const std::vector<float>& x) {
  std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
  net.run(batch, x, y);
  return y;
}
/// The same from the bytes that images in codes have.
inline std::vector<float> inferred_of_bytes(const packed::Runtime& net, const Tensor& images) {
  std::vector<std::uint8_t> bytes;
  for (const Real v : images.view())
    bytes.push_back(static_cast<std::uint8_t>(static_cast<int>(v / datasets::kPixelScale) + 128));
  std::vector<float> y(static_cast<std::size_t>(images.size(0) * net.output().numel()));
  net.run_pixels(images.size(0), bytes, y);
  return y;
}

/// The model that a file would give back.
inline packed::Runtime through_a_file(const packed::Model& model) {
  const std::string bytes = packed::bytes_of(model);
  return packed::Runtime(packed::parse_model(std::as_bytes(std::span(bytes))));
}

/// Checks that both give the same bits for batches of 1 and `most` images, on 1 and 2 threads, with every kernel table
/// of this processor; of images as floats, or as the codes of pixels. Returns the run time with the scalar table, whose choice of kernels is the same everywhere.
inline packed::Runtime expect_equal(nn::Module& net, quant::WeightRule* rule, const Shape& sample, std::int64_t most,
                                    unsigned seed, bool pixels = false) {
  const Real scale = pixels ? datasets::kPixelScale : 0;
  const int before = num_threads();
  with_each_table([&] {
    const packed::Runtime frozen = through_a_file(quant::freeze(net, sample, rule, scale));
    for (const int threads : {1, 2})
      for (const std::int64_t batch : {std::int64_t{1}, most}) {
        INFO("threads ", threads, ", batch ", batch);
        set_num_threads(threads);
        const std::vector<float> x = gaussian(batch * sample.numel(), seed);
        Tensor images(batch_shape(batch, sample), x);
        if (pixels) images = datasets::pixel_codes(images);
        const std::vector<float> expected = evaluated(net, rule, images);
        CHECK(same_bits(inferred(frozen, batch, x), expected));
        if (pixels) CHECK(same_bits(inferred_of_bytes(frozen, images), expected));
      }
  });
  set_num_threads(before);
  use_kernels("scalar");
  packed::Runtime scalar = through_a_file(quant::freeze(net, sample, rule, scale));
  use_kernels("auto");
  return scalar;
}

}  // namespace coarsegrad::testing
