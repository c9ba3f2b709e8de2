#include "quant/packed/coarsegrad.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>

#include "core/base/check.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using namespace coarsegrad;

struct coarsegrad_model {
  packed::Runtime net;
};

namespace {

constexpr std::int64_t kMostSamples = std::int64_t{1} << 31;

thread_local std::array<char, 1024> latest_error{};

// What f() returns, or `failed` where it throws.
template <class Result, class F>
Result guarded(Result failed, F f) noexcept {
  try {
    return f();
  } catch (const std::exception& e) {
    std::snprintf(latest_error.data(), latest_error.size(), "%s", e.what());
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
    check(path != nullptr, "coarsegrad_load: given no path");
    return new coarsegrad_model{packed::Runtime(packed::read_model(path))};
  });
}

int coarsegrad_shapes(const coarsegrad_model* model, coarsegrad_shape* input, coarsegrad_shape* output) {
  return guarded(-1, [&] {
    write(model ? model->net.input() : Shape(), input);
    write(model ? model->net.output() : Shape(), output);
    check(model != nullptr, "coarsegrad_shapes: given no model");
    return 0;
  });
}

int coarsegrad_run(const coarsegrad_model* model, std::int64_t batch, const float* input, float* output) {
  return guarded(-1, [&] {
    check(model != nullptr, "coarsegrad_run: given no model");
    check(input != nullptr, "coarsegrad_run: given no samples");
    check(output != nullptr, "coarsegrad_run: given no room for outputs");
    check(batch >= 1 && batch <= kMostSamples, "coarsegrad_run: given a batch of ", batch, ", expected 1 to 2^31");
    const auto in = static_cast<std::size_t>(batch * model->net.input().numel());
    const auto out = static_cast<std::size_t>(batch * model->net.output().numel());
    model->net.run(batch, {input, in}, {output, out});
    return 0;
  });
}

const char* coarsegrad_error(void) { return latest_error.data(); }

void coarsegrad_free(coarsegrad_model* model) { delete model; }
