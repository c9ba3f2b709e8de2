#include "quant/activations/mix.h"

#include <algorithm>
#include <atomic>
#include <memory>

#include "core/base/parallel.h"
#include "core/compute/activation.h"
#include "core/compute/elementwise.h"
#include "quant/activations/option_text.h"
#include "quant/math/surrogate.h"
#include "quant/weights/power_coded.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

// Calls f(begin, elements) for pieces of z that begin with a row, where it is made row by row, and with a byte of a
// mask.
template <class F>
void in_rows(const Tensor& z, F f) {
  const std::int64_t row = z.source() ? std::max<std::int64_t>(z.source()->granule(), 1) : 1;
  const std::int64_t granule = 8 * row;
  const Elements<Real> all = z.elements();
  parallel_ranges(z.numel(), (kTaskElements + granule - 1) / granule * granule,
                  [&](std::int64_t begin, std::int64_t end) {
                    const ElementWindow<Real> piece(all, begin, end);
                    f(begin, std::span<const Real>(piece.data(), static_cast<std::size_t>(end - begin)));
                  });
}

// The bits of elements from `begin` on, 1 where |z| <= 1. A null mask is left alone.
void write_mask(std::int64_t begin, std::span<const Real> z, std::uint8_t* mask) {
  static const kernels::PassBand<Real> inside = surrogate("hard_tanh").interval(Real(1));
  if (mask)
    quantize_forward<Real>(std::ssize(z), z.data(), {1, 1, kernels::Rounding::sign}, inside, nullptr, nullptr,
                           mask + begin / 8);
}

Tensor tensor_of(std::span<const double> values) {
  return Tensor({std::ssize(values)}, std::vector<Real>(values.begin(), values.end()));
}

}  // namespace

void describe(OptionVisitor& v, MixActivationOptions& o) {
  v.integer(option_text::activation_bits(), o.bits, {1, 3});
  describe(v, o.thresholds);
  describe(v, o.mix);
}

MixActivation::MixActivation(const MixActivationOptions& o)
    : levels_(level_set(o.bits, o.thresholds)), schedule_(o.mix) {}

Var MixActivation::forward(const Var& z) {
  const FlushDenormals flush;
  const bool wanted = grad_enabled() && z.requires_grad();
  const auto mask = wanted ? std::make_shared<Scratch<std::uint8_t>>(mask_bytes(z.numel())) : nullptr;
  std::uint8_t* const bits = mask ? mask->data() : nullptr;
  const bool on_levels = !training() || schedule_.share() == 1;
  const auto backward = [mask, factor = schedule_.factor()](const Tensor& g) -> Gradients {
    Tensor dz = Tensor::uninitialized(g.shape());
    mask_backward<Real>(g.numel(), mask->data(), g.data(), dz.mutable_data());
    if (factor != 1) scale<Real>(g.numel(), factor, dz.data(), dz.mutable_data());
    return {dz};
  };
  return record("mix_activation", on_levels ? quantized(z.value(), bits) : mixed(z.value(), schedule_.mix(), bits), {z},
                backward, [this] {
                  return Attributes{{"bits", levels_.bits()},
                                    {"levels", tensor_of(levels_.levels())},
                                    {"thresholds", tensor_of(levels_.thresholds())}};
                });
}

// All thresholds lie below 1, so that h(c) is h(z).
Tensor MixActivation::quantized(const Tensor& z, std::uint8_t* mask) const {
  Scratch<std::int8_t> codes(static_cast<std::size_t>(z.numel()));
  std::atomic<bool> any_nan = false;
  in_rows(z, [&](std::int64_t begin, std::span<const Real> piece) {
    write_mask(begin, piece, mask);
    if (levels_.encode(piece, codes.data() + begin)) any_nan = true;
  });
  if (any_nan) return mixed(z, {.quantized = 1, .plain = 0}, nullptr);  // NaN has no code
  return Tensor::deferred(z.shape(), std::make_shared<PowerCoded>(z.numel(), levels_.bits(), levels_.magnitudes(),
                                                                  std::move(codes), std::vector<Real>{1}));
}

Tensor MixActivation::mixed(const Tensor& z, const MixSchedule::Mix& mix, std::uint8_t* mask) const {
  const int most = levels_.magnitudes();
  std::vector<Real> level;
  for (int code = -most; code <= most; ++code) level.push_back(static_cast<Real>(levels_.level(code)));
  Tensor y = Tensor::uninitialized(z.shape());
  Real* const out = y.mutable_data();
  in_rows(z, [&, h = level.data() + most](std::int64_t begin, std::span<const Real> piece) {
    write_mask(begin, piece, mask);
    const Scratch<std::int8_t> codes(piece.size());
    levels_.encode(piece, codes.data());
    std::transform(piece.begin(), piece.end(), codes.data(), out + begin,
                   [=](Real x, std::int8_t code) { return mix(h[code], std::clamp(x, Real(-1), Real(1))); });
  });
  return y;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
