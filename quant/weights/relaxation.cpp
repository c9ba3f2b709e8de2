#include "quant/weights/relaxation.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/registry.h"
#include "core/map.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/prox_quant.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

class NoRelaxation : public Relaxation {
 public:
  std::string name() const override { return "none"; }
};

class Blend : public Relaxation {
 public:
  explicit Blend(const RelaxationOptions& o)
      : rho_(o.strength),
        first_(o.strength),
        growth_(o.growth),
        every_(o.every),
        most_(std::min(o.most, 1.0)) {
    check(first_ >= 0 && first_ <= most_ && growth_ >= 1 && every_ > 0, "blend: given rho = ", first_,
          " growing by ", growth_, " to at most ", most_, ", expected 0 <= rho <= most <= 1 and growth >= 1");
  }
  std::string name() const override { return "blend"; }
  double strength() const override { return rho_; }
  void advance(const Progress& at) override {
    if (first_ > 0) rho_ = std::min(first_ * std::pow(growth_, std::floor(at.epoch / every_)), most_);
  }

  // In double and rounded once: with a rho of 1e-5, 1 - rho as a float would be off by up to 0.3 % of rho.
  void before_step(const Tensor& x, Tensor& w) override {
    if (rho_ == 0) return;
    const Elements<Real> all = x.elements();
    Real* to = w.mutable_data();
    parallel_pieces(w.numel(), [&](std::int64_t begin, std::int64_t end) {
      const ElementWindow<Real> piece(all, begin, end);
      for (std::int64_t i = begin; i < end; ++i)
        to[i] = static_cast<Real>((1 - rho_) * static_cast<double>(to[i]) +
                                  rho_ * static_cast<double>(piece.data()[i - begin]));
    });
  }

 private:
  double rho_, first_, growth_, every_, most_;
};

class Clip : public Relaxation {
 public:
  std::string name() const override { return "clip"; }
  void after_step(WeightProjection&, double, Tensor& w) override {
    Real* to = w.mutable_data();
    parallel_pieces(w.numel(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) to[i] = std::clamp(to[i], Real(-1), Real(1));
    });
  }
};

Registry<MakeRelaxation>& registry() {
  static Registry<MakeRelaxation> r(
      "relaxation", {{"none", [](const RelaxationOptions&) { return std::make_unique<NoRelaxation>(); }},
                     {"blend", [](const RelaxationOptions& o) { return std::make_unique<Blend>(o); }},
                     {"clip", [](const RelaxationOptions&) { return std::make_unique<Clip>(); }},
                     {"relax", binary_relax},
                     {"prox", prox_quant},
                     {"prox_squared", prox_quant_squared}});
  return r;
}

}  // namespace

std::unique_ptr<Relaxation> relaxation(std::string_view name, const RelaxationOptions& options) {
  const RelaxationOptions& o = options;
  for (const double number : {o.strength, o.growth, o.every, o.hard_from})
    check(std::isfinite(number), name, ": given a setting of ", number, ", expected a finite number");
  check(!std::isnan(o.most), name, ": given at most ", o.most, ", expected a number");
  return registry().find(name)(options);
}

void register_relaxation(std::string name, MakeRelaxation make) {
  registry().add(std::move(name), std::move(make));
}

std::vector<std::string> relaxation_names() { return registry().names(); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
