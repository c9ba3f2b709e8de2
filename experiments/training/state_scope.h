#pragma once
// StateScope: what a part of a training remembers is, at the end of the scope, what it was at the beginning.
#include "core/state.h"

namespace coarsegrad::experiments {

/// T has state() and load_state(); the object must outlive the scope.
template <class T>
class StateScope {
 public:
  explicit StateScope(T& object) : object_(object), before_(object.state()) {}
  ~StateScope() { object_.load_state(before_); }  // NOLINT(bugprone-exception-escape): the state is the object's own
  StateScope(const StateScope&) = delete;
  StateScope& operator=(const StateScope&) = delete;

 private:
  T& object_;
  const State before_;
};

}  // namespace coarsegrad::experiments
