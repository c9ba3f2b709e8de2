#include "experiments/support/text_table.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/base/check.h"
#include "experiments/support/run.h"

using namespace coarsegrad;
using experiments::number;
using experiments::TextTable;

TEST_CASE("numbers are written with the digits asked for") {
  CHECK(number(0) == "0.000");
  CHECK(number(1) == "1.000");
  CHECK(number(-0.123456) == "-0.1235");
  CHECK(number(123456) == "123456");
  CHECK(number(0.00012346) == "0.0001235");
  CHECK(number(1.5e-7) == "1.500e-07");
  CHECK(number(2e12, 2) == "2.0e+12");
  CHECK(number(99.5, 2) == "100");
  CHECK(number(std::numeric_limits<double>::quiet_NaN()) == "-");
  CHECK(number(-std::numeric_limits<double>::infinity()) == "-inf");
}

TEST_CASE("columns are aligned, numbers to the right and text to the left") {
  TextTable table({"ste", "bits", "α"});
  table.row("relu", 4, 0.5);
  table.row("clipped_relu", 12, std::numeric_limits<double>::quiet_NaN());
  CHECK(table.str() ==
        "ste           bits       α\n"
        "------------  ----  ------\n"
        "relu             4  0.5000\n"
        "clipped_relu    12       -\n");
}

TEST_CASE("a row of another length is refused") {
  TextTable table({"a", "b"});
  CHECK_THROWS_AS(table.row(1), Error);
}

TEST_CASE("check_finite passes finite numbers on and names the others") {
  CHECK(experiments::check_finite("loss", -0.5) == -0.5);
  CHECK_THROWS_WITH_AS(experiments::check_finite("loss", std::numeric_limits<double>::infinity()), "loss is inf",
                       experiments::Diverged);
}
