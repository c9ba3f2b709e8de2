#pragma once
// StateScope: a part of a training remembers at the end of a scope what it remembered at the beginning.
#include "core/state.h"

namespace coarsegrad::experiments {

/// Gives an object with state() and load_state() its state back. Not copied: the state is given back once.
template <class T>
class StateScope {
 public:
  /// Takes the state that the destructor gives back; the object must outlive the scope.
  explicit StateScope(T& object) : object_(object), before_(object.state()) {}
  ~StateScope() { object_.load_state(before_); }  // NOLINT(bugprone-exception-escape): the state is the object's own
  StateScope(const StateScope&) = delete;
  StateScope& operator=(const StateScope&) = delete;

 private:
  T& object_;
  const State before_;
};

}  // namespace coarsegrad::experiments
