// Runs a packed model on an image of halves and prints its outputs, as model.c does.
#include <cstdio>
#include <exception>
#include <vector>

#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using namespace coarsegrad;

int main(int argc, char** argv) try {
  const packed::Runtime net(packed::read_model(argc > 1 ? argv[1] : ""));
  const std::vector<float> image(static_cast<std::size_t>(net.input().numel()), 0.5F);
  std::vector<float> outputs(static_cast<std::size_t>(net.output().numel()));
  net.run(1, image, outputs);
  for (const float v : outputs) std::printf("%a\n", static_cast<double>(v));
} catch (const std::exception& e) {
  std::fprintf(stderr, "model: %s\n", e.what());
  return 1;
}
