#pragma once
// For the files beside a log: numbers in JSON that survive exactly, and the comparison of two sets of settings.
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace coarsegrad::experiments {

/// A number as JSON; NaN and infinity, which JSON does not have, as "nan", "inf" and "-inf". Comes back bit for bit.
nlohmann::json to_json(double value);
/// The number that to_json() has written. Throws Error, or nlohmann's exception, for anything else.
double double_from_json(const nlohmann::json& value);

/// Rows of numbers; what they mean is up to whoever writes them.
using Rows = std::vector<std::vector<double>>;
/// The rows as a list of lists; each number as to_json() writes it.
nlohmann::json to_json(const Rows& rows);
/// The rows that to_json() has written. Throws Error, or nlohmann's exception, for anything else.
Rows rows_from_json(const nlohmann::json& rows);

/// Throws UsageError "WHAT was begun with KEY = OLD, given NEW; ADVICE" for the first key whose value differs, or that
/// `now` lacks; both are JSON objects.
void check_same_settings(const std::string& what, const nlohmann::json& before, const nlohmann::json& now,
                         const std::string& advice);

}  // namespace coarsegrad::experiments
