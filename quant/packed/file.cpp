#include "quant/packed/file.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "core/base/check.h"
#include "core/base/regular_file.h"
#include "core/base/short_text.h"
#include "core/base/tensor_header.h"
#include "quant/packed/graph_text.h"

namespace coarsegrad::packed {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are written as they lie in memory");

std::span<const std::byte> bytes_in(const Array& a) {
  return std::visit([](const auto& numbers) { return std::as_bytes(std::span(numbers)); }, a);
}

ElementType type_of(const Array& a) {
  return std::holds_alternative<std::vector<float>>(a) ? ElementType::float32 : ElementType::uint8;
}

// Floats come first: they lie at multiples of their size then.
std::vector<std::pair<std::string, const Array*>> in_file_order(const Arrays& arrays) {
  std::vector<std::pair<std::string, const Array*>> order;
  for (const ElementType type : {ElementType::float32, ElementType::uint8})
    for (const auto& [name, array] : arrays)
      if (type_of(array) == type) order.emplace_back(name, &array);
  return order;
}

template <class Number>
Array copied(std::span<const std::byte> bytes) {
  std::vector<Number> numbers(bytes.size() / sizeof(Number));
  std::memcpy(numbers.data(), bytes.data(), bytes.size());
  return numbers;
}

// A copy of the values of an entry that fits the file (parse_header()).
Array array_of(const TensorEntry& e, std::span<const std::byte> values) {
  check(e.shape.rank() == 1 && e.begin < e.end, "given the numbers ", in_quotes(e.name), " in the shape ", e.shape,
        ", expected one axis, and not of 0");
  const auto bytes = values.subspan(e.begin, e.end - e.begin);
  return e.type == ElementType::uint8 ? copied<std::uint8_t>(bytes) : copied<float>(bytes);
}

std::string taken(std::map<std::string, std::string>& metadata, const char* name) {
  auto entry = metadata.extract(name);
  check(!entry.empty(), "given no metadata ", in_quotes(name));
  return std::move(entry.mapped());
}

}  // namespace

std::string bytes_of(const Model& model) {
  check_model(model);
  for (const char* name : {"format", "graph"})
    check(!model.metadata.contains(name), "packed model: given metadata ", in_quotes(name), ", which is taken");
  Arrays arrays;
  TensorHeader header{{}, model.metadata};
  header.metadata["format"] = kFormat;
  header.metadata["graph"] = graph_text(model, arrays);
  std::vector<std::span<const std::byte>> values;
  std::uint64_t offset = 0;
  for (const auto& [name, array] : in_file_order(arrays)) {
    values.push_back(bytes_in(*array));
    const std::uint64_t begin = offset, size = values.back().size();
    const ElementType type = type_of(*array);
    const Shape shape{static_cast<std::int64_t>(size / element_size(type))};
    header.tensors.push_back({name, shape, begin, offset += size, type});
  }
  std::string bytes = header_bytes(std::move(header), values);
  for (const auto part : values) bytes.append(reinterpret_cast<const char*>(part.data()), part.size());
  return bytes;
}

Model parse_model(std::span<const std::byte> bytes) {
  std::uint64_t length = 0;
  check(bytes.size() >= sizeof length, "given ", bytes.size(), " bytes, expected a header");
  std::memcpy(&length, bytes.data(), sizeof length);
  const std::uint64_t rest = bytes.size() - sizeof length, most = std::min(rest, kMaxHeaderBytes);
  check(length <= most, "given a header of ", length, " bytes, expected at most ", most);
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()) + sizeof length, length);
  TensorHeader header = parse_header(text, rest - length, true);
  const std::span<const std::byte> values = bytes.subspan(sizeof length + length);
  take_checksum(header, std::span(&values, 1));
  Model model{.metadata = std::move(header.metadata)};
  const std::string format = taken(model.metadata, "format");
  check(format == kFormat, "given the format ", in_quotes(format), ", expected ", kFormat);
  Arrays arrays;
  for (const TensorEntry& e : header.tensors) arrays.emplace(e.name, array_of(e, values));
  model.nodes = parse_graph(taken(model.metadata, "graph"), arrays);
  check(arrays.empty(), "given numbers that no node reads: ", in_quotes(arrays.empty() ? "" : arrays.begin()->first));
  check_model(model);
  return model;
}

Model read_model(const std::filesystem::path& path) {
  try {
    RegularFile file(path, "");
    check(file.size() <= kMostFileBytes, "given ", file.size(), " bytes, expected at most ", kMostFileBytes);
    std::vector<std::byte> bytes(file.size());
    file.read(bytes);
    return parse_model(bytes);
  } catch (const Error& e) {
    throw Error(cat("packed model ", path.string(), ": ", e.what()));
  }
}

}  // namespace coarsegrad::packed
