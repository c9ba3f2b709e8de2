#include "experiments/support/log_position.h"

#include <nlohmann/json.hpp>

namespace coarsegrad::experiments {

using nlohmann::json;

std::string LogPosition::text() const {
  return json{{"created", created}, {"wall_seconds", wall_seconds}, {"rows", rows}}.dump();
}

LogPosition LogPosition::parse(const std::string& text) {
  try {
    const json object = json::parse(text);
    LogPosition position{object.at("created"), object.at("wall_seconds"), {}};
    check(object.size() == 3 && object.at("rows").is_object() && position.wall_seconds >= 0, "given ", text);
    for (const auto& [group, count] : object.at("rows").items()) {
      check(count.is_number_unsigned(), group, ": given ", count.dump(), " rows");
      position.rows[group] = count;
    }
    return position;
  } catch (const std::exception& e) {
    throw Error(cat("position of a log: ", e.what()));
  }
}

}  // namespace coarsegrad::experiments
