#pragma once
// Packed models as files: the layout of safetensors (core/base/tensor_header.h), packed weights as U8 and other numbers
// as F32 tensors; in the metadata `format`, `graph` (quant/packed/graph_text.h), `sha256`, and what the model itself
// has.
#include <filesystem>
#include <span>
#include <string>

#include "quant/packed/model.h"

namespace coarsegrad::packed {

/// The metadata "format" of a file: what it is and its version.
inline constexpr const char* kFormat = "coarsegrad-packed/1";
/// Bytes of the longest file that is read.
inline constexpr std::uint64_t kMostFileBytes = std::uint64_t{1} << 31;

/// The model as the bytes of a file. Throws Error as check_model() does, and for metadata called "format", "graph" or
/// "sha256".
std::string bytes_of(const Model& model);

/// The model in the bytes of a file, which are taken as hostile: nothing is allocated before sizes are checked, and it
/// takes memory of the order of the bytes. Throws Error for what is no such file: bytes that are cut off, flipped or
/// left over, a header that is too long, malformed or of another format, offsets that overlap, numbers that no node
/// reads, a wrong checksum, and a graph that parse_graph() or check_model() refuses.
Model parse_model(std::span<const std::byte> bytes);

/// parse_model() of a file. Throws Error "packed model PATH: ..." as that does, for what is no regular file, and for
/// one of more than kMostFileBytes.
Model read_model(const std::filesystem::path& path);

}  // namespace coarsegrad::packed
