// Links the engine and uses it: a tensor is a value, and a kernel table is chosen.
#include <cstdio>

#include "core/kernels/kernels.h"
#include "core/tensor.h"

int main() {
  coarsegrad::Tensor a({2, 3}, coarsegrad::Real(1));
  const coarsegrad::Tensor b = a;
  a.mut()[0] = 2;
  if (a[0] != 2 || b[0] != 1) return 1;
  std::printf("%zu bytes per element, kernels: %s\n", sizeof(coarsegrad::Real), coarsegrad::active_kernels().name);
}
