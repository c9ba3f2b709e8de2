#pragma once
// Quantizers of gradients: stochastic and unbiased, E[Q(g) | g] = g, so that a backward pass with few bits
// estimates the gradient that it would compute without them; all that they add is variance.
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/compute/random.h"
#include "core/compute/stochastic.h"
#include "core/tensor.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// [min, max] of each sample of a gradient, or nothing yet.
using SampleRanges = std::vector<Interval<Real>>;

/// A map Q of gradients onto few levels.
class GradientQuantizer {
 public:
  virtual ~GradientQuantizer() = default;
  /// As gradient_quantizer() knows it.
  virtual std::string name() const = 0;
  /// Bits of a code: B = 2^bits - 1 bins.
  virtual int bits() const = 0;
  /// Q(g) for g of shape (N, ...) with N samples. Draws with the numbers of `rng`; the same numbers give the
  /// same bits for any number of threads and any kernel table. What shares a grid with an element that is not
  /// finite becomes NaN; constant samples stay as they are.
  virtual Tensor quantize(const Tensor& g, Rng rng) const = 0;
  /// Q(g) for a g that two quantizers round: `known` is empty for the first one, which may leave there what spares the
  /// second one a pass over g.
  virtual Tensor quantize_with(SampleRanges& known, const Tensor& g, Rng rng) const {
    static_cast<void>(known);
    return quantize(g, rng);
  }
  /// Var[Q(g) | g] of each entry, exactly.
  virtual std::vector<double> variance(const Tensor& g) const = 0;
  /// A bound of the sum of variance(g): D / 4 |S^-1|_F^2 for Q(g) = S^-1 round(S (g - Z)) + Z.
  virtual double variance_bound(const Tensor& g) const = 0;
};

/// What gradient_quantizer() makes a quantizer with.
struct GradientQuantizerOptions {
  int bits = 8;            ///< 1 to 8
  bool stochastic = true;  ///< false: to the nearest level, which is biased; a control
  bool codes = false;      ///< whether a result has its codes (quant/gradients/coded_gradient.h); its elements are the
                           ///< same. None where there is no grid: bhq, what is empty, or not finite, or below 1e-33
};

/// The quantizer of that name. Those shipped round up with a probability that is a multiple of 2^-16, have
/// B = 2^bits - 1 bins and are
///   dorefa  per sample, 2 m round(g / (2 m) + 1/2) - m with m = max |g|; 0 is not a level (Zhou, Wu, Ni,
///           Zhou, Wen, Zou: DoReFa-Net, arXiv 1606.06160, equation 12)
///   ptq     per tensor, on [min g, max g]
///   psq     per sample, on its [min, max]
///   bhq     per sample behind a block Householder transform (quant/math/block_householder.h); with less than
///           three samples, or constant ones alone, psq
/// ptq, psq and bhq: Chen, Gai, Yao, Mahoney, Gonzalez, NeurIPS 2020 (arXiv 2010.14298), section 4. E[Q(g)] = g
/// and variance() hold for g of any size, rounding in double aside, with two exceptions: a result below the
/// smallest normal number is written as 0, which matters where max g - min g is below about 1e-35, and bhq, whose
/// results leave [min g, max g], stops at the largest finite number, which matters above about 1e38. Throws
/// UsageError for an unknown name, listing the known ones, and for bits out of range.
std::unique_ptr<GradientQuantizer> gradient_quantizer(std::string_view name, const GradientQuantizerOptions& options);

/// Makes a quantizer with these options.
using MakeGradientQuantizer =
    std::function<std::unique_ptr<GradientQuantizer>(const GradientQuantizerOptions& options)>;
/// Makes a quantizer known by name. Throws UsageError if the name is empty or taken.
void register_gradient_quantizer(std::string name, MakeGradientQuantizer make);
/// Those shipped, then those registered, in that order.
std::vector<std::string> gradient_quantizer_names();

/// What E[Q(g)] = g and GradientQuantizer::variance() are compared with.
struct GradientMoments {
  /// Over the draws, one for each entry of g.
  std::vector<double> mean, variance;  ///< of one draw, one for each entry of g
};

/// Mean and variance of each entry over independent draws of Q(g), draw i with rng.split(i); draws >= 2.
GradientMoments gradient_moments(const GradientQuantizer& quantizer, const Tensor& g, std::int64_t draws,
                                 const Rng& rng);

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
