#include "core/activate.h"

#include <algorithm>

#include "core/base/parallel.h"
#include "core/kept.h"
#include "core/normalization.h"
#include "core/ops.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace {

using MutableMask = std::shared_ptr<Scratch<std::uint8_t>>;

MutableMask mask_of(std::int64_t size, bool wanted) {
  return wanted ? std::make_shared<Scratch<std::uint8_t>>(mask_bytes(size)) : nullptr;
}
std::uint8_t* data_of(const MutableMask& mask) { return mask ? mask->data() : nullptr; }

// The normalisation that x stands for, where one pass can do both: masks want whole bytes in each row.
std::shared_ptr<const Normalization> normalization_of(const Tensor& x, bool with_mask) {
  auto n = std::dynamic_pointer_cast<const Normalization>(x.shared_source());
  return n && (!with_mask || n->channels() % 8 == 0) ? n : nullptr;
}

// relu(t), made where it is read, from what the normalisation reads.
class NormalizedRelu : public Deferred {
 public:
  explicit NormalizedRelu(std::shared_ptr<const Normalization> n) : n_(std::move(n)) {}

  void read(std::int64_t begin, std::int64_t end, Real* out) const override {
    run(begin, (end - begin) / granule(), out, nullptr);
  }
  std::int64_t granule() const override { return n_->granule(); }

  DerivativeMask mask() const {
    const MutableMask bits = mask_of(n_->x.numel(), true);
    run(0, n_->rows(), nullptr, bits->data());
    return bits;
  }

 private:
  void run(std::int64_t begin, std::int64_t rows, Real* y, std::uint8_t* mask) const {
    const Elements<Real> added = n_->shortcut.elements().from(begin);
    with_kept(n_->x, [&](const auto* x) {
      batch_norm_relu<Real>(rows, n_->channels(), x + begin, n_->columns(), added, y, mask);
    });
  }

  std::shared_ptr<const Normalization> n_;
};

struct Forward {
  Tensor value;
  std::function<DerivativeMask()> mask;  // asked for by the backward pass
  std::shared_ptr<const Coded> coded = nullptr;
};

// y = relu(x) and its mask, without all Reals between where x is kept as bfloat16.
void rectify(const Tensor& x, const ElementSink<Real>& y, std::uint8_t* mask) {
  const Elements<Real> all = bfloat16_of(x) ? x.elements() : x.data();
  parallel_ranges(x.numel(), kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    const ElementWindow<Real> in(all, begin, end);
    const SinkWindow<Real> out(y, begin, end);
    relu_forward<Real>(end - begin, in.data(), out.data(), mask ? mask + begin / 8 : nullptr);
  });
}

Forward rectified(const Tensor& x, const std::shared_ptr<const Normalization>& n, bool wanted) {
  // A shortcut whose elements are there is kept instead of the result; one that is made piece by piece is not
  // made again and again.
  if (n && is_kept(n->shortcut)) {
    const auto later = std::make_shared<const NormalizedRelu>(n);
    return {Tensor::deferred(x.shape(), later), [later] { return later->mask(); }};
  }
  const MutableMask mask = mask_of(x.numel(), wanted);
  const Tensor y = written(x.shape(), compute_type(), [&](const ElementSink<Real>& to) {
    if (!n) return rectify(x, to, data_of(mask));
    with_kept(n->x, [&](const auto* kept) {
      batch_norm_relu<Real>(n->rows(), n->channels(), kept, n->columns(), n->shortcut.elements(), to, data_of(mask));
    });
  });
  return {y, [kept = DerivativeMask(mask)] { return kept; }};
}

// There is no code for NaN: values that hold one are kept as they are.
Tensor values_on_grid(const Tensor& x, const ActivationGrid& grid) {
  Tensor y = Tensor::uninitialized(x.shape());
  quantize_forward<Real>(x.numel(), x.data(), grid.quantizer, {}, y.mutable_data(), nullptr, nullptr);
  return y;
}

Forward on_grid(const Tensor& x, const std::shared_ptr<const Normalization>& n, const ActivationGrid& grid,
                bool with_mask) {
  const bool with_sign = grid.quantizer.rounding == kernels::Rounding::sign;
  const auto coded =
      std::make_shared<Coded>(x.numel(), grid.bits, with_sign ? Coded::Sign::two_s_complement : Coded::Sign::none,
                              std::vector<Real>{grid.quantizer.scale()});
  MutableMask mask = mask_of(x.numel(), with_mask);
  const auto pass = grid.slope.interval.value_or(kernels::PassBand<Real>{});  // read where there is a mask
  std::uint8_t* const codes = coded->codes();
  const auto behind_norm = [&](const auto* kept) {
    return batch_norm_quantize<Real>(n->rows(), n->channels(), kept, n->columns(), n->shortcut.elements(),
                                     grid.quantizer, pass, codes, data_of(mask));
  };
  const bool any_nan =
      n ? with_kept(n->x, behind_norm)
        : quantize_forward<Real>(x.numel(), x.data(), grid.quantizer, pass, nullptr, codes, data_of(mask));
  return {any_nan ? values_on_grid(x, grid) : Tensor::deferred(x.shape(), coded), [mask] { return mask; }, coded};
}

// g times the slope at x, piece by piece: x may be a recipe.
Tensor times_slope(const Tensor& g, const Tensor& x, const kernels::Quantizer<Real>& quantizer,
                   const Slope::Function& slope) {
  Tensor dx = Tensor::uninitialized(g.shape());
  const Elements<Real> in = x.elements();
  const Real* const dy = g.data();
  Real* const out = dx.mutable_data();
  const std::int64_t granule = x.source() ? std::max<std::int64_t>(x.source()->granule(), 1) : 1;
  parallel_ranges(
      g.numel(), (kTaskElements + granule - 1) / granule * granule, [&](std::int64_t begin, std::int64_t end) {
        const ElementWindow<Real> window(in, begin, end);
        const std::span<Real> piece(out + begin, static_cast<std::size_t>(end - begin));
        std::transform(window.data(), window.data() + piece.size(), piece.begin(),
                       [&](Real v) { return v * quantizer.steps / quantizer.alpha; });
        slope(piece, piece);
        std::transform(dy + begin, dy + end, piece.begin(), piece.begin(), [](Real d, Real s) { return d * s; });
      });
  return dx;
}

Tensor times_mask(const Tensor& g, const DerivativeMask& mask) {
  Tensor dx = Tensor::uninitialized(g.shape());
  mask_backward<Real>(g.numel(), mask->data(), g.data(), dx.mutable_data());
  return dx;
}

const ActivationMap& relu_map() {
  static const ActivationMap map{.op = "relu"};
  return map;
}

}  // namespace

Var activate(const Var& x, const ActivationMap& map) {
  const FlushDenormals flush;
  const Var parameter = map.grid ? map.grid->parameter : Var();
  const bool wanted = grad_enabled() && (x.requires_grad() || parameter.requires_grad());
  const bool has_bits = !map.grid || map.grid->slope.interval;
  const auto n = normalization_of(x.value(), has_bits);
  const Forward out = map.grid ? on_grid(x.value(), n, *map.grid, has_bits && wanted) : rectified(x.value(), n, wanted);

  // What backward needs, and no more.
  KeptActivation kept;
  if (map.grid && map.grid->parameter_gradient) kept.coded = out.coded;
  if (map.grid && (map.grid->reads_input || map.grid->slope.function)) kept.x = x.value();
  const bool behind_norm = n != nullptr, has_shortcut = n && n->shortcut_has_history;
  const auto backward = [kept, mask = out.mask, behind_norm, has_shortcut,
                         quantizer = map.grid ? map.grid->quantizer : kernels::Quantizer<Real>{1, 1},
                         slope = map.grid ? map.grid->slope.function : nullptr,
                         gradient = map.grid ? map.grid->parameter_gradient : nullptr](const Tensor& g) -> Gradients {
    KeptActivation with_mask = kept;
    with_mask.mask = mask();
    const DerivativeMask& bits = with_mask.mask;
    Gradients grads(2);
    if (slope)
      grads[0] = times_slope(g, kept.x, quantizer, slope);
    else if (!bits)
      grads[0] = g;
    else if (behind_norm)
      grads[0] = Tensor::deferred(g.shape(), std::make_shared<const MaskedGradient>(g, bits, has_shortcut));
    else
      grads[0] = times_mask(g, bits);
    if (gradient) grads[1] = gradient(g, with_mask);
    return grads;
  };
  return record(map.op, out.value, {x, parameter}, backward,
                [&map] { return map.attributes ? map.attributes() : Attributes(); });
}

Var relu(const Var& x) { return activate(x, relu_map()); }

}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
