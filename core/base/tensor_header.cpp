#include "core/base/tensor_header.h"

#include <algorithm>

#include "core/base/json_text.h"
#include "core/base/sha256.h"

namespace coarsegrad {
namespace {

using nlohmann::json;

constexpr const char* kMetadata = "__metadata__";
constexpr JsonLimits kLimits{.depth = 3, .inner_length = 1024};

/// Numbers as JSON.
template <class Numbers>
std::string list_text(const Numbers& numbers) {
  std::string text;
  for (const auto n : numbers) text += cat(text.empty() ? "" : ",", n);
  return cat('[', text, ']');
}

const char* dtype_of(ElementType type) { return type == ElementType::uint8 ? "U8" : "F32"; }

std::string entry_text(const TensorEntry& e) {
  return cat(R"({"data_offsets":)", list_text(std::initializer_list<std::uint64_t>{e.begin, e.end}), R"(,"dtype":")",
             dtype_of(e.type), R"(","shape":)", list_text(e.shape), '}');
}

/// The whole numbers >= 0 of a list.
std::vector<std::int64_t> numbers_of(const std::string& name, const json& item, const char* key) {
  const json& list = item.at(key);
  check(list.is_array(), in_quotes(name), ": ", key, " is no list of whole numbers >= 0");
  std::vector<std::int64_t> numbers;
  for (const json& n : list) numbers.push_back(integer_from_json<std::int64_t>(n, cat(in_quotes(name), ": ", key), 0));
  return numbers;
}

TensorEntry entry_of(const std::string& name, const json& item, std::uint64_t value_bytes, bool with_bytes) {
  check(item.is_object() && item.size() == 3 && item.contains("dtype") && item.contains("shape") &&
            item.contains("data_offsets"),
        in_quotes(name), ": expected dtype, shape and data_offsets");
  const auto shape = numbers_of(name, item, "shape"), offsets = numbers_of(name, item, "data_offsets");
  check(offsets.size() == 2, in_quotes(name), ": given ", offsets.size(), " data_offsets, expected 2");
  const bool bytes = with_bytes && item.at("dtype") == "U8";
  check(bytes || item.at("dtype") == "F32", in_quotes(name), ": given the dtype ", shortened(item.at("dtype").dump()),
        ", expected \"F32\"", with_bytes ? " or \"U8\"" : "");
  check(std::ssize(shape) <= Shape::kMaxRank, in_quotes(name), ": given ", shape.size(), " axes, expected at most ",
        Shape::kMaxRank);
  TensorEntry e{name, Shape(shape.data(), static_cast<int>(shape.size())), static_cast<std::uint64_t>(offsets[0]),
                static_cast<std::uint64_t>(offsets[1]), bytes ? ElementType::uint8 : ElementType::float32};
  check(e.begin <= e.end && e.end <= value_bytes &&
            e.end - e.begin == static_cast<std::uint64_t>(e.shape.numel()) * element_size(e.type),
        in_quotes(name), ": the offsets do not fit the shape or the file");
  return e;
}

/// Brings the entries into the order of their values, which have to be there once each.
void check_cover(std::vector<TensorEntry>& entries, std::uint64_t value_bytes) {
  std::ranges::sort(entries, {}, [](const TensorEntry& e) { return std::pair(e.begin, e.end); });
  std::uint64_t covered = 0;
  for (const TensorEntry& e : entries) {
    check(e.begin == covered, in_quotes(e.name), ": its values overlap others, or there is a hole before them");
    covered = e.end;
  }
  check(covered == value_bytes, "given ", value_bytes, " bytes of values, expected ", covered);
}

/// The one text of a header: JSON without white space, names in order.
std::string header_text(const TensorHeader& header) {
  std::map<std::string_view, const TensorEntry*> by_name{{kMetadata, nullptr}};
  for (const TensorEntry& e : header.tensors) {
    const bool is_new = by_name.emplace(e.name, &e).second;
    check(is_new, "tensor file: given ", in_quotes(e.name), " twice");
  }
  std::string text;
  for (const auto& [name, entry] : by_name)
    text += cat(text.empty() ? '{' : ',', json(name).dump(), ':',
                entry ? entry_text(*entry) : json(header.metadata).dump());
  return text + '}';
}

// SHA-256 of the header without its entry of the checksum, followed by the values.
std::string checksum_of(const TensorHeader& header, ValueBytes values) {
  const std::string text = header_text(header);
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(text))};
  parts.insert(parts.end(), values.begin(), values.end());
  return sha256(parts);
}

}  // namespace

TensorHeader parse_header(std::string_view text, std::uint64_t value_bytes, bool with_bytes) {
  TensorHeader header;
  bool described = false;
  const auto take = [&](const std::string& name, const json& item) {
    if (name != kMetadata) {
      header.tensors.push_back(entry_of(name, item, value_bytes, with_bytes));
      return true;
    }
    check(item.is_object() && std::ranges::all_of(item, [](const json& v) { return v.is_string(); }),
          "its metadata are no texts by name");
    header.metadata = item.get<std::map<std::string, std::string>>();
    return described = true;
  };
  const json rest = parse_json(text, "the header", kLimits, take);
  check(rest.is_object(), "the header is no JSON object");
  check(described, "the header has no __metadata__");
  check_cover(header.tensors, value_bytes);
  return header;
}

std::string header_bytes(TensorHeader header, ValueBytes values) {
  check(!header.metadata.contains("sha256"), "tensor file: given metadata 'sha256', which is taken");
  header.metadata["sha256"] = checksum_of(header, values);
  std::string text = header_text(header);
  text.resize((text.size() + 7) / 8 * 8, ' ');
  const std::uint64_t length = text.size();
  check(length <= kMaxHeaderBytes, "tensor file: given names and metadata of ", length, " bytes, expected at most ",
        kMaxHeaderBytes);
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + text;
}

void take_checksum(TensorHeader& header, ValueBytes values) {
  const auto checksum = header.metadata.extract("sha256");
  check(!checksum.empty() && checksum.mapped() == checksum_of(header, values), "the checksum does not match");
}

}  // namespace coarsegrad
