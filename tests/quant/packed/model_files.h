#pragma once
// Small packed models, and files with any contents whose checksum is right.
#include <algorithm>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/base/check.h"
#include "core/base/tensor_header.h"
#include "quant/packed/file.h"

namespace coarsegrad::packed {

inline std::span<const std::byte> bytes_in(const std::string& text) { return std::as_bytes(std::span(text)); }

/// An array of a file.
struct Piece {
  std::string name;
  std::string bytes;
  bool floats = false;
};

inline std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// What a file says, without what holds it together: length, offsets, checksum.
struct Contents {
  std::map<std::string, std::string> metadata;
  std::vector<Piece> pieces;
};

/// The file with these contents. Bytes behind the last whole float of a piece are left out.
inline std::string file_of(const Contents& contents) {
  TensorHeader header{{}, contents.metadata};
  std::string values;
  for (const Piece& p : contents.pieces) {
    const std::size_t element = p.floats ? sizeof(float) : 1, count = p.bytes.size() / element, begin = values.size();
    values += p.bytes.substr(0, count * element);
    header.tensors.push_back({p.name, Shape{static_cast<std::int64_t>(count)}, begin, values.size(),
                              p.floats ? ElementType::float32 : ElementType::uint8});
  }
  const std::span<const std::byte> all = bytes_in(values);
  return header_bytes(header, std::span(&all, 1)) + values;
}

/// A file around any graph and numbers.
inline std::string file_with(const std::string& graph, const std::vector<Piece>& pieces,
                             const std::string& format = kFormat) {
  return file_of({{{"format", format}, {"graph", graph}}, pieces});
}

/// The contents of a file, whatever its checksum; nothing where it has no header.
inline std::optional<Contents> contents_of(std::span<const std::byte> file) try {
  std::uint64_t length = 0;
  if (file.size() < sizeof length) return {};
  std::ranges::copy(file.first(sizeof length), std::as_writable_bytes(std::span(&length, 1)).begin());
  if (length > file.size() - sizeof length) return {};
  const std::string text(reinterpret_cast<const char*>(file.data()) + sizeof length, length);
  const auto values = file.subspan(sizeof length + length);
  TensorHeader header = parse_header(text, values.size(), true);
  header.metadata.erase("sha256");
  Contents contents{std::move(header.metadata), {}};
  for (const TensorEntry& e : header.tensors)
    contents.pieces.push_back({e.name,
                               {reinterpret_cast<const char*>(values.data()) + e.begin, e.end - e.begin},
                               e.type == ElementType::float32});
  return contents;
} catch (const Error&) {
  return {};
}

/// A model with every operation.
inline Model small_model() {
  const std::vector<std::int8_t> ternary{1, 0, -1, 1}, powers{1, -2, 3, 4, 0, -4, 2, 1};
  Model m;
  m.metadata["dataset"] = "made up";
  m.nodes = {{"input", Input{{4, 4, 2}}, {}},
             {"stage.conv", Conv2d{packed_integers({2, 1, 1, 2}, ternary, {0.3f, 0.7f}), {0.1f, -0.2f}}, {0}},
             {"stage.norm", Norm{{0, 0.1f}, {1, -2}, {0.5f, 0}}, {1}},
             {"stage.act", Quantize{{0.25f, 15}, 4}, {2}},
             {"stage.pool", MaxPool{Window{{2, 2}, {1, 1}, {1, 1}}}, {3}},
             {"stage.mean", AveragePool{Window{{2, 2}, {1, 1}, {0, 0}}}, {4}},
             {"shortcut", Subsample{{1, 1}, 0, 0}, {0}},
             {"sum", Add{}, {5, 6}},
             {"plain_norm", Norm{{0.1f, -0.1f}, {2, 0.5f}, {}}, {7}},
             {"levels", Levels{{0.125f, 0.375f, 0.75f}, false}, {8}},
             {"abs", Abs{}, {9}},
             {"relu", Relu{}, {10}},
             {"tanh", UnitTanh{}, {11}},
             {"clamp", Clamp{-1, 0.75f}, {12}},
             {"all", GlobalAveragePool{}, {13}},
             {"flat", Reshape{{2}}, {14}},
             {"fc", Linear{packed_powers({4, 2}, powers, 4, 4, {0.1f}), {}}, {15}},
             {"fc2", Linear{packed_values({1, 4}, std::vector<float>{0.1f, 0.2f, 0.3f, 0.4f}), {1}}, {16}}};
  return m;
}

/// n numbers, multiples of a step of both signs.
inline std::vector<float> gains(std::int64_t n, float step) {
  std::vector<float> all;
  for (std::int64_t i = 0; i < n; ++i) all.push_back(step * static_cast<float>(i - n / 2));
  return all;
}

/// A model of codes alone: signs, levels, groups, a dilation, channels of zeros.
inline Model coded_model() {
  const auto signs = [](std::int64_t n) {
    std::vector<std::int8_t> codes(static_cast<std::size_t>(n));
    for (std::size_t i = 0; i < codes.size(); ++i) codes[i] = i % 3 == 0 ? -1 : 1;
    return codes;
  };
  const std::vector<float> few{0.5f, -0.5f, 0, 0.25f};
  std::vector<float> table(36 * 4);
  for (std::size_t i = 0; i < table.size(); ++i) table[i] = few[i % 4];
  Model m;
  m.nodes = {{"input", Input{{6, 6, 4}}, {}},
             {"a.act", Quantize{{0.5f, 3, kernels::Rounding::nearest, 3}, 2}, {0}},
             {"a.conv", Conv2d{packed_integers({8, 3, 3, 2}, signs(144), {0.1f}), {}, {1, 1}, {2, 2}, {2, 2}, 2}, {1}},
             {"a.norm", Norm{gains(8, 0.1f), gains(8, -0.5f), gains(8, 0.01f)}, {2}},
             {"a.sign", Quantize{{1, 1, kernels::Rounding::sign}, 1}, {3}},
             {"a.down", Subsample{{2, 2}, 2, 1}, {4}},
             {"b.flat", Reshape{{90}}, {5}},
             {"b.fc", Linear{packed_integers({4, 90}, signs(360), {0.1f, 0.2f, 0, 0.3f}), {}}, {6}},
             {"b.levels", Levels{{0.5f}, true}, {7}},
             {"fc", Linear{packed_values({36, 4}, table), {}}, {8}}};
  return m;
}

}  // namespace coarsegrad::packed
