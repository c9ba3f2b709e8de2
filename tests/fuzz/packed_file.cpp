// Feeds bytes to the parser of packed models (quant/packed/file.h), and what it takes for a model to the run time. A
// change of any byte makes the checksum wrong, so that the parser would see nothing else: changes are made to what a
// file says, and a file with a right checksum is made around them.
#define DOCTEST_CONFIG_DISABLE
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "tests/quant/packed/drawn_model.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);

namespace {

// libFuzzer's own change of a text.
void change(std::string& text) {
  constexpr std::size_t kMore = 64;
  const std::size_t size = text.size();
  text.resize(size + kMore);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, text.size()));
}

// One change of what the file says.
void change(Contents& contents, std::mt19937& random) {
  const auto below = [&random](std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random); };
  const std::size_t kind = below(16), pieces = contents.pieces.size();
  if (kind == 0) return change(contents.metadata["format"]);
  if (kind == 1) return contents.pieces.push_back({"c.bias", std::string(4, '\x3f'), below(2) == 0});
  if (kind < 8 || pieces == 0) return change(contents.metadata["graph"]);
  Piece& piece = contents.pieces[below(pieces)];
  if (kind == 8) return change(piece.name);
  if (kind == 9) return std::swap(piece, contents.pieces.back()), contents.pieces.pop_back();
  if (kind == 10) return piece.bytes.resize(below(2 * piece.bytes.size() + 8), '\x3f');
  change(piece.bytes);
}

}  // namespace

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned seed) {
  std::mt19937 random(seed);
  std::optional<Contents> contents = contents_of(std::as_bytes(std::span(data, size)));
  if (!contents || random() % 8 == 0) return LLVMFuzzerMutate(data, size, most);
  change(*contents, random);
  try {
    const std::string file = file_of(*contents);
    if (file.size() > most) return LLVMFuzzerMutate(data, size, most);
    std::memcpy(data, file.data(), file.size());
    return file.size();
  } catch (const std::exception&) {  // a name twice, or a text that is no UTF-8: no file says that
    return LLVMFuzzerMutate(data, size, most);
  }
}

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  set_num_threads(1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  use_kernels(size % 2 == 0 ? "auto" : "scalar");
  fate_of(std::as_bytes(std::span(data, size)));
  return 0;
}
