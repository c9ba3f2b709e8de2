// Trains: four weights are recovered from 64 samples of a linear teacher, in the Real of the library that it links.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "core/kernels/kernels.h"
#include "nn/init.h"
#include "nn/layers.h"
#include "optim/sgd.h"

using namespace coarsegrad;

int main() {
  const Rng rng(1);
  const Tensor teacher({1, 4}, {Real(0.5), Real(-1), Real(2), Real(0.25)});
  const Tensor x = nn::normal({64, 4}, 1, rng.split("x"));
  const Tensor y = matmul(x, teacher, false, true).value();

  nn::Linear student(4, 1, rng.split("student"), /*with_bias=*/false);
  optim::Sgd sgd(student.parameters(), {.lr = 0.1});
  for (int step = 0; step < 200; ++step) {
    sgd.zero_grad();
    mse_loss(student.forward(x), y).backward();
    sgd.step();
  }

  Real error = 0;
  for (int i = 0; i < 4; ++i) error = std::max(error, std::abs(student.weight.value[i] - teacher[i]));
  std::printf("%zu bytes per element, error %g, kernels %s\n", sizeof(Real), double(error), active_kernels().name);
  return error < Real(1e-4) ? 0 : 1;
}
