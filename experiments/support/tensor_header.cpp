#include "experiments/support/tensor_header.h"

#include <algorithm>

#include "experiments/support/json_text.h"

namespace coarsegrad::experiments {
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

std::string entry_text(const TensorEntry& e) {
  return cat(R"({"data_offsets":)", list_text(std::initializer_list{e.begin, e.end}), R"(,"dtype":"F32","shape":)",
             list_text(e.shape), '}');
}

/// The whole numbers >= 0 of a list.
std::vector<std::int64_t> numbers_of(const std::string& name, const json& item, const char* key) {
  const json& list = item.at(key);
  check(list.is_array(), in_quotes(name), ": ", key, " is no list of whole numbers >= 0");
  std::vector<std::int64_t> numbers;
  for (const json& n : list) numbers.push_back(integer_from_json<std::int64_t>(n, cat(in_quotes(name), ": ", key), 0));
  return numbers;
}

TensorEntry entry_of(const std::string& name, const json& item, std::uint64_t value_bytes) {
  check(item.is_object() && item.size() == 3 && item.contains("dtype") && item.contains("shape") &&
            item.contains("data_offsets"),
        in_quotes(name), ": expected dtype, shape and data_offsets");
  const auto shape = numbers_of(name, item, "shape"), offsets = numbers_of(name, item, "data_offsets");
  check(offsets.size() == 2, in_quotes(name), ": given ", offsets.size(), " data_offsets, expected 2");
  check(item.at("dtype") == "F32", in_quotes(name), ": given the dtype ", shortened(item.at("dtype").dump()),
        ", expected \"F32\"");
  check(std::ssize(shape) <= Shape::kMaxRank, in_quotes(name), ": given ", shape.size(), " axes, expected at most ",
        Shape::kMaxRank);
  TensorEntry e{name, Shape(shape.data(), static_cast<int>(shape.size())), static_cast<std::uint64_t>(offsets[0]),
                static_cast<std::uint64_t>(offsets[1])};
  check(e.begin <= e.end && e.end <= value_bytes &&
            e.end - e.begin == static_cast<std::uint64_t>(e.shape.numel()) * sizeof(float),
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

}  // namespace

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

TensorHeader parse_header(std::string_view text, std::uint64_t value_bytes) {
  TensorHeader header;
  bool described = false;
  const auto take = [&](const std::string& name, const json& item) {
    if (name != kMetadata) {
      header.tensors.push_back(entry_of(name, item, value_bytes));
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

}  // namespace coarsegrad::experiments
