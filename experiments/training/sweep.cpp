#include "experiments/training/sweep.h"

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/base/regular_file.h"
#include "experiments/support/tensor_file.h"
#include "experiments/training/json_values.h"

namespace coarsegrad::experiments {
namespace {

using nlohmann::json;

constexpr const char* kNewFolder = "choose another --out or remove the folder";

// The value that `convert` makes of a JSON file. Throws Error, with advice, for a file that is damaged.
template <class Convert>
auto read_json(const std::filesystem::path& path, const char* advice, const Convert& convert) {
  try {
    return convert(parse_json(read_regular_file(path, ""), "it"));
  } catch (const std::exception& e) {
    throw Error(cat("sweep: ", path.string(), " is damaged (", e.what(), "); ", advice));
  }
}

json settings_from_json(json settings) {
  check(settings.is_object(), "expected a JSON object");
  return settings;
}

}  // namespace

Sweep::Sweep(std::filesystem::path folder, const std::string& settings) : folder_(std::move(folder)) {
  const auto path = folder_ / "settings.json";
  const json wanted = json::parse(settings);
  if (!std::filesystem::exists(path)) {
    write_file_atomically(path, wanted.dump(1) + "\n");
    return;
  }
  check_same_settings(cat("sweep: ", folder_.string()), read_json(path, kNewFolder, settings_from_json), wanted,
                      kNewFolder);
}

std::filesystem::path Sweep::path_of(const std::string& name) const { return folder_ / (name + ".json"); }

std::filesystem::path Sweep::checkpoint(const std::string& name) const { return folder_ / (name + ".checkpoint"); }

std::filesystem::path Sweep::network(const std::string& name) const { return folder_ / (name + ".safetensors"); }

bool Sweep::finished(const std::string& name) const { return std::filesystem::exists(path_of(name)); }

CellRows Sweep::stored(const std::string& name) const {
  return read_json(path_of(name), "remove it to run this cell again",
                   [](const json& rows) { return rows_from_json(rows); });
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
