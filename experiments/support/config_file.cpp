#include "experiments/support/config_file.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad::experiments {
namespace {

constexpr std::size_t kMaxFileBytes = 1 << 20;
constexpr std::size_t kMaxReason = 300;  // longest message of the parser, which repeats what it has read

/// Follows the parser through a file that must be one object of scalars, and of lists and objects of scalars; stops it
/// at a repeated key or at deeper nesting, before memory is spent on it.
class KnobsGuard {
 public:
  explicit KnobsGuard(std::string path) : path_(std::move(path)) {}

  bool operator()(int depth, Json::parse_event_t event, const Json& parsed) {
    using Event = Json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth == 0)
      check_usage(event == Event::object_start, path_, ": given a list, expected an object of knobs");
    if (opens && depth > 0) {
      check_usage(depth == 1, path_, ": ", key_, ": nested too deep, expected a value, a flat list or a flat object");
      seen_in_part_.clear();
    }
    if (event == Event::key) {
      const std::string name = parsed.get<std::string>();
      if (depth == 1) key_ = shortened(name);
      const bool is_new = (depth == 1 ? seen_ : seen_in_part_).insert(name).second;
      check_usage(is_new, path_, ": key '", depth == 1 ? key_ : cat(key_, ".", shortened(name)), "' is there twice");
    }
    return true;
  }

 private:
  std::string path_, key_;
  std::set<std::string> seen_, seen_in_part_;
};

/// The parser's own words without its number: "line 3, column 7: ...".
std::string parser_message(const std::exception& e) {
  std::string text = e.what();
  for (const char* lead : {"] ", "parse error at "})
    if (const auto at = text.find(lead); at != std::string::npos) text.erase(0, at + std::string(lead).size());
  return text;
}

/// At most kMaxFileBytes, from whatever can be read: `<(...)` of a shell names a pipe, which has no size.
std::string contents_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  check_usage(file.is_open(), "--config ", path, ": ", std::strerror(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  check_usage(!file.bad(), "--config ", path, ": cannot be read");
  text.resize(static_cast<std::size_t>(file.gcount()));
  check_usage(text.size() <= kMaxFileBytes, "--config ", path, ": given more than ", kMaxFileBytes,
              " bytes, expected at most that");
  return text;
}

}  // namespace

std::string dump(const Json& value) {
  return value.dump(-1, ' ', false,
                    Json::error_handler_t::replace);  // a flag may hold bytes that are no UTF-8
}

Json read_config(const std::string& path) {
  const std::string text = contents_of(path);
  try {
    Json json =
        Json::parse(text, [guard = KnobsGuard(path)](int depth, Json::parse_event_t event, Json& parsed) mutable {
          return guard(depth, event, parsed);
        });
    check_usage(json.is_object(), path, ": given ", json.type_name(), ", expected an object of knobs");
    return json;
  } catch (const Json::exception& e) {
    throw UsageError(cat(path, ": ", shortened(parser_message(e), kMaxReason)));
  }
}

}  // namespace coarsegrad::experiments
