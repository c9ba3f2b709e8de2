// Step 3: a surrogate of one's own. Activations are quantized on the way forward; on the way back the derivative of a
// smooth function stands for that of the staircase.
#include <cmath>
#include <cstdio>

#include "core/ops.h"
#include "quant/activations/uniform.h"

using namespace coarsegrad;

int main() {
  // The function and its derivative, at x in units of the grid's step; from here on every program and flag of this
  // process knows it by name.
  const Surrogate& softsign = register_surrogate(
      "softsign", [](auto x, auto) { return x / (1 + std::abs(x)); },
      [](auto x, auto) { return 1 / ((1 + std::abs(x)) * (1 + std::abs(x))); });

  const Var x = Var::leaf(Tensor({5}, {Real(-1), Real(0.2), Real(0.6), Real(1.4), Real(9)}));
  const Var y = quant::quantize_activation(x, Real(0.5), 2, softsign);  // levels 0, 0.5, 1, 1.5
  sum(y).backward();
  for (std::int64_t i = 0; i < 5; ++i)
    std::printf("x %5.2f  quantized %4.2f  coarse derivative %.3f\n", double(x.value()[i]), double(y.value()[i]),
                double(x.grad()[i]));
}
