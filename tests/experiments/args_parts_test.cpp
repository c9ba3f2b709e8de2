// Parts of a method as flags and in files: their names, and the options of each.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "experiments/support/args.h"

using namespace coarsegrad;
using experiments::Args;

namespace {

struct PullOptions {
  double rho = 0.25;
  int steps = 2;
  bool after = false;
};
void describe(OptionVisitor& v, PullOptions& o) {
  v.number({"rho", "1", "share of the way"}, o.rho, {0, 1});
  v.integer({"steps", "epoch", "epochs between"}, o.steps, {1, 9});
  v.flag({"after", "", "after the step"}, o.after);
}
struct PushOptions {
  double rho = 0.5;
  std::string from = "left";
};
void describe(OptionVisitor& v, PushOptions& o) {
  v.number({"rho", "1", "share of the way"}, o.rho, {0, 2});
  v.choice({"from", "", "the side"}, o.from, {"left", "right"});
}

/// A knob for a part.
struct WithPart {
  PartRegistry<int> parts{"relaxation"};
  Part part{"none"};
  Args args{"probe", "a probe"};

  WithPart() {
    parts.add("none", "", [] { return 0; });
    parts.add("pull", "", PullOptions{}, [](const PullOptions& o) { return o.steps; });
    parts.add("push", "", PushOptions{}, [](const PushOptions&) { return 1; });
    args.add("relaxation", part, "how they live together", parts);
  }
  void parse(std::vector<const char*> words) {
    words.insert(words.begin(), "probe");
    args.parse(static_cast<int>(words.size()), words.data());
  }
  std::string refusal(std::vector<const char*> words) {
    try {
      parse(std::move(words));
    } catch (const UsageError& e) {
      return e.what();
    }
    return "";
  }
};

}  // namespace

TEST_CASE("a part is chosen by its name, its options have flags of their own, and the configuration has it whole") {
  WithPart f;
  f.parse({});
  CHECK(f.part == Part{"none"});
  f.parse({"--relaxation", "pull", "--relaxation.rho", "0.75", "--relaxation.after"});
  CHECK(f.part == Part{"pull", PullOptions{.rho = 0.75, .after = true}});
  const auto config = nlohmann::json::parse(f.args.config())["relaxation"];
  CHECK(config == nlohmann::json{{"name", "pull"}, {"rho", 0.75}, {"steps", 2}, {"after", true}});
  WithPart again;
  again.args.read(f.args.config(), "x");
  CHECK(again.part == f.part);
  again.parse({"--relaxation", "push"});
  CHECK(again.part == Part{"push", PushOptions{}});
  again.parse({"--relaxation", R"({"name": "push", "from": "right"})", "--relaxation.rho=2"});
  CHECK(again.part == Part{"push", PushOptions{.rho = 2, .from = "right"}});
}

TEST_CASE("a part that is chosen again keeps its options, another one has its own as nobody sets them") {
  WithPart f;
  f.args.read(R"({"relaxation": {"name": "pull", "steps": 7}})", "x");
  f.parse({"--relaxation", "pull"});
  CHECK(f.part == Part{"pull", PullOptions{.steps = 7}});
  f.parse({"--relaxation", "push"});
  CHECK(f.part == Part{"push", PushOptions{}});
}

TEST_CASE("options that a part does not have, or not so, are refused by the flag and by the key") {
  WithPart f;
  CHECK(f.refusal({"--relaxation.rho", "1"}) ==
        "--relaxation.rho: has no effect with --relaxation none; pull, push have it");
  CHECK(f.refusal({"--relaxation", "push", "--relaxation.steps", "1"}) ==
        "--relaxation.steps: has no effect with --relaxation push; pull has it");
  CHECK(f.refusal({"--relaxation", "pull", "--relaxation.rho", "2"}) ==
        "--relaxation.rho: given 2, expected a number from 0 to 1");
  CHECK(f.refusal({"--relaxation", "pul"}).find("expected one of: none pull push") != std::string::npos);
  const auto read = [&f](const char* json) {
    try {
      f.args.read(json, "x");
    } catch (const UsageError& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(read(R"({"relaxation": {"name": "pull", "steps": 10}})") ==
        "x: relaxation: steps: given 10, expected an integer from 1 to 9");
  CHECK(read(R"({"relaxation": {"name": "pull", "steps": 2.5}})").find("steps: given 2.5") != std::string::npos);
  CHECK(read(R"({"relaxation": {"steps": 1}})").find("expected one of none, pull, push") != std::string::npos);
  CHECK(read(R"({"relaxation": 3})").find("x: relaxation: given 3") != std::string::npos);
  CHECK(read(R"({"relaxation.rho": 1})").find(R"(expected relaxation: {"name": ..., "rho": ...})") !=
        std::string::npos);
}

TEST_CASE("the help of a part has every option, with the parts that have it") {
  WithPart f;
  std::string help = f.args.help();
  std::replace(help.begin(), help.end(), '\n', ' ');
  help.erase(std::unique(help.begin(), help.end(), [](char a, char b) { return a == ' ' && b == ' '; }), help.end());
  for (const char* line : {"--relaxation VALUE how they live together; one of none, pull, push (default none)",
                           "--relaxation.rho VALUE share of the way; pull: a number from 0 to 1 (default 0.25); push: "
                           "a number from 0 to 2 "
                           "(default 0.5)",
                           "--relaxation.steps VALUE epochs between [epoch]; pull: an integer from 1 to 9 (default 2)",
                           "--[no-]relaxation.after after the step; pull: true or false (default false)",
                           "--relaxation.from VALUE the side; push: one of left, right (default left)"}) {
    INFO(line);
    CHECK(help.find(line) != std::string::npos);
  }
}
