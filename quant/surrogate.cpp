#include "quant/surrogate.h"

#include <algorithm>
#include <deque>
#include <mutex>

namespace coarsegrad {
namespace {

// The shipped ones. Comparisons decide at kinks: the derivative there is that of the left side, so it is 0 at
// 0 for the ReLU family, as sigma(0) = 0, and 1 at the window's right end, which is the last point rounded up
// to a level.
std::deque<Surrogate> shipped() {
  std::deque<Surrogate> list;
  // Hinton's straight-through estimator (Bengio, Leonard, Courville 2013).
  list.emplace_back(
      "identity", [](auto x, auto) { return x; }, [](auto x, auto) { return decltype(x)(1); });
  list.emplace_back(
      "relu", [](auto x, auto) { return x < 0 ? decltype(x)(0) : x; },
      [](auto x, auto) { return decltype(x)(x > 0 ? 1 : 0); });
  list.emplace_back(
      "clipped_relu", [](auto x, auto window) { return std::clamp(x, decltype(x)(0), window); },
      [](auto x, auto window) { return decltype(x)(x > 0 && x <= window ? 1 : 0); });
  list.emplace_back(
      "tanh", [](auto x, auto) { return std::tanh(x); },
      [](auto x, auto) {
        const auto t = std::tanh(x);
        return (1 - t) * (1 + t);
      });
  list.emplace_back(
      "sigmoid", [](auto x, auto) { return 1 / (1 + std::exp(-x)); },
      [](auto x, auto) {
        const auto e = std::exp(-std::abs(x));  // symmetric, and no overflow on either side
        return e / ((1 + e) * (1 + e));
      });
  list.emplace_back(
      "leaky_relu", [](auto x, auto) { return x > 0 ? x : x * decltype(x)(0.01); },
      [](auto x, auto) { return decltype(x)(x > 0 ? 1 : 0.01); });
  // Darabi, Belbahri, Courbariaux, Partovi Nia: BNN+ (2018). With beta = 5, z = beta x and s the logistic
  // function, SS = 2 s(z) (1 + z (1 - s(z))) - 1 and SS' = beta (2 - z tanh(z/2)) / (1 + cosh z).
  list.emplace_back(
      "swish_sign",
      [](auto x, auto) {
        const auto z = std::clamp(5 * x, decltype(x)(-1000), decltype(x)(1000)), s = 1 / (1 + std::exp(-z));
        return 2 * s * (1 + z / (1 + std::exp(z))) - 1;
      },
      [](auto x, auto) {
        const auto z = std::clamp(5 * x, decltype(x)(-1000), decltype(x)(1000)), e = std::exp(-std::abs(z));
        return 10 * e * (2 - z * std::tanh(z / 2)) / ((1 + e) * (1 + e));
      });
  return list;
}

// A deque: what was handed out stays where it is when more are registered.
struct Registry {
  std::mutex mutex;
  std::deque<Surrogate> list = shipped();
};

Registry& registry() {
  static Registry r;
  return r;
}

const Surrogate* find(const std::deque<Surrogate>& list, std::string_view name) {
  const auto found = std::ranges::find_if(list, [&](const Surrogate& s) { return s.name() == name; });
  return found == list.end() ? nullptr : &*found;
}

}  // namespace

const Surrogate& surrogate(std::string_view name) {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  if (const Surrogate* found = find(r.list, name)) return *found;
  std::string known;
  for (const Surrogate& s : r.list) known += " " + s.name();
  throw UsageError(cat("surrogate: given '", name, "', expected one of:", known));
}

std::vector<const Surrogate*> all_surrogates() {
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  std::vector<const Surrogate*> all;
  for (const Surrogate& s : r.list) all.push_back(&s);
  return all;
}

std::vector<std::string> surrogate_names() {
  std::vector<std::string> names;
  for (const Surrogate* s : all_surrogates()) names.push_back(s->name());
  return names;
}

const Surrogate& register_surrogate(Surrogate added) {
  check_usage(!added.name().empty(), "register_surrogate: given an empty name, expected one");
  Registry& r = registry();
  const std::lock_guard lock(r.mutex);
  check_usage(!find(r.list, added.name()), "register_surrogate: '", added.name(), "' is registered already");
  return r.list.emplace_back(std::move(added));
}

}  // namespace coarsegrad
