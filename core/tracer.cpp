#include "core/tracer.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

constinit thread_local Tracer* active_tracer = nullptr;

}  // namespace

Tracer* tracer() { return active_tracer; }

TracerScope::TracerScope(Tracer* active) : before_(std::exchange(active_tracer, active)) {}
TracerScope::~TracerScope() { active_tracer = before_; }

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
