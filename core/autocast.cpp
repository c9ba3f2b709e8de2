#include "core/autocast.h"

#include <type_traits>
#include <utility>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

thread_local ComputeType in_use = ComputeType::real;

ComputeType checked(ComputeType type) {
  check(type == ComputeType::real || std::is_same_v<Real, float>,
        "autocast: given bfloat16 for tensors of float64, expected tensors of float32");
  return type;
}

}  // namespace

ComputeType compute_type() { return in_use; }

Autocast::Autocast(ComputeType type) : saved_(std::exchange(in_use, checked(type))) {}
Autocast::~Autocast() { in_use = saved_; }

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
