#include "experiments/training/sweep.h"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/check.h"
#include "experiments/support/tensor_file.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;

std::string read_text(const std::filesystem::path& path) {
  std::ifstream in(path);
  check(in.good(), "sweep: ", path.string(), " cannot be read");
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

// JSON has no NaN or infinity: they are written as text.
json to_json(double v) {
  if (std::isfinite(v)) return v;
  return std::isnan(v) ? "nan" : v > 0 ? "inf" : "-inf";
}

double from_json(const json& j) {
  if (j.is_number()) return j.get<double>();
  const std::string text = j.get<std::string>();
  check(text == "nan" || text == "inf" || text == "-inf", "given the number '", text, "'");
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  return text == "nan" ? std::numeric_limits<double>::quiet_NaN() : text == "inf" ? kInfinity : -kInfinity;
}

}  // namespace

Sweep::Sweep(std::filesystem::path folder, const std::string& settings) : folder_(std::move(folder)) {
  const auto path = folder_ / "settings.json";
  const json wanted = json::parse(settings);
  if (!std::filesystem::exists(path)) {
    write_file_atomically(path, wanted.dump(1) + "\n");
    return;
  }
  const json before = json::parse(read_text(path), nullptr, false);
  check(before.is_object(), "sweep: ", path.string(), " is damaged, expected a JSON object");
  for (const auto& [key, value] : wanted.items())
    check_usage(before.value(key, json()) == value, "sweep: ", folder_.string(), " was begun with ", key,
                " = ", before.value(key, json()).dump(), ", given ", value.dump(),
                "; choose another --out or remove the folder");
}

std::filesystem::path Sweep::path_of(const std::string& name) const { return folder_ / (name + ".json"); }

bool Sweep::finished(const std::string& name) const { return std::filesystem::exists(path_of(name)); }

CellRows Sweep::stored(const std::string& name) const {
  const auto path = path_of(name);
  const std::string text = read_text(path);
  CellRows rows;
  try {
    for (const json& row : json::parse(text)) {
      rows.emplace_back();
      for (const json& value : row) rows.back().push_back(from_json(value));
    }
  } catch (const std::exception& e) {
    throw Error(
        cat("sweep: ", path.string(), " is damaged (", e.what(), "); remove it to run this cell again"));
  }
  return rows;
}

CellRows Sweep::cell(const std::string& name, const std::function<CellRows()>& compute) const {
  if (finished(name)) return stored(name);
  const CellRows rows = compute();
  json text = json::array();
  for (const auto& row : rows) {
    json values = json::array();
    for (const double v : row) values.push_back(to_json(v));
    text.push_back(std::move(values));
  }
  write_file_atomically(path_of(name), text.dump() + "\n");
  return rows;
}

}  // namespace coarsegrad::experiments
