#include "quant/math/surrogate.h"

#include <algorithm>
#include <limits>
#include <numbers>

#include "core/base/registry.h"

namespace coarsegrad {
namespace {

// Hinton's straight-through estimator (Bengio, Leonard, Courville, arXiv 1308.3432).
Surrogate identity() { return Surrogate::straight_through("identity"); }

// The ReLU family: derivatives at kinks are those of the left side, so 0 at 0, as sigma(0) = 0, and 1 at the
// window's right end, which is the last point rounded up to a level.
Surrogate relu() {
  return Surrogate::indicator(
      "relu", [](auto x, auto) { return x < 0 ? decltype(x)(0) : x; },
      [](auto window) {
        return kernels::PassBand<decltype(window)>{0, std::numeric_limits<decltype(window)>::infinity()};
      });
}

Surrogate clipped_relu() {
  return Surrogate::indicator(
      "clipped_relu", [](auto x, auto window) { return std::clamp(x, decltype(x)(0), window); },
      [](auto window) {
        return kernels::PassBand<decltype(window)>{0, window};
      });
}

Surrogate leaky_relu() {
  return {"leaky_relu", [](auto x, auto) { return x > 0 ? x : x * decltype(x)(0.01); },
          [](auto x, auto) { return decltype(x)(x > 0 ? 1 : 0.01); }};
}

// The derivative stands for that of a sign and is 1 at both ends. Courbariaux, Hubara, Soudry, El-Yaniv, Bengio, arXiv
// 1602.02830, equation 4 (number unverified): 1 for |x| <= 1.
Surrogate hard_tanh() {
  return Surrogate::indicator(
      "hard_tanh", [](auto x, auto window) { return std::clamp(x, -window, window); },
      [](auto window) {
        const auto outside = std::nextafter(-window, -std::numeric_limits<decltype(window)>::infinity());
        return kernels::PassBand<decltype(window)>{outside, window};
      });
}

Surrogate tanh() {
  return {"tanh", [](auto x, auto) { return std::tanh(x); },
          [](auto x, auto) {
            const auto t = std::tanh(x);
            return (1 - t) * (1 + t);
          }};
}

Surrogate sigmoid() {
  return {"sigmoid", [](auto x, auto) { return 1 / (1 + std::exp(-x)); },
          [](auto x, auto) {
            const auto e = std::exp(-std::abs(x));  // symmetric, and no overflow on either side
            return e / ((1 + e) * (1 + e));
          }};
}

// Esser et al., arXiv 1603.08270, equation 7 (number unverified): max(0, 1 - |x|), whose integral from 0 is
// x - x |x| / 2.
Surrogate triangular() {
  return {"triangular",
          [](auto x, auto window) {
            const auto c = std::clamp(x, -window, window);
            return c - c * std::abs(c) / (2 * window);
          },
          [](auto x, auto window) { return std::isnan(x) ? x : std::max(decltype(x)(0), 1 - std::abs(x) / window); }};
}

// ApproxSign, two parabolas between -1 and 1 that have the height of sign. Liu, Wu, Luo, Yang, Liu, Cheng:
// Bi-Real Net, arXiv 1808.00278, equation 6 (number unverified): 2 - 2 |x|. Twice the triangle.
Surrogate polynomial() {
  return {
      "polynomial",
      [](auto x, auto window) {
        const auto c = std::clamp(x, -window, window);
        return c * (2 - std::abs(c) / window);
      },
      [](auto x, auto window) { return std::isnan(x) ? x : 2 * std::max(decltype(x)(0), 1 - std::abs(x) / window); }};
}

// Darabi, Belbahri, Courbariaux, Partovi Nia: BNN+, arXiv 1812.11800. With beta = 5, z = beta x and s the
// logistic function, SS = 2 s(z) (1 + z (1 - s(z))) - 1 and SS' = beta (2 - z tanh(z/2)) / (1 + cosh z).
Surrogate swish_sign() {
  return {"swish_sign",
          [](auto x, auto) {
            const auto z = std::clamp(5 * x, decltype(x)(-1000), decltype(x)(1000)), s = 1 / (1 + std::exp(-z));
            return 2 * s * (1 + z / (1 + std::exp(z))) - 1;
          },
          [](auto x, auto) {
            const auto z = std::clamp(5 * x, decltype(x)(-1000), decltype(x)(1000)), e = std::exp(-std::abs(z));
            return 10 * e * (2 - z * std::tanh(z / 2)) / ((1 + e) * (1 + e));
          }};
}

// The arctangent with slope 1 at 0 and the limits of sign: (2 / pi) atan(pi x / 2). Fang et al., arXiv
// 2007.05785, have half of it plus 1/2, for a step from 0 to 1.
Surrogate arctan() {
  return {"arctan",
          [](auto x, auto) {
            constexpr auto half_pi = std::numbers::pi_v<decltype(x)> / 2;
            return std::atan(half_pi * x) / half_pi;
          },
          [](auto x, auto) {
            const auto z = std::numbers::pi_v<decltype(x)> / 2 * x;
            return 1 / (1 + z * z);
          }};
}

Registry<Surrogate>& registry() {
  static Registry<Surrogate> r("surrogate", [] {
    Registry<Surrogate>::Entries shipped;
    for (const auto& make : {identity, relu, clipped_relu, hard_tanh, tanh, sigmoid, leaky_relu, triangular, polynomial,
                             swish_sign, arctan}) {
      Surrogate s = make();
      shipped.emplace_back(s.name(), std::move(s));
    }
    return shipped;
  }());
  return r;
}

}  // namespace

const Surrogate& surrogate(std::string_view name) { return registry().find(name); }

std::vector<const Surrogate*> all_surrogates() {
  std::vector<const Surrogate*> all;
  for (const std::string& name : surrogate_names()) all.push_back(&surrogate(name));
  return all;
}

std::vector<std::string> surrogate_names() { return registry().names(); }

const Surrogate& register_surrogate(Surrogate added) {
  const std::string name = added.name();
  return registry().add(name, std::move(added));
}

}  // namespace coarsegrad
