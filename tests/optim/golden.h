#pragma once
// What PyTorch did, written down by tests/golden/make_optim.py.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/check.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

inline const nlohmann::json& golden() {
  static const nlohmann::json values = [] {
    const std::string path = std::string(COARSEGRAD_GOLDEN) + "/optim.json";
    std::ifstream in(path);
    check(in.is_open(), path, ": cannot be opened");
    return nlohmann::json::parse(in);
  }();
  return values;
}

constexpr const char* kRealName = std::is_same_v<Real, double> ? "double" : "float";

inline Tensor tensor_of(const nlohmann::json& numbers) {
  const auto values = numbers.get<std::vector<double>>();
  return Tensor({static_cast<std::int64_t>(values.size())}, std::vector<Real>(values.begin(), values.end()));
}

/// The largest |t - expected| / max(1, |expected|).
inline double error(const Tensor& t, const nlohmann::json& expected) {
  const auto wanted = expected.get<std::vector<double>>();
  check(wanted.size() == static_cast<std::size_t>(t.numel()), "golden values: sizes differ");
  double worst = 0;
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    const double difference = std::abs(static_cast<double>(t.view()[i]) - wanted[i]);
    worst = std::max(worst, difference / std::max(1., std::abs(wanted[i])));
  }
  return worst;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
