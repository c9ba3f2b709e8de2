// How often is a network of the zoo right on shapes that were drawn, not photographed?
//   zoo experiments/zoo/resnet20_1w4a.safetensors
#include <cstdio>
#include <exception>

#include "datasets/synthetic.h"
#include "experiments/training/classification.h"
#include "experiments/training/network_file.h"

using namespace coarsegrad;

int main(int argc, char** argv) try {
  const std::filesystem::path path = argc > 1 ? argv[1] : "";
  const experiments::TensorFile file = experiments::read_tensor_file(path);
  const auto settings = experiments::expect_settings_in(file, path);
  const datasets::ImageDataset images = datasets::drawn_shapes(256, /*seed=*/1);
  const auto network = experiments::deployed(file, path, settings, images);
  const auto found = experiments::evaluate(*network.net, images);
  std::printf("%s: %g of %lld right\n", words(settings).c_str(), found.accuracy, static_cast<long long>(images.size()));
} catch (const std::exception& e) {
  std::fprintf(stderr, "zoo: %s\n", e.what());
  return 1;
}
