// Step 1: tensors and gradients. A line through noisy points, by gradient descent.
#include <cstdio>

#include "core/compute/random.h"
#include "core/ops.h"

using namespace coarsegrad;

int main() {
  Rng rng(1);  // the only source of randomness
  Tensor x({100, 1}), y({100, 1});
  rng.normal(x.mutable_data(), 100);
  rng.normal(y.mutable_data(), 100);
  for (int i = 0; i < 100; ++i) y.mutable_data()[i] = Real(0.1) * y[i] + 2 * x[i] - 1;  // slope 2, offset -1

  Parameter slope(Tensor({1, 1})), offset(Tensor({1}));
  for (int step = 0; step < 200; ++step) {
    const Var loss = mse_loss(linear(x, slope.var(), offset.var()), y);  // an op records its history
    slope.zero_grad();
    offset.zero_grad();
    loss.backward();  // runs it backwards and leaves gradients in the parameters
    for (Parameter* p : {&slope, &offset}) p->value.mutable_data()[0] -= Real(0.1) * p->grad()[0];
  }
  std::printf("slope %.2f, offset %.2f\n", double(slope.value.item()), double(offset.value.item()));
}
