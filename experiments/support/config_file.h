#pragma once
// Reading a --config file. Internal to the flags: mains use args.h.
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace coarsegrad::experiments {

/// Keeps the order of the knobs.
using Json = nlohmann::ordered_json;

/// The file as an object whose values are scalars, flat lists or flat objects. Throws UsageError, one line that names the
/// file and, for malformed JSON, line and column; also for a repeated key, deeper nesting and files above 1
/// MiB. A pipe will do.
Json read_config(const std::string& path);

/// One line of JSON; bytes that are no UTF-8 are replaced.
std::string dump(const Json& value);

}  // namespace coarsegrad::experiments
