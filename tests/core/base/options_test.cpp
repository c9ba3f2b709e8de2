#include "core/base/options.h"

#include <doctest/doctest.h>

#include <cmath>

#include "core/base/part_registry.h"
#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

struct Mixed {
  double rho = 1e-5;
  int steps = 3;
  bool warm = false;
  std::string scale = "fitted";
};
void describe(OptionVisitor& v, Mixed& o) {
  v.number({"rho", "1", "share of the projection in a step"}, o.rho, {0, 1});
  v.integer({"steps", "1", "steps of the alternation"}, o.steps, {1, 100});
  v.flag({"warm", "", "goes on from the step before"}, o.warm);
  v.choice({"scale", "", "where the levels lie"}, o.scale, {"fitted", "unit"});
}

struct Other {
  double rho = 1e-5;
};
void describe(OptionVisitor& v, Other& o) { v.number({"rho", "1", "something else"}, o.rho, {0, 1}); }

struct Wrong {
  int way = 0;
  double value = 5;
};
void describe(OptionVisitor& v, Wrong& o) {
  if (o.way == 0) v.number({"value", "1", "outside of its range"}, o.value, {0, 1});
  if (o.way == 1) v.number({"Value", "1", "a name with a capital"}, o.value, {0, 9});
  if (o.way == 2) v.number({"value", "1", ""}, o.value, {0, 9});
  if (o.way == 3) {
    v.number({"value", "1", "a name"}, o.value, {0, 9});
    v.number({"value", "1", "a name twice"}, o.value, {0, 9});
  }
}

}  // namespace

TEST_SUITE("options") {
  TEST_CASE("options: a description is data, in order, with the limits as words") {
    const auto fields = AnyOptions(Mixed{.steps = 7}).fields();
    REQUIRE(fields.size() == 4);
    CHECK(fields[0].text.name == "rho");
    CHECK(fields[0].limits == "a number from 0 to 1");
    CHECK(fields[1].value == OptionValue(7));
    CHECK(fields[1].limits == "an integer from 1 to 100");
    CHECK(fields[2].limits == "true or false");
    CHECK(fields[3].limits == "one of fitted, unit");
    CHECK(AnyOptions().fields().empty());
  }

  TEST_CASE("options: values are set by name, from values and from text, and the struct has them") {
    AnyOptions options = Mixed{};
    options.set("rho", 0.5);
    options.set_text("steps", "12");
    options.set_text("warm", "true");
    options.set_text("scale", "unit");
    const Mixed& m = options.as<Mixed>();
    CHECK(m.rho == 0.5);
    CHECK(m.steps == 12);
    CHECK(m.warm);
    CHECK(m.scale == "unit");
    options.set("rho", 1);  // an integer is a number, too
    CHECK(options.get("rho") == OptionValue(1.0));
    CHECK(options.has("warm"));
    CHECK_FALSE(options.has("cold"));
    AnyOptions copy = options;
    copy.set("steps", 13);
    CHECK(options.as<Mixed>().steps == 12);
  }

  TEST_CASE("options: what does not fit is refused by name, with what is expected, and changes nothing") {
    AnyOptions options = Mixed{};
    const auto refusal = [&](const char* name, const std::string& text) {
      return complaint_of([&] { options.set_text(name, text); });
    };
    CHECK_SAYS(refusal("rho", "1.5"), "rho: given 1.5, expected a number from 0 to 1");
    CHECK_SAYS(refusal("rho", "nan"), "rho: given nan, expected a number from 0 to 1");
    CHECK_SAYS(refusal("rho", "half"), "rho: given half, expected a number from 0 to 1");
    CHECK_SAYS(refusal("rho", "0.5x"), "rho: given 0.5x");
    CHECK_SAYS(refusal("steps", "0"), "steps: given 0, expected an integer from 1 to 100");
    CHECK_SAYS(refusal("steps", "2.5"), "steps: given 2.5");
    CHECK_SAYS(refusal("warm", "yes"), "warm: given yes, expected true or false");
    CHECK_SAYS(refusal("scale", "mean"), "scale: given mean, expected one of fitted, unit");
    CHECK_SAYS(refusal("lambda", "1"), "options: given 'lambda', expected one of rho, steps, warm, scale");
    CHECK_SAYS(complaint_of([&] { options.set("warm", 1); }), "warm: given 1");
    CHECK_SAYS(complaint_of([&] { AnyOptions().set("rho", 1.0); }), "given 'rho', expected none");
    CHECK(options == AnyOptions(Mixed{}));
    CHECK_THROWS_AS(options.as<Other>(), Error);
  }

  TEST_CASE("options: equal are those of one type and the same values, and changes are told") {
    CHECK(AnyOptions(Mixed{}) == AnyOptions(Mixed{}));
    CHECK_FALSE(AnyOptions(Mixed{}) == AnyOptions(Mixed{.warm = true}));
    CHECK_FALSE(AnyOptions(Other{}) == AnyOptions(Mixed{}));
    CHECK(changes(Mixed{.rho = 0.25, .warm = true}, Mixed{}) == "rho 0.25, warm");
    CHECK(changes(Mixed{}, Mixed{.warm = true}) == "no warm");
    CHECK(changes(Mixed{}, Mixed{}).empty());
  }

  TEST_CASE("options: a description that contradicts itself is refused when it is first used") {
    CHECK_SAYS(complaint_of([] { AnyOptions a(Wrong{.way = 0}); }), "value: given 5, expected a number from 0 to 1");
    CHECK_SAYS(complaint_of([] { AnyOptions a(Wrong{.way = 1}); }), "described 'Value'");
    CHECK_SAYS(complaint_of([] { AnyOptions a(Wrong{.way = 2}); }), "without help");
    CHECK_SAYS(complaint_of([] { AnyOptions a(Wrong{.way = 3}); }), "each name once");
  }

  TEST_CASE("parts: one's own is known by name, with its options, and is made of them") {
    PartRegistry<std::string> parts("scale");
    parts.add("mixed", "a paper", Mixed{.steps = 5}, [](const Mixed& m) { return cat("mixed ", m.steps, ' ', m.rho); });
    parts.add("other", "", Other{}, [](const Other& o) { return cat("other ", o.rho); });
    CHECK(parts.names() == std::vector<std::string>{"mixed", "other"});
    Part part = parts.part("mixed");
    CHECK(parts.make(part) == "mixed 5 1e-05");
    part.options.set("steps", 6);
    CHECK(parts.make(part) == "mixed 6 1e-05");
    CHECK(parts.make({"other", Other{0.5}}) == "other 0.5");
    CHECK(parts.source("mixed") == "a paper");
    CHECK_SAYS(complaint_of([&] { parts.part("third"); }), "scale: given 'third', expected one of: mixed other");
    CHECK_SAYS(complaint_of([&] { parts.make({"mixed", Other{}}); }), "options: given those of another part");
    CHECK_SAYS(complaint_of([&] { parts.add("other", "", Other{}, [](const Other&) { return std::string(); }); }),
               "'other' is registered already");
  }
}
