// A program that could multiply matrices and does nothing, for process_limits_test.py.
#include "core/compute/gemm.h"

int main(int argc, char**) {
  const double one = 1;
  double product = 0;
  if (argc > 1) coarsegrad::gemm<double>(1, 1, 1, {&one, 1}, {&one, 1}, &product, 1);
  return product > 0 ? 1 : 0;
}
