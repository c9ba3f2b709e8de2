#include "quant/stages.h"

#include <doctest/doctest.h>

#include "core/base/check.h"

using namespace coarsegrad;
using Stages = std::vector<TrainingStage>;

TEST_SUITE("paper-telcnn") {
  TEST_CASE("stages: weights first, many bits first, and both") {
    CHECK(stages({2, 2}, {}, false) == Stages{{2, 2}});
    CHECK(stages({2, 2}, {}, true) == Stages{{2, 0}, {2, 2}});
    CHECK(stages({2, 2}, {32, 16, 8, 4}, false) == Stages{{0, 0}, {16, 16}, {8, 8}, {4, 4}, {2, 2}});
    CHECK(stages({2, 2}, {32, 8}, true) == Stages{{0, 0}, {8, 0}, {8, 8}, {2, 0}, {2, 2}});
  }
  TEST_CASE("stages: never below the target, and what is float in it stays so") {
    CHECK(stages({1, 4}, {8, 4, 2}, false) == Stages{{8, 8}, {4, 4}, {2, 4}, {1, 4}});
    CHECK(stages({4, 4}, {8, 4, 2}, false) == Stages{{8, 8}, {4, 4}});
    CHECK(stages({2, 0}, {32, 4}, true) == Stages{{0, 0}, {4, 0}, {2, 0}});
    CHECK(stages({0, 2}, {32, 4}, true) == Stages{{0, 0}, {0, 4}, {0, 2}});
    CHECK(stages({0, 0}, {32, 4}, true) == Stages{{0, 0}});
    CHECK_THROWS_AS(stages({2, 2}, {4, 8}, false), UsageError);
    CHECK_THROWS_AS(stages({2, 2}, {4, 4}, false), UsageError);
  }
}
