/* Runs a packed model on an image of halves and prints its outputs.
 *   model resnet20.cgpacked
 */
#include <stdio.h>
#include <stdlib.h>

#include "quant/packed/coarsegrad.h"

static int64_t size_of(const coarsegrad_shape* shape) {
  int64_t size = 1;
  for (int axis = 0; axis < shape->rank; ++axis) size *= shape->extent[axis];
  return size;
}

int main(int argc, char** argv) {
  coarsegrad_model* model = coarsegrad_load(argc > 1 ? argv[1] : "");
  coarsegrad_shape in, out;
  float *image, *outputs;
  if (!model) {
    fprintf(stderr, "model: %s\n", coarsegrad_error());
    return 1;
  }
  coarsegrad_shapes(model, &in, &out);
  image = malloc((size_t)size_of(&in) * sizeof *image);
  outputs = malloc((size_t)size_of(&out) * sizeof *outputs);
  for (int64_t i = 0; i < size_of(&in); ++i) image[i] = 0.5f;
  if (coarsegrad_run(model, 1, image, outputs) != 0) {
    fprintf(stderr, "model: %s\n", coarsegrad_error());
    return 1;
  }
  for (int64_t i = 0; i < size_of(&out); ++i) printf("%a\n", (double)outputs[i]);
  free(image);
  free(outputs);
  coarsegrad_free(model);
  return 0;
}
