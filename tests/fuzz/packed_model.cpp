// Makes models from bytes (tests/quant/packed/drawn_model.h), sound and absurd ones, writes and reads them, and runs
// what is sound, with thresholds and without.
#define DOCTEST_CONFIG_DISABLE
#include <fuzzer/FuzzedDataProvider.h>

#include "tests/quant/packed/drawn_model.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_num_threads(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  FuzzedDataProvider bytes(data, size);
  use_kernels(bytes.ConsumeBool() ? "auto" : "scalar");
  const auto integer = [&bytes](std::int64_t low, std::int64_t high) {
    return bytes.ConsumeIntegralInRange<std::int64_t>(low, high);
  };
  Model model;
  try {
    model = ModelDraw(integer).model();
  } catch (const Error&) {  // a shape that there is none of
    return 0;
  }
  fate_of(model);
  return 0;
}
