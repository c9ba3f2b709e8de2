// What parts of a training remember, by name.
#include "core/state.h"

#include <doctest/doctest.h>

#include "tests/support/errors.h"

using namespace coarsegrad;

namespace {

State example() {
  return {{{"w", Tensor({2}, Real(3))}, {"v", Tensor()}}, {{"steps", {4, 5}}}, {{"lr", {0.5}}}, {{"log", "here"}}};
}

}  // namespace

TEST_CASE("state: entries by name, and one that is missing or no single number is named") {
  const State s = example();
  CHECK(s.size() == 5);
  CHECK(s.counts_of("steps") == std::vector<std::uint64_t>{4, 5});
  CHECK(s.number("lr") == 0.5);
  CHECK(s.text("log") == "here");
  CHECK_SAYS(complaint_of([&] { s.count("steps"); }), "given 2 numbers for 'steps', expected one");
  CHECK_SAYS(complaint_of([&] { s.count("lr"); }), "'lr' is missing");
  CHECK_SAYS(complaint_of([&] { s.numbers_of("steps"); }), "'steps' is missing");
  CHECK_SAYS(complaint_of([&] { s.text("lr"); }), "'lr' is missing");
}

TEST_CASE("state: what was added under a prefix comes back without it") {
  State all = example();
  all.add("0", example());
  all.add("0.0", {{}, {}, {{"lr", {7}}}, {}});
  CHECK(all.size() == 11);
  CHECK(all.tensors[2].first == "0.w");
  CHECK(all.number("0.lr") == 0.5);
  const State part = all.part("0.0");
  CHECK(part.size() == 1);
  CHECK(part.number("lr") == 7);
  CHECK(all.part("0").number("0.lr") == 7);
  CHECK(all.part("1").size() == 0);
}

TEST_CASE("state: entries that another one does not have, and shapes, are told apart") {
  const State wanted = example();
  const auto complaint = [&](auto&& change) {
    State s = example();
    change(s);
    return complaint_of([&] { s.expect_entries_of(wanted); });
  };
  CHECK(complaint([](State&) {}) == "");
  CHECK(complaint([](State& s) { s.counts["steps"].clear(); }) == "");  // the length is the part's business
  CHECK_SAYS(complaint([](State& s) { s.tensors.pop_back(); }), "'v' is missing");
  CHECK_SAYS(complaint([](State& s) { std::swap(s.tensors[0], s.tensors[1]); }), "given 'v', expected 'w'");
  CHECK_SAYS(complaint([](State& s) { s.tensors.emplace_back("u", Tensor()); }), "given 'u', which is unknown");
  CHECK_SAYS(complaint([](State& s) { s.counts.clear(); }), "'steps' is missing");
  CHECK_SAYS(complaint([](State& s) { s.numbers["mr"]; }), "given 'mr', which is unknown");
  CHECK_SAYS(complaint([](State& s) { s.texts["a"]; }), "given 'a', expected 'log'");
  State shapes{{{"w", Tensor({2})}}, {}, {}, {}};
  const State same = shapes;
  CHECK(complaint_of([&] { shapes.expect_shapes_of(same); }) == "");
  for (const Tensor& wrong : {Tensor({3}), Tensor()}) {
    shapes.tensors[0].second = wrong;
    CHECK_SAYS(complaint_of([&] { shapes.expect_shapes_of(same); }), "given 'w' of shape");
  }
}
