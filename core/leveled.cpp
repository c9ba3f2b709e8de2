#include "core/leveled.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {

std::optional<LeveledCodes> leveled_codes(const Tensor& t) {
  if (const auto* leveled = dynamic_cast<const Leveled*>(t.source())) return leveled->leveled();
  const Coded* const coded = t.coded();
  if (!coded) return std::nullopt;
  LeveledCodes all{coded->codes(), coded->is_signed(), {}};
  for (const Real scale : coded->scales()) all.levels.push_back({static_cast<double>(scale), 0, 0});
  return all;
}

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
