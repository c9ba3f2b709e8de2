#include "experiments/training/json_values.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/short_text.h"

namespace coarsegrad::experiments {

using nlohmann::json;

json to_json(double v) {
  if (std::isfinite(v)) return v;
  return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
}

double double_from_json(const json& j) {
  if (j.is_number()) return j.get<double>();
  const std::string text = j.get<std::string>();
  check(text == "nan" || text == "inf" || text == "-inf", "given the number ", in_quotes(text));
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return text == "nan" ? std::numeric_limits<double>::quiet_NaN() : text == "inf" ? kInfinity : -kInfinity;
}

json to_json(const Rows& rows) {
  json all = json::array();
  for (const auto& row : rows) {
    json values = json::array();
    for (const double v : row) values.push_back(to_json(v));
    all.push_back(std::move(values));
  }
  return all;
}

Rows rows_from_json(const json& all) {
  check(all.is_array(), "given rows that are no list");
  Rows rows;
  for (const json& values : all) {
    check(values.is_array(), "given a row that is no list");
    rows.emplace_back();
    for (const json& v : values) rows.back().push_back(double_from_json(v));
  }
  return rows;
}

void check_same_settings(const std::string& what, const json& before, const json& now, const std::string& advice) {
  constexpr std::size_t kShown = 400;  // most characters of a value: the lists of a sweep are long
  json keys = before;
  keys.update(now);
  for (const auto& [key, unused] : keys.items())
    check_usage(before.value(key, json()) == now.value(key, json()), what, " was begun with ", shortened(key), " = ",
                shortened(before.value(key, json()).dump(), kShown), ", given ",
                shortened(now.value(key, json()).dump(), kShown), "; ", advice);
}

}  // namespace coarsegrad::experiments
