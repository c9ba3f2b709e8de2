#pragma once
// What the files beside a log share: numbers that survive exactly, and the comparison of two sets of settings.
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// A number as JSON; NaN and infinity, which JSON does not have, as "nan", "inf" and "-inf". Comes back bit for bit.
nlohmann::json to_json(double value);
/// Throws Error, or nlohmann's exception, for anything that to_json() does not write.
double double_from_json(const nlohmann::json& value);

/// Rows of numbers; what they mean is up to whoever writes them.
using Rows = std::vector<std::vector<double>>;
nlohmann::json to_json(const Rows& rows);
Rows rows_from_json(const nlohmann::json& rows);

/// Throws UsageError "WHAT was begun with KEY = OLD, given NEW; ADVICE" for the first key whose value
/// differs; both are JSON objects. Keys of `before` that `now` lacks count as different, too.
void check_same_settings(const std::string& what, const nlohmann::json& before, const nlohmann::json& now,
                         const std::string& advice);

}  // namespace coarsegrad::experiments
