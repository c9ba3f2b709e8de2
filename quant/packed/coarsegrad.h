/* Packed models from C. Five functions; none of them throws, prints or ends the process.
 *   coarsegrad_model* model = coarsegrad_load("resnet20.cgpacked");
 *   if (!model || coarsegrad_run(model, batch, images, logits) != 0) puts(coarsegrad_error());
 *   coarsegrad_free(model);
 */
#ifndef COARSEGRAD_PACKED_H
#define COARSEGRAD_PACKED_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A packed model. Several threads may run one. */
typedef struct coarsegrad_model coarsegrad_model;

/** The shape of a sample, channels last, without the axis of the batch. */
typedef struct coarsegrad_shape {
  int rank;          /**< number of extents, 1 to 5 */
  int64_t extent[5]; /**< outermost first; those beyond `rank` are 1 */
} coarsegrad_shape;

/** Reads a model; null where that fails, and coarsegrad_error() says why. */
coarsegrad_model* coarsegrad_load(const char* path);
/** Writes the shapes of what goes in and what comes out; either may be null. */
void coarsegrad_shapes(const coarsegrad_model* model, coarsegrad_shape* input, coarsegrad_shape* output);
/** Carries the model out for `batch` samples; `output` has room for as many. 0, or -1 where that fails. */
int coarsegrad_run(const coarsegrad_model* model, int64_t batch, const float* input, float* output);
/** Why the latest call of this thread has failed; "" before. Valid until its next call. */
const char* coarsegrad_error(void);
/** Gives the model back; null is allowed. */
void coarsegrad_free(coarsegrad_model* model);

#ifdef __cplusplus
}
#endif

#endif
