#include "experiments/support/log_position.h"

#include "core/base/json_text.h"

namespace coarsegrad::experiments {

using nlohmann::json;

std::string LogPosition::text() const {
  return json{{"created", created}, {"wall_seconds", wall_seconds}, {"rows", rows}}.dump();
}

LogPosition LogPosition::parse(const std::string& text) {
  try {
    const json object = parse_json(text, "it");
    LogPosition position{object.at("created"), object.at("wall_seconds"), {}};
    check(object.size() == 3 && object.at("rows").is_object() && position.wall_seconds >= 0, "given ", shortened(text));
    for (const auto& [group, count] : object.at("rows").items())
      position.rows[group] = integer_from_json<std::uint64_t>(count, cat("rows of ", shortened(group)));
    return position;
  } catch (const std::exception& e) {
    throw Error(cat("position of a log: ", e.what()));
  }
}

}  // namespace coarsegrad::experiments
