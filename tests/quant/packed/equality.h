#pragma once
// Whether a packed model computes what the network computes that it was made from.
#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

#include "core/autograd.h"
#include "nn/module.h"
#include "quant/evaluation_scope.h"
#include "quant/export/freeze.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"
#include "tests/support/tables.h"

namespace coarsegrad::testing {

inline Shape batch_shape(std::int64_t batch, const Shape& sample) { return packed::batch_of(batch, sample); }

/// The logits of an evaluation, as a training makes it.
inline std::vector<float> evaluated(nn::Module& net, quant::WeightRule* rule, const Shape& batch,
                                    const std::vector<float>& x) {
  const quant::EvaluationScope scope(net, rule);
  const NoGrad constant;
  const Tensor y = net(Tensor(batch, x)).value();
  return {y.view().begin(), y.view().end()};
}

inline std::vector<float> inferred(const packed::Runtime& net, std::int64_t batch, const std::vector<float>& x) {
  std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
  net.run(batch, x, y);
  return y;
}

/// The model that a file would give back.
inline packed::Runtime through_a_file(const packed::Model& model) {
  const std::string bytes = packed::bytes_of(model);
  return packed::Runtime(packed::parse_model(std::as_bytes(std::span(bytes))));
}

/// Checks that both give the same bits for batches of 1 and `most` images, on 1 and 2 threads, with every kernel table
/// of this processor. Returns the run time with the scalar table, whose choice of kernels is the same everywhere.
inline packed::Runtime expect_equal(nn::Module& net, quant::WeightRule* rule, const Shape& sample, std::int64_t most,
                                    unsigned seed) {
  const int before = num_threads();
  with_each_table([&] {
    const packed::Runtime frozen = through_a_file(quant::freeze(net, sample, rule));
    for (const int threads : {1, 2})
      for (const std::int64_t batch : {std::int64_t{1}, most}) {
        INFO("threads ", threads, ", batch ", batch);
        set_num_threads(threads);
        const std::vector<float> x = gaussian(batch * sample.numel(), seed);
        CHECK(same_bits(inferred(frozen, batch, x), evaluated(net, rule, batch_shape(batch, sample), x)));
      }
  });
  set_num_threads(before);
  use_kernels("scalar");
  packed::Runtime scalar = through_a_file(quant::freeze(net, sample, rule));
  use_kernels("auto");
  return scalar;
}

}  // namespace coarsegrad::testing
