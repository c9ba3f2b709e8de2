#include "experiments/training/sweep.h"

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/base/check.h"
#include "experiments/support/tensor_file.h"
#include "experiments/training/json_values.h"

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
  check_same_settings(cat("sweep: ", folder_.string()), before, wanted,
                      "choose another --out or remove the folder");
}

std::filesystem::path Sweep::path_of(const std::string& name) const { return folder_ / (name + ".json"); }

std::filesystem::path Sweep::checkpoint(const std::string& name) const {
  return folder_ / (name + ".checkpoint");
}

std::filesystem::path Sweep::network(const std::string& name) const {
  return folder_ / (name + ".safetensors");
}

bool Sweep::finished(const std::string& name) const { return std::filesystem::exists(path_of(name)); }

CellRows Sweep::stored(const std::string& name) const {
  const auto path = path_of(name);
  const std::string text = read_text(path);
  try {
    return rows_from_json(json::parse(text));
  } catch (const std::exception& e) {
    throw Error(
        cat("sweep: ", path.string(), " is damaged (", e.what(), "); remove it to run this cell again"));
  }
}

CellRows Sweep::cell(const std::string& name, const std::function<CellRows()>& compute) const {
  if (finished(name)) return stored(name);
  CellRows rows = compute();
  write_file_atomically(path_of(name), to_json(rows).dump() + "\n");
  std::error_code ignored;  // what is left costs room and nothing else
  std::filesystem::remove(checkpoint(name), ignored);
  return rows;
}

}  // namespace coarsegrad::experiments
