#pragma once
// The flag by which a benchmark takes the kernel table it is to measure.
#include <string>
#include <vector>

#include "core/kernels/kernels.h"
#include "experiments/support/run.h"

namespace coarsegrad::experiments {

/// Declares --kernels for `table`, which use_kernels() takes: "auto", a table that this processor runs, or one of `more`.
inline void declare_kernels(Args& args, std::string& table, const std::vector<std::string>& more = {}) {
  std::vector<std::string> names{"auto"};
  names.insert(names.end(), more.begin(), more.end());
  for (const Kernels* one : all_kernels()) names.emplace_back(one->name);
  args.add("kernels", table, "kernel table", names);
}

}  // namespace coarsegrad::experiments
