/* Packed models from C. Five functions; none of them throws, prints or ends the process, whatever the file holds and
 * whichever pointer is null. coarsegrad_shapes() says how many floats a sample has; that `input` and `output` have them
 * for the whole batch is the caller's word.
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

/* NOLINTBEGIN(modernize-use-using): this is C, too */
/** A packed model. Several threads may run one. */
typedef struct coarsegrad_model coarsegrad_model;

/** The shape of a sample, channels last, without the axis of the batch. */
typedef struct coarsegrad_shape {
  int rank;          /**< number of extents, 1 to 5; 0 where there is no model */
  int64_t extent[5]; /**< outermost first; those beyond `rank` are 1 */
} coarsegrad_shape;
/* NOLINTEND(modernize-use-using) */

/** Reads a model; null where that fails, and coarsegrad_error() says why. */
coarsegrad_model* coarsegrad_load(const char* path);
/** Writes the shapes of what goes in and what comes out; either may be null. 0, or -1 where the model is null. */
int coarsegrad_shapes(const coarsegrad_model* model, coarsegrad_shape* input, coarsegrad_shape* output);
/** Carries the model out for `batch` samples, 1 to 2^31; `output` has room for as many. 0, or -1 where that fails. */
int coarsegrad_run(const coarsegrad_model* model, int64_t batch, const float* input, float* output);
/** Why the call of this thread that failed last did so, at most 1023 bytes; "" before. Valid until the next one fails.
 */
const char* coarsegrad_error(void);
/** Gives the model back; null is allowed. */
void coarsegrad_free(coarsegrad_model* model);

#ifdef __cplusplus
}
#endif

#endif
