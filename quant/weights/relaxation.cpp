#include "quant/weights/relaxation.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/map.h"
#include "quant/weights/binary_relax.h"
#include "quant/weights/mix.h"
#include "quant/weights/option_text.h"
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
  explicit Blend(const BlendOptions& o)
      : rho_(o.rho), first_(o.rho), growth_(o.growth), every_(o.every), most_(o.most) {
    check(first_ >= 0 && first_ <= most_ && most_ <= 1 && growth_ >= 1 && std::isfinite(growth_) && every_ > 0 &&
              std::isfinite(every_),
          "blend: given rho = ", first_, " growing by ", growth_, " every ", every_, " epochs to at most ", most_,
          ", expected 0 <= rho <= most <= 1, growth >= 1 and a positive number of epochs");
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
    parallel_ranges(w.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
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
  void after_step(WeightProjection&, double, Tensor& w) override { clip_to_unit(w); }
};

void add_shipped(PartRegistry<std::unique_ptr<Relaxation>>& all) {
  all.add("none", "Courbariaux, Bengio, David: BinaryConnect, NIPS 2015 (1511.00363)",
          []() -> std::unique_ptr<Relaxation> { return std::make_unique<NoRelaxation>(); });
  all.add("blend", "Yin, Zhang, Lyu, Osher, Qi, Xin: Blended coarse gradient descent, 2018 (1808.05240), section 4",
          BlendOptions{},
          [](const BlendOptions& o) -> std::unique_ptr<Relaxation> { return std::make_unique<Blend>(o); });
  all.add("clip", "Courbariaux, Bengio, David: BinaryConnect, NIPS 2015 (1511.00363), section 2.4",
          []() -> std::unique_ptr<Relaxation> { return std::make_unique<Clip>(); });
  all.add("mix", "Chen, Liu, Zhang, Hou, Yang: asymptotic-quantized estimator, JSTSP 2020 (2003.04296)", MixOptions{},
          mix_relaxation);
  all.add("relax", "Yin, Zhang, Lyu, Osher, Qi, Xin: BinaryRelax, SIIMS 2018 (1801.06313)", BinaryRelaxOptions{},
          binary_relax);
  constexpr const char* kProxQuant = "Bai, Wang, Liberty: ProxQuant, ICLR 2019 (1810.00861)";
  all.add("prox", kProxQuant, ProxQuantOptions{}, prox_quant);
  all.add("prox_squared", kProxQuant, ProxQuantOptions{}, prox_quant_squared);
}

}  // namespace

void clip_to_unit(Tensor& w) {
  Real* to = w.mutable_data();
  parallel_ranges(w.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) to[i] = std::clamp(to[i], Real(-1), Real(1));
  });
}

void describe(OptionVisitor& v, BlendOptions& o) {
  v.number({"rho", "1", "share of the projection in a step; 0: straight through"}, o.rho, {0, 1});
  v.number({"growth", "1", "factor of the strength at each growth"}, o.growth, {1, kNoEnd});
  v.number(option_text::every(), o.every, {0.001, kNoEnd});
  v.number(option_text::most(), o.most, {0, 1});
}

PartRegistry<std::unique_ptr<Relaxation>>& relaxations() {
  static PartRegistry<std::unique_ptr<Relaxation>> all("relaxation", add_shipped);
  return all;
}

std::unique_ptr<Relaxation> relaxation(const Part& part) { return relaxations().make(part); }

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
