#include "quant/weights/prox_quant.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/base/check.h"
#include "core/map.h"
#include "quant/weights/option_text.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Towards q by `amount`, not beyond.
double soft_threshold(double w, double q, double amount) {
  return q + std::copysign(std::max(std::abs(w - q) - amount, 0.0), w - q);
}

double mixture(double w, double q, double amount) { return (w + amount * q) / (1 + amount); }

template <double (*kProx)(double w, double q, double amount)>
class ProxQuant : public Relaxation {
 public:
  ProxQuant(std::string name, const ProxQuantOptions& o) : name_(std::move(name)), options_(o) {
    check(o.rate >= 0 && std::isfinite(o.rate) && o.every > 0 && std::isfinite(o.every) && !std::isnan(o.most) &&
              std::isfinite(o.hard_from),
          name_, ": given lambda growing by ", o.rate, " every ", o.every,
          " epochs, expected no negative rate and a positive number of epochs");
    advance({});
  }

  std::string name() const override { return name_; }
  double strength() const override { return lambda_; }
  void advance(const Progress& at) override {
    lambda_ = at.share() >= options_.hard_from
                  ? std::numeric_limits<double>::infinity()
                  : std::min(options_.rate * std::floor(at.epoch / options_.every), options_.most);
  }

  Tensor effective(WeightProjection& projection, const Tensor& w) override {
    return frozen() ? projection.project(w) : w;
  }
  ProjectionGradient gradient(WeightProjection&, const Tensor&, const Tensor& g) override {
    return {frozen() ? Tensor() : g};
  }
  void after_step(WeightProjection& projection, double rate, Tensor& w) override {
    const double amount = rate * lambda_;
    if (frozen() || amount == 0) return;
    w = zip(w, projection.project(w), [amount](Real v, Real q) {
      return static_cast<Real>(kProx(static_cast<double>(v), static_cast<double>(q), amount));
    });
  }

 private:
  bool frozen() const { return std::isinf(lambda_); }

  const std::string name_;
  const ProxQuantOptions options_;
  double lambda_ = 0;
};

}  // namespace

void describe(OptionVisitor& v, ProxQuantOptions& o) {
  v.number({"rate", "1", "what the strength, lambda, grows by each time"}, o.rate, {0, kNoEnd});
  v.number(option_text::every(), o.every, {0.001, kNoEnd});
  v.number(option_text::most(), o.most, {0, kNoEnd});
  v.number(option_text::hard_from(), o.hard_from, {0, 1});
}

std::unique_ptr<Relaxation> prox_quant(const ProxQuantOptions& options) {
  return std::make_unique<ProxQuant<soft_threshold>>("prox", options);
}

std::unique_ptr<Relaxation> prox_quant_squared(const ProxQuantOptions& options) {
  return std::make_unique<ProxQuant<mixture>>("prox_squared", options);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
