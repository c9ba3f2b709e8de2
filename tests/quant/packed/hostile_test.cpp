// Broken and hostile packed models: none crashes, reads out of bounds, or takes memory before sizes are checked.
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <ctime>

#include "tests/quant/packed/drawn_model.h"
#include "tests/support/errors.h"
#include "tests/support/sanitizers.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;

namespace {

std::string complaint(const std::string& file) {
  return complaint_of([&] { parse_model(bytes_in(file)); });
}

const std::string kInput = "input input shape=2,2,1\n";
const std::string kConv = "conv2d c weight=1,1,1,1 scale=1";
const std::vector<Piece> kOneBit{{"c", "\x01"}};

std::string graph(const std::string& lines, const std::vector<Piece>& pieces = kOneBit) {
  return complaint(file_with(lines, pieces));
}

// A file with one piece of its text replaced; its checksum is not made good.
std::string replaced(std::string file, const std::string& from, const std::string& to) {
  const auto at = file.find(from);
  REQUIRE(at != std::string::npos);
  file.replace(at, from.size(), to);
  std::uint64_t length = 0;
  std::memcpy(&length, file.data(), sizeof length);
  length += to.size() - from.size();
  std::memcpy(file.data(), &length, sizeof length);
  return file;
}

// A file with any header.
std::string with_header(const std::string& header, std::uint64_t length, const std::string& values = "") {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + values;
}
std::string with_header(const std::string& header) { return with_header(header, header.size()); }

// Whether a process with 64 MiB more than it has refuses the file for what it is, within 10 seconds. Not used under
// sanitizers.
[[maybe_unused]] bool refused_in_little_memory(const std::string& file) {
  const pid_t child = fork();
  if (child == 0) {
    long pages = 0;
    if (std::FILE* const statm = std::fopen("/proc/self/statm", "r")) {
      if (std::fscanf(statm, "%ld", &pages) != 1) pages = 0;
      std::fclose(statm);
    }
    const rlim_t limit = static_cast<rlim_t>(pages) * static_cast<rlim_t>(sysconf(_SC_PAGESIZE)) + (rlim_t{64} << 20);
    const rlimit memory{limit, limit}, time{10, 10};
    setrlimit(RLIMIT_AS, &memory);
    setrlimit(RLIMIT_CPU, &time);
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

}  // namespace

TEST_CASE("hostile model: a truncated file, cut at any byte, is refused, and so is one with a byte more") {
  for (const Model& m : {small_model(), coded_model()}) {
    const std::string whole = bytes_of(m);
    for (std::size_t n = 0; n < whole.size(); ++n) CHECK(!complaint(whole.substr(0, n)).empty());
    CHECK(!complaint(whole + '\0').empty());
    CHECK(complaint(whole).empty());
  }
}

TEST_CASE("hostile model: a file with any one bit flipped is refused, or says the same") {
  const std::string whole = bytes_of(small_model());
  int accepted = 0;
  for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
    std::string flipped = whole;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    if (!complaint(flipped).empty()) continue;
    ++accepted;  // a blank behind the header that has become another white space
    CHECK(bytes_of(parse_model(bytes_in(flipped))) == whole);
  }
  CHECK(accepted <= 7 * 8);
}

TEST_CASE("hostile model: a header that is longer than the file or than any header is refused") {
  CHECK_SAYS(complaint(""), "given 0 bytes, expected a header");
  CHECK_SAYS(complaint("1234567"), "given 7 bytes, expected a header");
  CHECK_SAYS(complaint(with_header("12345678", 9)), "given a header of 9 bytes, expected at most 8");
  CHECK_SAYS(complaint(with_header("12345678", std::uint64_t{1} << 60)), "expected at most 8");
  CHECK_SAYS(complaint(with_header("12345678", ~std::uint64_t{0})), "expected at most 8");
  const std::string blank(kMaxHeaderBytes + 1, ' ');
  CHECK_SAYS(complaint(with_header(blank)), cat("given a header of ", blank.size(), " bytes, expected at most"));
}

TEST_CASE("hostile model: a header that is no JSON object, too deep or no UTF-8 is refused") {
  CHECK_SAYS(complaint(with_header("")), "the header is no JSON");
  CHECK_SAYS(complaint(with_header("{\"a\":")), "the header is no JSON");
  CHECK_SAYS(complaint(with_header("\xff\xfe{}")), "the header is no JSON");
  CHECK_SAYS(complaint(with_header("{\"\xff\":{}}")), "the header is no JSON");
  CHECK_SAYS(complaint(with_header("[]")), "the header is no JSON object");
  CHECK_SAYS(complaint(with_header(std::string(100'000, '['))), "nested more than");
  CHECK_SAYS(complaint(with_header("{\"a\":" + std::string(100'000, '{'))), "the header is no JSON");
  CHECK_SAYS(complaint(with_header("{}")), "the header has no __metadata__");
  CHECK_SAYS(complaint(with_header("{\"__metadata__\":[]}")), "its metadata are no texts by name");
  CHECK_SAYS(complaint(with_header("{\"__metadata__\":{\"a\":1}}")), "its metadata are no texts by name");
}

TEST_CASE("hostile model: overlapping offsets, and holes between them, are refused") {
  const std::string sound = file_with(kInput + kConv, {{"c", "\x01"}, {"d", "\x01"}});
  CHECK_SAYS(complaint(replaced(sound, R"("d":{"data_offsets":[1,2])", R"("d":{"data_offsets":[0,1])")),
             "'d': its values overlap others, or there is a hole before them");
  CHECK_SAYS(complaint(replaced(sound, R"("c":{"data_offsets":[0,1])", R"("c":{"data_offsets":[1,2])")),
             "'c': its values overlap others, or there is a hole before them");
  CHECK_SAYS(complaint(sound + '\x01'), "given 3 bytes of values, expected 2");
}

TEST_CASE("hostile model: offsets out of range, backwards, negative, broken or too many are refused") {
  const std::string sound = file_with(kInput + kConv, kOneBit);
  for (const char* offsets : {"[0,9]", "[1,2]", "[1,0]", "[1,1]", "[9223372036854775807,9223372036854775807]"})
    CHECK_SAYS(complaint(replaced(sound, "[0,1]", offsets)), "the offsets do not fit the shape or the file");
  for (const char* offsets : {"[-1,0]", "[0,1.0]", "[0,1e0]", "[0,true]", "[0,\"1\"]", "[0,18446744073709551616]"})
    CHECK_SAYS(complaint(replaced(sound, "[0,1]", offsets)), "expected a whole number");
  CHECK_SAYS(complaint(replaced(sound, "[0,1]", "[0]")), "given 1 data_offsets, expected 2");
  CHECK_SAYS(complaint(replaced(sound, "[0,1]", "[0,1,1]")), "given 3 data_offsets, expected 2");
  CHECK_SAYS(complaint(replaced(sound, "[0,1]", "1")), "data_offsets is no list");
  CHECK_SAYS(complaint(replaced(sound, "\"U8\"", "\"I8\"")), "given the dtype \"I8\", expected \"F32\" or \"U8\"");
  CHECK_SAYS(complaint(replaced(sound, ",\"dtype\":\"U8\"", "")), "expected dtype, shape and data_offsets");
}

TEST_CASE("hostile model: absurd shapes of arrays are refused") {
  const std::string sound = file_with(kInput + kConv, kOneBit);
  const auto shape = [&](const std::string& text) { return complaint(replaced(sound, "[1]}", text + "}")); };
  CHECK_SAYS(shape("[1,1,1,1,1,1,1]"), "given 7 axes, expected at most 6");
  CHECK_SAYS(shape("[1099511627776,1099511627776]"), "expected at most 2^40 elements");
  CHECK_SAYS(shape("[9223372036854775807]"), "expected at most 2^40 elements");
  CHECK_SAYS(shape("[-1]"), "expected a whole number");
  CHECK_SAYS(shape("[0]"), "the offsets do not fit the shape or the file");
  std::string axes = "[1";
  for (int i = 0; i < 1'000'000; ++i) axes += ",1";
  CHECK_SAYS(shape(axes + "]"), "more than 1024 entries");
  CHECK_SAYS(graph(kInput + kConv, {{"c", "\x01"}, {"d", ""}}), "expected one axis, and not of 0");
  const auto in_shape = [](const Shape& axes_of_c) {
    const std::string value = "\x01";
    const std::span<const std::byte> values = bytes_in(value);
    const TensorHeader header{{{"c", axes_of_c, 0, 1, ElementType::uint8}},
                              {{"format", kFormat}, {"graph", kInput + kConv}}};
    return complaint(header_bytes(header, std::span(&values, 1)) + value);
  };
  CHECK(in_shape({1}) == "");
  CHECK_SAYS(in_shape({1, 1}), "given the numbers 'c' in the shape (1,1), expected one axis");
  CHECK_SAYS(in_shape({}), "expected one axis");
}

TEST_CASE("hostile model: absurd shapes of values and weights are refused") {
  CHECK_SAYS(graph("input input shape=999999999999,9,9\n" + kConv), "shape");
  CHECK_SAYS(graph("input input shape=9223372036854775807,2,2\n" + kConv), "shape");
  CHECK_SAYS(graph("input input shape=9223372036854775808\n" + kConv), "expected a number");
  CHECK_SAYS(graph("input input shape=0,2,1\n" + kConv), "expected 1 to 268435456 elements");
  CHECK_SAYS(graph("input input shape=-1,2,1\n" + kConv), "line 1 of its graph");
  CHECK_SAYS(graph("input input shape=1.5,2,1\n" + kConv), "given '1.5', expected a number");
  CHECK_SAYS(graph("input input shape=65536,65536,1\n" + kConv), "expected 1 to 268435456 elements");
  CHECK_SAYS(graph("input input shape=1,1,1,1,1,1\n" + kConv), "an axis for the batch");
  for (const char* scale : {"-1", "-0.5", "1e-42", "nan", "inf"})
    CHECK_SAYS(graph(cat("input input shape=2,2,1 scale=", scale, '\n') + kConv),
               "of pixels, expected a positive number");
  for (const char* scale : {"x", ""})
    CHECK_SAYS(graph(cat("input input shape=2,2,1 scale=", scale, '\n') + kConv), "line 1 of its graph");
  CHECK_SAYS(graph("input input shape=1,1,1,1,1,1,1\n" + kConv), "expected at most 6 pieces");
  CHECK_SAYS(graph("input input\n" + kConv), "line 1 of its graph: given '', expected a number");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,9 scale=1"), "expected 1 to 8 bits and the bytes for them");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1048576,1048576,1 scale=1"), "expected 1 to 8 bits and the bytes");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,3,3,1 scale=1", {{"c", "\x01\x01"}}), "expected an output of at least");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1 scale=1"), "expected (out, kh, kw, in)");
  CHECK_SAYS(graph(kInput + "conv2d c weight=0,1,1,1 scale=1"), "without an extent of 0");
  CHECK_SAYS(graph(kInput + "linear c weight=1,1 scale=1"), "expected (out, in) and (in)");
  CHECK_SAYS(graph(kInput + "norm n channels=2", {{"norms", floats({1, 1, 1, 1, 1, 1}), true}}),
             "given 2 of mean, expected one for each of 1 channels");
  CHECK_SAYS(graph(kInput + "max_pool p kernel=3", {}), "does not fit into");
  CHECK_SAYS(graph(kInput + "max_pool p kernel=99999", {}), "expected 1 to 65536 places");
  CHECK_SAYS(graph(kInput + "subsample s before=2", {}), "0 to all");
  CHECK_SAYS(graph(kInput + "subsample s channels=1048576 stride=1\nsubsample t channels=1048577", {}), "0 to all");
  CHECK_SAYS(graph(kInput + "reshape r shape=5", {}), "expected as many elements");
}

TEST_CASE("hostile model: steps, groups, bits, magnitudes and numbers out of range are refused") {
  CHECK_SAYS(graph(kInput + kConv + " stride=0"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " padding=-1"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " dilation=99999999999"), "given a stride, padding or dilation out of range");
  CHECK_SAYS(graph(kInput + kConv + " stride=1,1,1"), "expected at most 2 pieces");
  CHECK_SAYS(graph(kInput + kConv + " groups=0"), "0 groups");
  CHECK_SAYS(graph(kInput + kConv + " groups=9223372036854775807"), "9223372036854775807 groups");
  for (const char* bits : {"0", "-1", "9", "2147483647"})
    CHECK_SAYS(graph(kInput + kConv + " codes=integers bits=" + bits), "expected 1 to 8 bits and the bytes for them");
  CHECK_SAYS(graph(kInput + kConv + " bits=2147483648"), "given '2147483648', expected a number");
  CHECK_SAYS(graph(kInput + kConv + " bits=x"), "given 'x', expected a number");
  CHECK_SAYS(graph(kInput + kConv + " codes=powers bits=2 magnitudes=65"), "expected 1 to 64 for powers");
  CHECK_SAYS(graph(kInput + kConv + " magnitudes=1"), "and none otherwise");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1 codes=powers bits=3 magnitudes=1 scale=1", {{"c", "\x03"}}),
             "given a power beyond its 1 magnitudes");
  CHECK_SAYS(
      graph(kInput + "conv2d c weight=1,1,1,1 codes=table bits=1", {{"c", "\x01"}, {"c.table", floats({1}), true}}),
      "beyond the 1 of its table");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1"), "given 0 scales");
  CHECK_SAYS(graph(kInput + "conv2d c weight=1,1,1,1 scale=inf"), "given a number that is not finite");
  CHECK_SAYS(graph(kInput + "quantize q alpha=nan", {}), "given alpha = nan");
  CHECK_SAYS(graph(kInput + "quantize q alpha=1e-40", {}), "neither infinite nor subnormal");
  CHECK_SAYS(graph(kInput + "quantize q steps=0", {}), "given 0 steps");
  CHECK_SAYS(graph(kInput + "quantize q bits=9", {}), "given 9 bits, expected 1 to 8");
  CHECK_SAYS(graph(kInput + "quantize q bits=2 levels=4", {}), "expected less than 2^bits");
  CHECK_SAYS(graph(kInput + "quantize q rounding=down", {}), "given rounding 'down'");
  CHECK_SAYS(graph(kInput + "levels l sizes=0.5,0.25", {}), "do not ascend");
  CHECK_SAYS(graph(kInput + "levels l sizes=1,1,1,1,1", {}), "expected at most 4 pieces");
  CHECK_SAYS(graph(kInput + "levels l sizes=1 binary=2", {}), "expected 0 or 1");
  CHECK_SAYS(graph(kInput + "clamp l lower=2 upper=1", {}), "expected finite ones in order");
  CHECK_SAYS(graph(kInput + "clamp l lower=-inf", {}), "expected finite ones in order");
}

TEST_CASE("hostile model: an unknown version, and a file without one, are refused") {
  CHECK_SAYS(complaint(file_with(kInput + kConv, kOneBit, "coarsegrad-packed/2")),
             "given the format 'coarsegrad-packed/2', expected coarsegrad-packed/1");
  CHECK_SAYS(complaint(file_with(kInput + kConv, kOneBit, "")), "given the format ''");
  CHECK_SAYS(complaint(file_of({{{"graph", kInput + kConv}}, kOneBit})), "given no metadata 'format'");
  CHECK_SAYS(complaint(file_of({{{"format", kFormat}}, kOneBit})), "given no metadata 'graph'");
}

TEST_CASE("hostile model: a wrong checksum, and a file without one, are refused") {
  const std::string sound = file_with(kInput + kConv, kOneBit);
  CHECK(complaint(sound) == "");
  std::string other = sound;
  other.back() = '\x00';
  CHECK_SAYS(complaint(other), "the checksum does not match");
  CHECK_SAYS(complaint(replaced(sound, "scale=1", "scale=2")), "the checksum does not match");
  CHECK_SAYS(complaint(replaced(sound, "\"sha256\"", "\"sha257\"")), "the checksum does not match");
}

TEST_CASE("hostile model: duplicate names of arrays, metadata, nodes and keys are refused") {
  const std::string two = file_with(kInput + kConv, {{"c", "\x01"}, {"d", "\x01"}});
  CHECK_SAYS(complaint(replaced(two, "\"d\":", "\"c\":")), "has 'c' twice");
  CHECK_SAYS(complaint(replaced(two, "\"sha256\":", "\"graph\":")), "has 'graph' twice");
  CHECK_SAYS(graph(kInput + kConv + "\nrelu c"), "line 3 of its graph: given the name 'c' twice");
  CHECK_SAYS(graph("input a.b shape=2,2,1\nconv2d a.c weight=1,1,1,1 scale=1\nrelu .b", {{"a.c", "\x01"}}),
             "given the name 'a.b' twice");
  CHECK_SAYS(graph(kInput + kConv + " scale=2"), "given 'scale' twice");
}

TEST_CASE("hostile model: graphs with cycles are refused") {
  CHECK_SAYS(graph(kInput + kConv + " from=c"), "given the input 'c', expected the name of an earlier");
  CHECK_SAYS(graph(kInput + "relu r from=c\n" + kConv + " from=r"), "line 2 of its graph: given the input 'c'");
  CHECK_SAYS(graph("input input from=input shape=2,2,1\n" + kConv), "given the input 'input', expected the name of an");
  Model m = small_model();
  m.nodes[3].inputs = {3};
  CHECK_SAYS(complaint_of([&] { check_model(m); }), "given the input number 3, expected an earlier node");
  m.nodes[3].inputs = {-1};
  CHECK_SAYS(complaint_of([&] { Runtime{Model(m)}; }), "given the input number -1, expected an earlier node");
}

TEST_CASE("hostile model: graphs with dangling names, and names that are none, are refused") {
  CHECK_SAYS(graph(kInput + kConv + " from=nobody"), "given the input 'nobody', expected the name of an earlier");
  CHECK_SAYS(graph(kInput + kConv + " from=.input"), "given the name '.input' behind 'c', expected a dot there, too");
  CHECK_SAYS(graph(kInput + "conv2d .c weight=1,1,1,1 scale=1"), "given the name '.c' behind 'input'");
  CHECK_SAYS(graph(".a input shape=1\nrelu r", {}), "given the operation '.a', which is unknown");
  CHECK_SAYS(graph("input .a shape=1\nrelu r", {}), "given the name '.a' behind ''");
  CHECK_SAYS(graph(kInput + "relu " + std::string(257, 'a'), {}), "expected at most 256 bytes");
  CHECK_SAYS(graph(kInput + "relu " + std::string(253, 'a') + ".b\nrelu .ccc", {}), "expected at most 256 bytes");
  CHECK_SAYS(graph(kInput + "add a", {}), "given 1 inputs, expected 2");
  CHECK_SAYS(graph(kInput + "add a from=,,", {}), "expected at most 2 pieces");
  CHECK_SAYS(graph(kInput + "relu r from=input,", {}), "given 2 inputs, expected 1");
  CHECK_SAYS(graph("input input shape=2,2,1", {}), "given 1 nodes, expected an input, an output and at");
  CHECK_SAYS(graph(kInput + "input again shape=2,2,1", {}), "given 1 inputs, expected 0");
  CHECK_SAYS(graph("relu r\n" + kConv), "given 0 inputs, expected 1");
  CHECK(graph(kInput + "add a from=input,input\n" + kConv) == "");
}

TEST_CASE("hostile model: unknown operations, keys and codebooks, and lines that are none, are refused") {
  CHECK_SAYS(graph(kInput + kConv + "\nexplode e"), "given the operation 'explode', which is unknown");
  CHECK_SAYS(graph(kInput + kConv + " colour=3"), "given the key 'colour', which is unknown");
  CHECK_SAYS(graph(kInput + kConv + " word"), "given 'word', expected KEY=VALUE");
  CHECK_SAYS(graph(kInput + kConv + " stride="), "given 'stride=', expected KEY=VALUE");
  CHECK_SAYS(graph(kInput + kConv + " codes=runes"), "codebook: given 'runes'");
  CHECK_SAYS(graph("conv2d c"), "line 1 of its graph");
  CHECK_SAYS(graph(""), "expected an operation and a name");
  CHECK_SAYS(graph(kInput), "expected an operation and a name");
  CHECK_SAYS(graph(kInput + kConv + "  stride=1"), "given '', expected KEY=VALUE");
}

TEST_CASE("hostile model: numbers that are missing, left over, too few or of another kind are refused") {
  const std::string norm = kInput + "norm n channels=1";
  CHECK_SAYS(graph(kInput + kConv, {}), "given no numbers 'c'");
  CHECK_SAYS(graph(kInput + kConv, {{"c", "\x01"}, {"d", "\x01"}}), "given numbers that no node reads: 'd'");
  CHECK_SAYS(graph(kInput + kConv, {{"c", floats({1}), true}}), "as floats, expected bytes");
  CHECK_SAYS(graph(kInput + kConv, {{"c", "\x01"}, {"c.bias", "\x01"}}), "as bytes, expected floats");
  CHECK_SAYS(graph(kInput + kConv, {{"c", "\x01"}, {"c.bias", floats({1, 2}), true}}), "given 2 of bias");
  CHECK_SAYS(graph(kInput + kConv, {{"c", "\x01"}, {"c.scale", floats({1}), true}}), "in its line and in its numbers");
  CHECK_SAYS(graph(kInput + kConv + " codes=floats", {{"c", floats({1}), true}}), "given the key 'scale'");
  CHECK_SAYS(graph(norm, {}), "given 1 channels, expected 1 to 0");
  CHECK_SAYS(graph(norm, {{"norms", floats({1, 2}), true}}), "given 1 channels, expected 1 to 0");
  CHECK_SAYS(graph(norm, {{"norms", floats({1, 2, 3, 4}), true}}), "given 1 numbers in 'norms' that no node reads");
  CHECK_SAYS(graph(norm, {{"norms", "\x01\x01\x01"}}), "'norms' as bytes, expected floats");
  CHECK_SAYS(graph(norm + " rows=4", {{"norms", floats({1, 2, 3}), true}}), "given 4 rows, expected 2 or 3");
  CHECK_SAYS(graph(norm, {{"norms", floats({1, NAN, 3}), true}}), "given a number that is not finite");
  for (const char* channels : {"0", "-1", "9223372036854775807"})
    CHECK_SAYS(graph(kInput + "norm n channels=" + channels, {{"norms", floats({1, 2, 3}), true}}), "expected 1 to 3");
}

namespace {

void expect_little_memory() {
  constexpr std::size_t kMany = std::size_t{2} << 20;
  CHECK(refused_in_little_memory(file_with("input input shape=16384,16384,1\n" + kConv + " bits=2", kOneBit)));
  CHECK(refused_in_little_memory(file_with(kInput + "conv2d c weight=1048576,1024,1024,1 scale=1", kOneBit)));
  CHECK(refused_in_little_memory(file_with(kInput + kConv + " padding=1048576", kOneBit)));
  CHECK(refused_in_little_memory(file_with(kInput + "norm n channels=268435456", {{"norms", floats({1}), true}})));
  CHECK(refused_in_little_memory(file_with(kInput + "relu r from=" + std::string(kMany, ','), {})));
  CHECK(refused_in_little_memory(file_with(kInput + "levels r sizes=" + std::string(kMany, ','), {})));
  CHECK(refused_in_little_memory(file_with(kInput + "relu r" + std::string(kMany, ' '), {})));
  CHECK(refused_in_little_memory(file_with(std::string(kMany, '\n'), {})));
  std::string keys = kInput + "relu r", lines = kInput + "relu " + std::string(200, 'a') + ".b";
  for (std::size_t i = 0; i < kMany / 8; ++i) keys += " k" + std::to_string(i) + "=1";
  CHECK(refused_in_little_memory(file_with(keys, {})));
  for (int i = 0; i < 16000; ++i) lines += "\nrelu .b" + std::to_string(i);
  CHECK(refused_in_little_memory(file_with(lines + "\nrelu .b from=nobody", {})));
  CHECK(refused_in_little_memory(with_header(std::string(kMany, '['))));
  CHECK(!refused_in_little_memory(file_with(kInput + kConv, kOneBit)));
}

}  // namespace

TEST_CASE("hostile model: what is refused takes no memory beyond that of the file, and no time") {
  if (testing::kAddressSanitizer)
    MESSAGE("skipped: an address space that a sanitizer has taken cannot be limited");
  else
    expect_little_memory();
  std::string too_many = kInput + kConv;
  for (int i = 0; i < 20000; ++i) too_many += "\nrelu r" + std::to_string(i);
  CHECK_SAYS(graph(too_many), "given a graph of 20002 lines, expected at most 16384");
}

TEST_CASE(
    "hostile model: one of as many nodes as a file may have, all values needed at once, is ready within seconds") {
  Model m;
  m.nodes = {{"x", Input{{1}}, {}}};
  constexpr int kValues = 8191;
  for (int i = 0; i < kValues; ++i) m.nodes.push_back({"r" + std::to_string(i), Relu{}, {0}});
  for (int i = 0; i < kValues; ++i)
    m.nodes.push_back({"s" + std::to_string(i), Add{}, {static_cast<int>(m.nodes.size()) - 1, kValues - i}});
  const std::clock_t before = std::clock();
  const Runtime net(parse_model(bytes_in(bytes_of(m))));
  float x = 2, y = 0;
  net.run(1, {&x, 1}, {&y, 1});
  CHECK(y == 2 * (kValues + 1));
  CHECK(static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC < (testing::kAddressSanitizer ? 30 : 10));
  m.nodes.push_back({"last", Relu{}, {0}});
  check_model(m);
  m.nodes.push_back({"too_many", Relu{}, {0}});
  CHECK_SAYS(complaint_of([&] { check_model(m); }),
             "given 16385 nodes, expected an input, an output and at most 16384");
}

TEST_CASE("hostile model: whatever is changed behind a right checksum is refused, or read, and runs") {
  std::mt19937 random(5);
  const auto below = [&](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const auto change = [&](std::string& text) {
    const std::size_t at = below(text.size() + 1);
    if (below(3) == 0 && at < text.size())
      text.erase(at, 1 + below(4));
    else if (below(2) == 0 && at < text.size())
      text[at] = static_cast<char>(below(2) == 0 ? text[below(text.size())] : static_cast<char>(random()));
    else
      text.insert(at, text.substr(below(text.size() + 1), below(12)));
  };
  std::map<Fate, int> fates;
  const Contents sound[] = {*contents_of(bytes_in(bytes_of(small_model()))),
                            *contents_of(bytes_in(bytes_of(coded_model())))};
  for (int i = 0; i < 1200; ++i) {
    Contents contents = sound[i % 2];
    for (std::size_t more = 1 + below(2); more > 0; --more)
      change(below(3) != 0 ? contents.metadata["graph"] : contents.pieces[below(contents.pieces.size())].bytes);
    std::string file;
    try {
      file = file_of(contents);
    } catch (const std::exception&) {  // a byte in the text that is no UTF-8
      continue;
    }
    ++fates[fate_of(bytes_in(file))];
  }
  MESSAGE(fates[Fate::refused], " refused, ", fates[Fate::sound], " too large to run, ", fates[Fate::ran], " ran");
  CHECK(fates[Fate::refused] > 500);
  CHECK(fates[Fate::ran] > 100);
}

TEST_CASE("hostile model: drawn models, sound and absurd ones, are refused, or run with thresholds and without alike") {
  std::map<Fate, int> fates;
  for (unsigned seed = 1; seed <= 2500; ++seed) {
    INFO("seed ", seed);
    std::mt19937 random(seed);
    const auto integer = [&random](std::int64_t low, std::int64_t high) {
      return std::uniform_int_distribution<std::int64_t>(low, high)(random);
    };
    Model model;
    try {
      model = ModelDraw(integer).model();
    } catch (const Error&) {
      continue;
    }
    Fate fate = Fate::refused;
    CHECK(complaint_of([&] { fate = fate_of(model); }) == "");
    ++fates[fate];
  }
  MESSAGE(fates[Fate::refused], " refused, ", fates[Fate::sound], " too large to run, ", fates[Fate::ran], " ran");
  CHECK(fates[Fate::refused] > 300);
  CHECK(fates[Fate::ran] > 400);
}
