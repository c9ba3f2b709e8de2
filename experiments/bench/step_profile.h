#pragma once
// Where the time of a training step goes, op by op, beside what the ops have to compute and to move.
#include <algorithm>
#include <chrono>
#include <string>
#include <vector>

#include "core/tracer.h"

namespace coarsegrad::experiments {

/// What a pass of an op takes and has to do.
struct PassProfile {
  std::vector<double> seconds = {};  ///< of each step
  double macs = 0,                   ///< multiplications and additions
      bytes = 0;                     ///< read and written, each array as often as the algorithm has to

  /// Adds to the time of a step.
  void add(std::size_t step, double more) {
    seconds.resize(std::max(seconds.size(), step + 1));
    seconds[step] += more;
  }
};

/// An op of a network.
struct OpProfile {
  std::string module,        ///< path of the innermost module around it
      op;                    ///< its name
  PassProfile forward = {},  ///< the value
      backward = {};         ///< the gradients of its inputs
  double reads = 0;          ///< bytes of its inputs
};

/// A tracer that takes times. What is made only when it is read (core/deferred.h), a normalisation behind which an
/// activation stands, say, counts as time of the op that reads it. Times of the forward pass are those between two ops
/// of the thread, the backward pass is timed op by op; what an op that is made of others spends backwards counts under
/// the names of those.
class StepProfile : public Tracer {
 public:
  /// The ops of the next step follow, the same ones in the same order as in the steps before.
  void begin_step();
  /// All ops in the order of the forward pass, then those that were seen in backward passes alone.
  const std::vector<OpProfile>& ops() const { return ops_; }

  /// Notes the time since the op before. Throws Error for another op than in the step before.
  Mark op(const char* name, const std::vector<Var>& inputs, const Shape& shape, const Attributes& attributes) override;
  /// Adds the time to that op, or to a part of that name.
  void backward(const char* name, Mark mark, double seconds) override;
  /// Parameters have no mark.
  Mark parameter(const Parameter& parameter) override;
  /// Ops belong to this module from here on.
  void enter(const std::string& path, const std::string& kind, const std::vector<Var>& inputs,
             const Attributes& attributes) override;
  /// And no longer.
  void leave(const Var& output) override;

 private:
  using Clock = std::chrono::steady_clock;

  double since_last();
  OpProfile& part(const char* name);
  double bytes_read(const Var& v);
  void count(OpProfile& o, const std::vector<Var>& inputs, const Shape& shape, const Attributes& attributes);

  std::vector<OpProfile> ops_;
  std::size_t steps_ = 0, forward_ops_ = 0, next_ = 0;
  std::vector<std::string> open_ = {""};
  Clock::time_point last_ = {};
};

}  // namespace coarsegrad::experiments
