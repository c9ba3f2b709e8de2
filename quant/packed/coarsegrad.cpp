#include "quant/packed/coarsegrad.h"

#include <algorithm>
#include <exception>
#include <string>

#include "core/base/check.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using coarsegrad::Shape;

struct coarsegrad_model {
  coarsegrad::packed::Runtime net;
};

namespace {

thread_local std::string latest_error;

// What f() returns, or `failed` where it throws.
template <class Result, class F>
Result guarded(Result failed, F f) {
  try {
    return f();
  } catch (const std::exception& e) {
    latest_error = e.what();
  }
  return failed;
}

void write(const Shape& from, coarsegrad_shape* to) {
  if (!to) return;
  to->rank = from.rank();
  std::fill(std::begin(to->extent), std::end(to->extent), 1);
  std::copy(from.begin(), from.end(), to->extent);
}

}  // namespace

coarsegrad_model* coarsegrad_load(const char* path) {
  return guarded<coarsegrad_model*>(nullptr, [&] {
    coarsegrad::check(path != nullptr, "coarsegrad_load: given no path");
    return new coarsegrad_model{coarsegrad::packed::Runtime(coarsegrad::packed::read_model(path))};
  });
}

void coarsegrad_shapes(const coarsegrad_model* model, coarsegrad_shape* input, coarsegrad_shape* output) {
  write(model->net.input(), input);
  write(model->net.output(), output);
}

int coarsegrad_run(const coarsegrad_model* model, std::int64_t batch, const float* input, float* output) {
  return guarded(-1, [&] {
    coarsegrad::check(model && input && output && batch >= 1 && batch <= std::int64_t{1} << 31,
                      "coarsegrad_run: given no model, no samples, no room or a batch of ", batch,
                      ", expected 1 to 2^31 samples");
    const auto in = static_cast<std::size_t>(batch * model->net.input().numel());
    const auto out = static_cast<std::size_t>(batch * model->net.output().numel());
    model->net.run(batch, {input, in}, {output, out});
    return 0;
  });
}

const char* coarsegrad_error(void) { return latest_error.c_str(); }

void coarsegrad_free(coarsegrad_model* model) { delete model; }
