// Every projection that there is a name for, with every option that it takes, on the weights that break
// quantizers. What is checked is what quant/weights/projection.h promises of all of them.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "core/base/check.h"
#include "quant/method.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;

namespace {

constexpr Real kNan = std::numeric_limits<Real>::quiet_NaN(), kInf = std::numeric_limits<Real>::infinity();

using Make = std::function<std::unique_ptr<quant::WeightProjection>()>;

struct Special {
  std::string name;
  std::vector<Real> weights;  // one group
};
std::vector<Special> specials() {
  const Real outlier = 1000, small = std::ldexp(Real(1), -100), large = std::ldexp(Real(1), 100);  // 8e-31, 1e30
  const Real least = std::numeric_limits<Real>::denorm_min();
  return {{"zeros", {0, 0, 0, 0}},
          {"zeros of both signs", {0, Real(-0.0), Real(-0.0), 0}},
          {"zeros and one value", {0, 0, Real(-0.3), 0}},
          {"a constant", {Real(0.3), Real(0.3), Real(0.3), Real(0.3)}},
          {"a negative constant", {Real(-0.3), Real(-0.3), Real(-0.3), Real(-0.3)}},
          {"two values", {Real(0.3), Real(-0.3), Real(0.3), Real(-0.3)}},
          {"one outlier", {Real(0.3), Real(-0.2), outlier, Real(0.1)}},
          {"-0 among others", {Real(-0.0), 1, Real(-0.5), Real(0.25)}},
          {"one NaN", {Real(0.3), kNan, Real(-0.2), 0}},
          {"NaN alone", {kNan, kNan, kNan, kNan}},
          {"one inf", {Real(0.3), kInf, Real(-0.2), 0}},
          {"one -inf", {Real(0.3), -kInf, Real(-0.2), 0}},
          {"around 1e-30", {small, small / 2, -small / 4, 3 * small / 4}},
          {"around 1e30", {large, large / 2, -large / 4, 3 * large / 4}},
          {"denormal numbers", {least, -8 * least, 1000 * least, 0}},
          {"1e-30 beside 1", {small, 1, -1, Real(0.5)}},
          {"one element", {Real(-0.7)}},
          {"none", {}}};
}

const std::vector<Real> kOrdinary{Real(0.5), Real(-0.25), Real(0.1), Real(-0.9)};

bool finite(const std::vector<Real>& w) {
  return std::ranges::all_of(w, [](Real v) { return std::isfinite(v); });
}
bool zeros(const std::vector<Real>& w) {
  return std::ranges::all_of(w, [](Real v) { return std::abs(v) < std::numeric_limits<Real>::min(); });
}

Tensor row(const std::vector<Real>& w) { return Tensor({1, static_cast<std::int64_t>(w.size())}, w); }

std::vector<Real> projected(quant::WeightProjection& projection, const std::vector<Real>& w) {
  const Tensor p = projection.project(row(w));
  return {p.view().begin(), p.view().end()};
}
std::vector<Real> begun_and_projected(const Make& make, const std::vector<Real>& w) {
  const auto projection = make();
  projection->begin(row(w));
  return projected(*projection, w);
}

// What is wrong with the projection of these weights, or nothing. Zeros become `of_zero`.
std::string fault(const Make& make, const std::vector<Real>& w, Real of_zero, bool keeps_constants = true) {
  const auto projection = make();
  projection->begin(row(w));
  const std::vector<Real> p = projected(*projection, w);
  if (p.size() != w.size()) return "another size";
  if (!finite(w)) return std::ranges::all_of(p, [](Real v) { return std::isnan(v); }) ? "" : "not all NaN";
  if (!finite(p)) return "finite weights become infinite or NaN";
  if (zeros(w)) return std::ranges::all_of(p, [=](Real v) { return v == of_zero; }) ? "" : "zeros become others";
  const auto [least, most] = std::ranges::minmax_element(w);
  for (std::size_t i = 0; i < w.size(); ++i) {
    if (std::abs(w[i]) * 1000 > std::max(std::abs(*least), std::abs(*most)) && p[i] * w[i] < 0) return "another sign";
    if (p[i] != p[static_cast<std::size_t>(std::ranges::find(w, w[i]) - w.begin())])
      return "equal weights become different";
  }
  if (keeps_constants && *least == *most && p[0] == 0) return "a constant becomes 0";
  return "";
}

// The same of the gradient.
std::string gradient_fault(const Make& make, const std::vector<Real>& w) {
  const auto projection = make();
  projection->begin(row(w));
  projected(*projection, w);
  const Tensor d = projection->gradient(row(w), Tensor({1, static_cast<std::int64_t>(w.size())}, Real(1))).weight;
  if (d.numel() != static_cast<std::int64_t>(w.size())) return "another size";
  return finite({d.data(), d.data() + d.numel()}) || !finite(w) ? "" : "infinite or NaN";
}

// Weights that say nothing of a scale leave nothing behind.
std::string memory_fault(const Make& make, const std::vector<Real>& w) {
  const auto projection = make();
  projection->begin(row(w));
  projected(*projection, w);
  projection->gradient(row(w), Tensor({1, static_cast<std::int64_t>(w.size())}, Real(1)));
  return projected(*projection, kOrdinary) == begun_and_projected(make, kOrdinary)
             ? ""
             : "the weights after it are projected in another way";
}

// A projection whose scale follows the weights commutes with powers of two.
std::string scale_fault(const Make& make, int exponent) {
  const auto scaled = [exponent](std::vector<Real> w) {
    for (Real& v : w) v = std::ldexp(v, exponent);
    return w;
  };
  return begun_and_projected(make, scaled(kOrdinary)) == scaled(begun_and_projected(make, kOrdinary))
             ? ""
             : "the scale does not follow the weights";
}

// The part with every number of bits that it has, in both ways to group, with each other option on its own.
std::vector<Part> settings_of(const std::string& name) {
  std::vector<Part> all;
  for (int bits = 0; bits <= 17; ++bits)
    for (const bool per_channel : {false, true}) try {
        Part plain = quant::weight_projections().part(name).with("bits", bits);
        if (plain.options.has("per-channel")) plain.options.set("per-channel", per_channel);
        all.push_back(plain);
        for (const auto& [option, value] : std::vector<std::pair<const char*, OptionValue>>{
                 {"sign-of-zero", 0}, {"steps", 3}, {"ternary-above", 0.3}, {"one-above", 0.5}, {"through-tanh", true}})
          if (plain.options.has(option)) all.push_back(plain.with(option, value));
      } catch (const UsageError&) {  // it does not have these bits
      }
  return all;
}

bool is(const Part& part, const char* option, const OptionValue& value) {
  return part.options.has(option) && part.options.get(option) == value;
}

// Whether the grid grows and shrinks with the weights. That of a test program's own projection may stand still.
bool follows_weights(const Part& part) {
  return part.name != "sign" && part.name != "dorefa" && part.name != "halves_of_test" && part.name != "fixed_levels";
}

std::vector<std::string> quantized() {
  auto names = quant::weight_projections().names();
  std::erase(names, "none");
  return names;
}

struct NearestOptions {
  int bits = 4;
  bool per_channel = false;
};
void describe(OptionVisitor& v, NearestOptions& o) {
  v.integer({"bits", "bit", "bits"}, o.bits, {1, 8});
  v.flag({"per-channel", "", "a scale for each channel"}, o.per_channel);
}

}  // namespace

TEST_SUITE("quant") {
  TEST_CASE("every registered projection, with all that it takes, keeps its promises on special weights") {
    quant::weight_projections().add("nearest_of_test", "", NearestOptions{}, [](const NearestOptions& o) {
      return quant::uniform_projection(
          "nearest_of_test", {o.bits, o.per_channel}, [bits = o.bits](std::span<const Real> w) {
            return bits == 1 ? binary_thresholds<Real>()
                             : nearest_thresholds<Real>(lloyd_start(static_cast<double>(magnitude<Real>(w).max), bits),
                                                        highest_weight_level(bits));
          });
    });
    std::set<std::string> seen;
    for (const std::string& name : quantized())
      for (const Part& part : settings_of(name)) {
        seen.insert(name);
        INFO(quant::words(part, quant::weight_projections()));
        const bool follows = follows_weights(part);
        // A step of twice the mean puts a constant on the tie between the codes 0 and 1.
        const bool keeps_constants = follows && !(name == "lsq" && is(part, "bits", 2));
        const Make make = [&] { return quant::weight_projection(part); };
        // Levels -1 and +1 that know nothing of the weights have no place for 0 but sign(0).
        const Real of_zero = name == "fixed_levels" && is(part, "bits", 1) ? -1 : 0;
        for (const Special& s : specials()) {
          INFO(s.name);
          CHECK(fault(make, s.weights, of_zero, keeps_constants) == "");
          CHECK(gradient_fault(make, s.weights) == "");
          if (zeros(s.weights) || !finite(s.weights)) CHECK(memory_fault(make, s.weights) == "");
        }
        for (const int exponent : {-100, 100})
          if (follows) CHECK(scale_fault(make, exponent) == "");
      }
    CHECK(seen.contains("nearest_of_test"));
    CHECK(seen.size() == quantized().size());
  }

  TEST_CASE("special weights in one channel leave the others alone, in every projection that has channels") {
    for (const std::string& name : quantized())
      for (const Part& part : settings_of(name)) {
        if (!is(part, "per-channel", true)) continue;
        INFO(quant::words(part, quant::weight_projections()));
        const Make make = [&] { return quant::weight_projection(part); };
        for (const Special& s : specials()) {
          if (s.weights.size() != kOrdinary.size()) continue;
          INFO(s.name);
          std::vector<Real> both = s.weights;
          both.insert(both.end(), kOrdinary.begin(), kOrdinary.end());
          const auto projection = make();
          const Tensor w({2, 4}, both);
          projection->begin(w);
          const Tensor p = projection->project(w);
          CHECK(std::ranges::equal(p.view().subspan(4), begun_and_projected(make, kOrdinary)));
          CHECK(finite({p.data(), p.data() + 4}) == finite(s.weights));
        }
      }
  }

  TEST_CASE("the checks of special weights find planted faults") {
    class Planted : public quant::WeightProjection {
     public:
      explicit Planted(std::function<Real(Real, Real&)> f) : f_(std::move(f)) {}
      std::string name() const override { return "planted"; }
      int bits() const override { return 1; }
      Tensor project(const Tensor& w) override {
        Tensor p = w;
        for (Real& v : p.mut()) v = f_(v, memory_);
        return p;
      }
      quant::ProjectionGradient gradient(const Tensor&, const Tensor& g) override { return {project(g)}; }

     private:
      std::function<Real(Real, Real&)> f_;
      Real memory_ = 0;
    };
    const auto planted = [](std::function<Real(Real, Real&)> f) -> Make {
      return [f] { return std::make_unique<Planted>(f); };
    };
    const Make none = planted([](Real v, Real&) { return v; });
    const std::vector<Real> constant{Real(0.3), Real(0.3)}, zero{0, 0}, bad{1, kNan};
    CHECK(fault(none, constant, 0) == "");
    CHECK(fault(none, bad, 0) == "not all NaN");
    CHECK(fault(planted([](Real v, Real&) { return v * kInf; }), constant, 0) ==
          "finite weights become infinite or NaN");
    CHECK(fault(planted([](Real v, Real&) { return v < 0 ? Real(-1) : Real(1); }), zero, 0) == "zeros become others");
    CHECK(fault(planted([](Real v, Real&) { return -v; }), constant, 0) == "another sign");
    CHECK(fault(planted([](Real v, Real& m) { return v + ++m; }), constant, 0) == "equal weights become different");
    CHECK(fault(planted([](Real, Real&) { return Real(0); }), constant, 0) == "a constant becomes 0");
    CHECK(gradient_fault(none, constant) == "");
    CHECK(gradient_fault(planted([](Real v, Real&) { return v * kInf; }), constant) == "infinite or NaN");
    CHECK(memory_fault(none, zero) == "");
    CHECK(memory_fault(planted([](Real v, Real& m) { return v + m++; }), zero) != "");
    CHECK(scale_fault(none, 100) == "");
    CHECK(scale_fault(planted([](Real v, Real&) { return std::round(v); }), -100) != "");
  }
}
