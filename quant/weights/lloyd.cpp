#include "quant/weights/lloyd.h"

#include "core/base/check.h"
#include "quant/math/lloyd.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class Lloyd : public CodedProjection {
 public:
  Lloyd(std::string name, const LloydOptions& o)
      : CodedProjection(std::move(name), {o.bits, o.per_channel}),
        steps_(o.steps),
        levels_(highest_weight_level(o.bits)) {
    check_usage(steps_ >= 1 && o.bits >= 2, "lloyd weights: given ", steps_, " steps and ", o.bits,
                " bits, expected 1 step or more and 2 bits or more");
  }

 protected:
  double encode(std::span<const Real> w, std::int64_t, std::int8_t* codes) override {
    const double start = lloyd_start(static_cast<double>(magnitude<Real>(w).max), bits());
    return lloyd<Real>(w, start, steps_, levels_, codes);
  }

  const int steps_, levels_;
};

class WarmLloyd : public Lloyd {
 public:
  explicit WarmLloyd(const LloydOptions& o) : Lloyd("warm_lloyd", o) {}

  void begin(const Tensor& w) override { delta_ = Tensor({groups(w)}); }
  Tensor project(const Tensor& w) override {
    if (delta_.numel() != groups(w)) begin(w);
    next_.assign(delta_.view().begin(), delta_.view().end());
    Tensor projected = Lloyd::project(w);
    delta_ = Tensor(delta_.shape(), next_);
    return projected;
  }

 private:
  double encode(std::span<const Real> w, std::int64_t group, std::int8_t* codes) override {
    Real& delta = next_[static_cast<std::size_t>(group)];
    const double ended = lloyd_warm<Real>(w, static_cast<double>(delta), steps_, levels_, codes);
    delta = static_cast<Real>(ended);
    return ended;
  }

  Tensor& delta_ = register_buffer("delta", Tensor({1}));
  std::vector<Real> next_;
};

}  // namespace

void describe(OptionVisitor& v, LloydOptions& o) {
  v.integer(option_text::bits(), o.bits, {1, 8});
  v.integer(option_text::sign_of_zero(), o.sign_of_zero, {0, 1});
  v.flag(option_text::per_channel(), o.per_channel);
  v.integer({"steps", "1", "steps of the alternation in each projection"}, o.steps, {1, 1000});
}

std::unique_ptr<WeightProjection> lloyd_projection(const LloydOptions& options) {
  if (options.bits == 1) return exact_projection("lloyd", {1, options.sign_of_zero, options.per_channel});
  return std::make_unique<Lloyd>("lloyd", options);
}

std::unique_ptr<WeightProjection> warm_lloyd_projection(const LloydOptions& options) {
  if (options.bits == 1) return exact_projection("warm_lloyd", {1, options.sign_of_zero, options.per_channel});
  return std::make_unique<WarmLloyd>(options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
