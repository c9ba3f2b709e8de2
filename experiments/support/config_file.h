#pragma once
// Reading a --config file. Internal to the flags: mains use args.h.
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace coarsegrad::experiments {

/// JSON whose objects keep the order in which their keys were put in, here that of the knobs.
using Json = nlohmann::ordered_json;

/// The file as an object whose values are scalars, flat lists or flat objects; a pipe will do. Throws UsageError, one
/// line that names the file, for malformed JSON (with line and column), a repeated key, deeper nesting, and files above
/// 1 MiB.
Json read_config(const std::string& path);

/// The value as one line of JSON; bytes that are no UTF-8 are replaced.
std::string dump(const Json& value);

}  // namespace coarsegrad::experiments
