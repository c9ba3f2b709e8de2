#include "quant/activations/grid_activation.h"

#include <utility>

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {
namespace {

Slope slope_of(const Surrogate& surrogate, Real window) {
  switch (surrogate.needs()) {
    case Surrogate::Needs::nothing:
      return {};
    case Surrogate::Needs::bit:
      return {.interval = surrogate.interval(window)};
    default:
      return {.function = [&surrogate, window](std::span<const Real> q, std::span<Real> slopes) {
        surrogate.derivative(q, window, slopes);
      }};
  }
}

Attributes attributes_of(const kernels::Quantizer<Real>& q, int bits, const Surrogate& surrogate) {
  constexpr const char* kRoundings[] = {"up", "nearest", "sign"};
  return {{"bits", bits},
          {"levels", q.levels},
          {"alpha", q.alpha},
          {"steps", q.steps},
          {"scale", q.scale()},
          {"rounding", kRoundings[static_cast<int>(q.rounding)]},
          {"surrogate", surrogate.name()}};
}

}  // namespace

ActivationMap onto_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Surrogate& surrogate) {
  return {.op = "quantize_activation",
          .grid = ActivationGrid{quantizer, bits, slope_of(surrogate, static_cast<Real>(quantizer.levels))},
          .attributes = [quantizer, bits, &surrogate] { return attributes_of(quantizer, bits, surrogate); }};
}

ActivationMap onto_trained_grid(const kernels::Quantizer<Real>& quantizer, int bits, const Var& parameter,
                                ActivationGrid::ParameterGradient gradient, bool reads_input) {
  ActivationMap map = onto_grid(quantizer, bits, surrogate("clipped_relu"));
  map.grid->parameter = parameter;
  map.grid->parameter_gradient = std::move(gradient);
  map.grid->reads_input = reads_input;
  return map;
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
