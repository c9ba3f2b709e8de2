// Packed models as files, and what a run time does with them. What is broken or hostile: hostile_test.cpp.
#include "quant/packed/file.h"

#include <doctest/doctest.h>

#include "quant/packed/graph_text.h"
#include "tests/quant/packed/drawn_model.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;
using namespace coarsegrad::testing;

TEST_CASE("packed file: models with every operation come back and compute the same, bit for bit") {
  for (const Model& m : {small_model(), coded_model()}) {
    const std::string bytes = bytes_of(m);
    const Model back = parse_model(bytes_in(bytes));
    CHECK(bytes_of(back) == bytes);
    CHECK(back.metadata == m.metadata);
    REQUIRE(back.nodes.size() == m.nodes.size());
    for (std::size_t i = 0; i < m.nodes.size(); ++i) {
      CHECK(back.nodes[i].name == m.nodes[i].name);
      CHECK(back.nodes[i].inputs == m.nodes[i].inputs);
      CHECK(back.nodes[i].operation.index() == m.nodes[i].operation.index());
    }
    CHECK(same_bits(outputs_of(m, 3), outputs_of(back, 3)));
    CHECK(fate_of(m) == Fate::ran);
  }
}

TEST_CASE("packed file: the small models have every operation between them") {
  std::vector<bool> found(std::variant_size_v<Operation>);
  for (const Model& m : {small_model(), coded_model()})
    for (const Node& node : m.nodes) found[node.operation.index()] = true;
  for (std::size_t i = 0; i < found.size(); ++i) CHECK_MESSAGE(found[i], "operation number ", i);
}

TEST_CASE("packed file: a name goes on from that of the line before, and normalisations share one array") {
  Model m;
  m.nodes = {{"input", Input{{2}}, {}},   {"a.b.norm", Norm{{1, 2}, {3, 4}, {5, 6}}, {0}},
             {"a.b.c.relu", Relu{}, {1}}, {"a.b.plain", Norm{{7, 8}, {9, 10}, {}}, {2}},
             {"a.b.sum", Add{}, {1, 3}},  {"last", Add{}, {0, 4}}};
  Arrays arrays;
  CHECK(graph_text(m, arrays) ==
        "input input shape=2\n"
        "norm a.b.norm channels=2\n"
        "relu .c.relu\n"
        "norm a.b.plain channels=2 rows=2\n"
        "add .sum from=.norm,\n"
        "add last from=input,");
  REQUIRE(arrays.size() == 1);
  CHECK(std::get<std::vector<float>>(arrays.at("norms")) == std::vector<float>{1, 2, 3, 4, 5, 6, 7, 8, 9, 10});
  const std::string bytes = bytes_of(m);
  CHECK(bytes_of(parse_model(bytes_in(bytes))) == bytes);
}

TEST_CASE("packed file: two nodes that want the same array are refused when they are written") {
  const auto linear = [](std::vector<float> bias) {
    return Linear{packed_integers({1, 1}, std::vector<std::int8_t>{1}, {1}), std::move(bias)};
  };
  Model m;
  m.nodes = {{"input", Input{{1}}, {}}, {"a.bias", linear({}), {0}}, {"a", linear({1}), {1}}};
  CHECK_SAYS(complaint_of([&] { bytes_of(m); }), "two nodes want numbers of the name 'a.bias'");
  m.nodes[2].name = "b";
  CHECK(complaint_of([&] { bytes_of(m); }) == "");
  m.metadata["graph"] = "";
  CHECK_SAYS(complaint_of([&] { bytes_of(m); }), "given metadata 'graph', which is taken");
}

TEST_CASE("packed file: files that are none are refused by their name") {
  const TempFolder folder;
  CHECK_SAYS(complaint_of([&] { read_model(folder / "missing"); }), "missing: cannot be opened");
  CHECK_SAYS(complaint_of([&] { read_model(folder.path()); }), "is not a regular file");
  write_file(folder / "text", "no model");
  CHECK_SAYS(complaint_of([&] { read_model(folder / "text"); }), "text: given a header of");
}

TEST_CASE("packed run time: batches and spans of other sizes are refused") {
  const Runtime net(small_model());
  std::vector<float> x(32), y(1);
  net.run(1, x, y);
  CHECK_SAYS(complaint_of([&] { net.run(0, {}, {}); }), "expected 1 or more of (4,4,2)");
  CHECK_SAYS(complaint_of([&] { net.run(2, x, y); }), "given 2 samples in 32 numbers and room for 1");
  CHECK_SAYS(complaint_of([&] { net.run(1, x, {}); }), "given 1 samples in 32 numbers and room for 0");
  CHECK_SAYS(complaint_of([&] { net.run(-1, x, y); }), "given -1 samples");
  CHECK_SAYS(complaint_of([&] { net.run(std::numeric_limits<std::int64_t>::max(), x, y); }), "samples in 32 numbers");
}

TEST_CASE("packed run time: NaN in the input is NaN in the output, and in no other sample") {
  Model m;
  m.nodes = {{"input", Input{{4, 4, 2}}, {}},
             {"act", Quantize{{0.25f, 15}, 4}, {0}},
             {"conv", Conv2d{packed_integers({2, 1, 1, 2}, std::vector<std::int8_t>{1, 0, -1, 1}, {0.5f}), {}}, {1}},
             {"out", Quantize{{0.25f, 15}, 4}, {2}},
             {"mean", GlobalAveragePool{}, {3}}};
  const Runtime net{Model(m)};
  CHECK(net.plan()[0].thresholds == "out");
  std::vector<float> x = gaussian(64, 1), sound(4), y(4);
  net.run(2, x, sound);
  x[0] = NAN;
  net.run(2, x, y);
  CHECK(std::isnan(y[0]));
  CHECK(same_bits(y[2], sound[2]));
  CHECK(same_bits(y[3], sound[3]));
}
