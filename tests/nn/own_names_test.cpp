// What a user's main may call its own types. Everything that the README's program includes, and what names the parts
// of a method, is included before them.
#include <doctest/doctest.h>

#include <tuple>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "experiments/support/run.h"
#include "nn/networks.h"
#include "optim/schedule.h"
#include "optim/sgd.h"
#include "quant/activations/uniform.h"
#include "quant/method.h"
#include "quant/stages.h"
#include "quant/weights/projection.h"
#include "quant/weights/weight_rule.h"

using namespace coarsegrad;

namespace {

struct Arena {};
struct Batch {};
struct Block {};
struct Head {};
struct Layer {};
struct Mask {};
struct Model {};
struct Net {};
struct Pair {};
struct Quantizer {};
struct Range {};
struct Rounding {};
struct Stage {};
struct Step {};
struct Window {};

}  // namespace

TEST_CASE("the names that an experiment wants for itself are free under `using namespace coarsegrad`") {
  const std::tuple<Arena, Batch, Block, Head, Layer, Mask, Model, Net, Pair, Quantizer, Range, Rounding, Stage, Step,
                   Window>
      own;
  CHECK(std::tuple_size_v<decltype(own)> == 15);
}
