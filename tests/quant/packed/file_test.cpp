// Packed models as files: what is written comes back, and what is broken or hostile is refused.
#include "quant/packed/file.h"

#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "core/base/tensor_header.h"
#include "quant/packed/coarsegrad.h"
#include "quant/packed/runtime.h"
#include "tests/support/errors.h"
#include "tests/support/tables.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;
using namespace coarsegrad::testing;

namespace {

std::span<const std::byte> bytes_in(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string complaint(const std::string& file) {
  return complaint_of([&] { parse_model(bytes_in(file)); });
}

// One of each operation.
Model small_model() {
  const std::vector<std::int8_t> ternary{1, 0, -1, 1}, powers{1, -2, 3, 4, 0, -4, 2, 1};
  Model m;
  m.metadata["dataset"] = "made up";
  m.nodes = {{"input", Input{{4, 4, 2}}, {}},
             {"conv", Conv2d{packed_integers({2, 1, 1, 2}, ternary, {0.3f, 0.7f}), {0.1f, -0.2f}}, {0}},
             {"norm", Norm{{0, 0.1f}, {1, -2}, {0.5f, 0}}, {1}},
             {"act", Quantize{{0.25f, 15}, 4}, {2}},
             {"pool", MaxPool{Window{{2, 2}, {1, 1}, {1, 1}}}, {3}},
             {"mean", AveragePool{Window{{2, 2}, {1, 1}, {0, 0}}}, {4}},
             {"shortcut", Subsample{{1, 1}, 0, 0}, {0}},
             {"sum", Add{}, {5, 6}},
             {"levels", Levels{{0.125f, 0.375f, 0.75f}, false}, {7}},
             {"abs", Abs{}, {8}},
             {"relu", Relu{}, {9}},
             {"clamp", Clamp{-1, 0.5f}, {10}},
             {"all", GlobalAveragePool{}, {11}},
             {"flat", Reshape{{2}}, {12}},
             {"fc", Linear{packed_powers({4, 2}, powers, 4, 4, {0.1f}), {}}, {13}},
             {"fc2", Linear{packed_values({1, 4}, std::vector<float>{0.1f, 0.2f, 0.3f, 0.4f}), {1}}, {14}}};
  return m;
}

struct Piece {
  std::string name;
  std::string bytes;
  bool floats = false;
};

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

// A file with a right checksum around any graph and numbers.
std::string file_with(const std::string& graph, const std::vector<Piece>& pieces, const std::string& format = kFormat) {
  TensorHeader header{{}, {{"format", format}, {"graph", graph}}};
  std::vector<std::span<const std::byte>> values;
  std::uint64_t offset = 0;
  for (const Piece& p : pieces) {
    const auto size = static_cast<std::int64_t>(p.bytes.size());
    header.tensors.push_back({p.name, Shape{p.floats ? size / 4 : size}, offset, offset + p.bytes.size(),
                              p.floats ? ElementType::float32 : ElementType::uint8});
    offset += p.bytes.size();
    values.push_back(bytes_in(p.bytes));
  }
  std::string file = header_bytes(header, values);
  for (const Piece& p : pieces) file += p.bytes;
  return file;
}

std::vector<float> outputs_of(const Model& m, std::int64_t batch) {
  const Runtime net{Model(m)};
  const std::vector<float> x = gaussian(batch * net.input().numel(), 3);
  std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
  net.run(batch, x, y);
  return y;
}

// Whether a process with 64 MiB more than it has refuses the file for what it is.
bool refused_in_little_memory(const std::string& file) {
  const pid_t child = fork();
  if (child == 0) {
    long pages = 0;
    if (std::FILE* const statm = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(statm, "%ld", &pages) != 1) pages = 0;
      std::fclose(statm);
    }
    const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
    const rlimit memory{limit, limit};
    setrlimit(RLIMIT_AS, &memory);
    try {
      parse_model(bytes_in(file));
    } catch (const Error&) {
      _exit(0);
    } catch (...) {
    }
    _exit(1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

const std::string kInput = "input input shape=2,2,1\n";
const std::string kConv = "conv2d c weight=1,1,1,1 scale=1";
const std::vector<Piece> kOneBit{{"c", "\x01"}};

}  // namespace

TEST_CASE("packed file: a model with every operation comes back and computes the same, bit for bit") {
  const Model m = small_model();
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
}

TEST_CASE("packed file: cut at every byte, with a byte more, or with any one bit flipped, it is refused") {
  const std::string whole = bytes_of(small_model());
  for (std::size_t n = 0; n < whole.size(); ++n) CHECK(!complaint(whole.substr(0, n)).empty());
  CHECK(!complaint(whole + '\0').empty());
  int accepted = 0;
  const Model sound = small_model();
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (!complaint(flipped).empty()) continue;
    ++accepted;  // a blank behind the header that has become another white space
    CHECK(bytes_of(parse_model(bytes_in(flipped))) == whole);
  }
  CHECK(accepted <= 7 * 8);
}

TEST_CASE("packed file: headers that are no headers are refused") {
  CHECK_SAYS(complaint(""), "given 0 bytes, expected a header");
  std::string long_header(16, '\0');
  const std::uint64_t length = std::uint64_t{1} << 60;
  std::memcpy(long_header.data(), &length, 8);
  CHECK_SAYS(complaint(long_header), "given a header of 1152921504606846976 bytes, expected at most 8");
  const std::string sound = file_with(kInput + kConv, kOneBit);
  CHECK(complaint(sound) == "");
  CHECK_SAYS(complaint(file_with(kInput + kConv, kOneBit, "coarsegrad-packed/2")),
             "given the format 'coarsegrad-packed/2', expected coarsegrad-packed/1");
  std::string other = sound;
  other.back() = '\x00';
  CHECK_SAYS(complaint(other), "the checksum does not match");
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string text = sound;
    text.replace(text.find(from), from.size(), to);
    return complaint(text);
  };
  CHECK_SAYS(replaced("[0,1]", "[1,2]"), "the offsets do not fit the shape or the file");
  CHECK_SAYS(replaced("[0,1]", "[0,9]"), "the offsets do not fit the shape or the file");
  CHECK_SAYS(replaced("\"U8\"", "\"I8\""), "given the dtype \"I8\", expected \"F32\" or \"U8\"");
  CHECK_SAYS(replaced("\"c\":", "\"graph\":").empty() ? "accepted" : "refused", "refused");
  const std::string doubled = file_with(kInput + kConv, {{"c", "\x01"}, {"d", "\x01"}});
  CHECK_SAYS(complaint(doubled), "given numbers that no node reads: 'd'");
}

TEST_CASE("packed file: overlapping numbers and names twice are refused") {
  const std::string sound = file_with(kInput + kConv, {{"c", "\x01"}, {"d", "\x01"}});
  std::string text = sound;
  const std::string from = "\"d\":{\"data_offsets\":[1,2]";
  text.replace(text.find(from), from.size(), "\"d\":{\"data_offsets\":[0,1]");
  CHECK_SAYS(complaint(text), "its values overlap others, or there is a hole before them");
  text = sound;
  text.replace(text.find("\"d\":"), 4, "\"c\":");
  CHECK_SAYS(complaint(text), "has 'c' twice");
}

TEST_CASE(
    "packed file: graphs with cycles, dangling names, unknown words and absurd shapes are refused, each by name") {
  const auto graph = [](const std::string& lines, std::vector<Piece> pieces = kOneBit) {
    return complaint(file_with(lines, pieces));
  };
  CHECK(graph(kInput + kConv) == "");
  CHECK_SAYS(graph(kInput + "relu r from=c\n" + kConv + " from=r"),
             "given the input 'c', expected the name of an earlier");
  CHECK_SAYS(graph(kInput + kConv + " from=c"), "given the input 'c', expected the name of an earlier");
  CHECK_SAYS(graph(kInput + kConv + " from=nobody"), "given the input 'nobody', expected the name of an earlier");
  CHECK_SAYS(graph(kInput + kConv + "\nrelu c"), "line 3 of its graph: given the name 'c' twice");
  CHECK_SAYS(graph(kInput + kConv + "\nexplode e"), "given the operation 'explode', which is unknown");
  CHECK_SAYS(graph(kInput + kConv + " colour=3"), "given the key 'colour', which is unknown");
  CHECK_SAYS(graph(kInput + kConv + " scale=2"), "given 'scale' twice");
  CHECK_SAYS(graph(kInput + kConv + " word"), "given 'word', expected KEY=VALUE");
  CHECK_SAYS(graph(kInput + kConv + " bits=x"), "given 'x', expected a number");
  CHECK_SAYS(graph(kInput + kConv + " stride=0"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " padding=-1"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " dilation=99999999999"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " groups=0"), "0 groups");
  CHECK_SAYS(graph(kInput + kConv + " codes=runes"), "codebook: given 'runes'");
  CHECK_SAYS(graph("conv2d c"), "line 1 of its graph");
  CHECK_SAYS(graph(""), "expected an operation and a name");
  CHECK_SAYS(graph(kInput), "expected an operation and a name");
  CHECK_SAYS(graph("input input shape=2,2,1", {}), "given 1 nodes, expected an input and an output");
  CHECK_SAYS(graph(kInput + "input again shape=2,2,1", {}), "given 1 inputs, expected 0");
  CHECK_SAYS(graph("relu r\n" + kConv), "given 0 inputs, expected 1");
  CHECK_SAYS(graph(kInput + "add a", {}), "given 1 inputs, expected 2");
  CHECK_SAYS(graph("input input shape=999999999999,9,9\n" + kConv), "shape");
  CHECK_SAYS(graph("input input shape=0,2,1\n" + kConv), "expected 1 to 268435456 elements");
  CHECK_SAYS(graph("input input shape=-1,2,1\n" + kConv), "line 1 of its graph");
  CHECK_SAYS(graph("input input shape=65536,65536,1\n" + kConv), "expected 1 to 268435456 elements");
  CHECK_SAYS(graph("input input shape=1,1,1,1,1,1\n" + kConv), "an axis for the batch");
  CHECK_SAYS(graph("input input shape=1,1,1,1,1,1,1\n" + kConv), "given 7 extents, expected at most 6");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,9 scale=1"), "expected 1 to 8 bits and the bytes for them");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1048576,1048576,1 scale=1"), "expected 1 to 8 bits and the bytes");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,3,3,1 scale=1", {{"c", "\x01\x01"}}), "expected an output of at least");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1"), "given 0 scales");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1 scale=inf"), "given a number that is not finite");
  CHECK_SAYS(graph(kInput + "linear c weight=1,1 scale=1"), "expected (out, in) and (in)");
  CHECK_SAYS(graph(kInput + kConv, {}), "given no numbers 'c'");
  CHECK_SAYS(graph(kInput + kConv, {{"c", floats({1}), true}}), "as floats, expected bytes");
  CHECK_SAYS(graph(kInput + "norm c"), "as bytes, expected floats");
  CHECK_SAYS(graph(kInput + "norm c", {{"c", floats({1, 2}), true}}), "expected (2, C) or (3, C)");
  CHECK_SAYS(graph(kInput + "quantize q bits=9", {}), "given 9 bits, expected 1 to 8");
  CHECK_SAYS(graph(kInput + "quantize q bits=2 levels=4", {}), "given 4 levels above 0 with 2 bits");
  CHECK_SAYS(graph(kInput + "quantize q alpha=-1", {}), "given alpha = -1");
  CHECK_SAYS(graph(kInput + "quantize q alpha=nan", {}), "given alpha = nan");
  CHECK_SAYS(graph(kInput + "quantize q rounding=down", {}), "given rounding 'down'");
  CHECK_SAYS(graph(kInput + "levels l sizes=0.5,0.25", {}), "do not ascend");
  CHECK_SAYS(graph(kInput + "clamp l lower=2 upper=1", {}), "expected finite ones in order");
  CHECK_SAYS(graph(kInput + "max_pool p kernel=3", {}), "does not fit into");
  CHECK_SAYS(graph(kInput + "max_pool p kernel=99999", {}), "expected 1 to 65536 places");
  CHECK_SAYS(graph(kInput + "subsample s before=2", {}), "0 to all");
  CHECK_SAYS(graph(kInput + "reshape r shape=5", {}), "expected as many elements");
  CHECK_SAYS(
      graph(kInput + "conv2d c weight=1,1,1,1 codes=table bits=1", {{"c", "\x01"}, {"c.table", floats({1}), true}}),
      "beyond the 1 of its table");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1 codes=powers bits=3 magnitudes=1 scale=1", {{"c", "\x03"}}),
             "given a power beyond its 1 magnitudes");
  std::string lines = kInput + kConv;
  for (int i = 0; i < 20000; ++i) lines += "\nrelu r" + std::to_string(i);
  CHECK_SAYS(graph(lines), "given a graph of 20002 lines, expected at most 16384");
}

TEST_CASE("packed file: what is refused takes no memory beyond that of the file") {
#if defined(__SANITIZE_ADDRESS__)
  MESSAGE("skipped: an address space that a sanitizer has taken cannot be limited");
#else
  CHECK(refused_in_little_memory(file_with("input input shape=16384,16384,1\n" + kConv + " bits=2", kOneBit)));
  CHECK(refused_in_little_memory(file_with(kInput + "conv2d c weight=1048576,1024,1024,1 scale=1", kOneBit)));
  CHECK(refused_in_little_memory(file_with(kInput + kConv + " padding=1048576", kOneBit)));
  CHECK(!refused_in_little_memory(file_with(kInput + kConv, kOneBit)));
#endif
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

TEST_CASE("packed models from C: load, shapes, run, error and free do what the C++ ones do") {
  const TempFolder folder;
  const std::string path = (folder / "a.cgpacked").string();
  write_file(path, bytes_of(small_model()));
  CHECK(coarsegrad_load((folder / "missing").c_str()) == nullptr);
  CHECK_SAYS(coarsegrad_error(), "missing: cannot be opened");
  CHECK(coarsegrad_load(nullptr) == nullptr);
  coarsegrad_model* const net = coarsegrad_load(path.c_str());
  REQUIRE(net != nullptr);
  coarsegrad_shape in, out;
  coarsegrad_shapes(net, &in, &out);
  CHECK(in.rank == 3);
  CHECK(in.extent[0] == 4);
  CHECK(in.extent[2] == 2);
  CHECK(out.rank == 1);
  CHECK(out.extent[0] == 1);
  CHECK(out.extent[4] == 1);
  const std::vector<float> x = gaussian(3 * 32, 3);
  std::vector<float> y(3);
  CHECK(coarsegrad_run(net, 3, x.data(), y.data()) == 0);
  CHECK(same_bits(y, outputs_of(small_model(), 3)));
  CHECK(coarsegrad_run(net, 0, x.data(), y.data()) == -1);
  CHECK_SAYS(coarsegrad_error(), "a batch of 0");
  CHECK(coarsegrad_run(net, 1, nullptr, y.data()) == -1);
  coarsegrad_free(net);
  coarsegrad_free(nullptr);
}
