#pragma once
// Inner products of quantized vectors as a deployed network computes them, without a multiplication: XNOR,
// AND and population counts for signs and masks, shifts for powers of two. All are exact integers. Codes are
// those of quant/math/power_of_two.h: k has a sign and a size from 0 to n and means 0 or +-2^(|k| - n); with
// n = 1 it is -1, 0 or 1. Sources: Courbariaux, Hubara, Soudry, El-Yaniv, Bengio (arXiv 1602.02830) for XNOR;
// Yin, Zhang, Qi, Xin (arXiv 1612.06052) for shifts.
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace coarsegrad {

/// A vector of codes as planes of bits: one of signs, and one for each size that says where it is.
class PowerVector {
 public:
  /// Throws Error unless 1 <= magnitudes <= 32 and no code is larger than that.
  PowerVector(std::span<const std::int8_t> codes, int magnitudes);

  /// How many codes.
  std::int64_t size() const { return size_; }
  /// n, the largest size of a code.
  int magnitudes() const { return magnitudes_; }

 private:
  friend std::int64_t dot(const PowerVector& a, const PowerVector& b);
  using Plane = std::vector<std::uint64_t>;

  std::int64_t size_;
  int magnitudes_;
  bool signs_only_;  ///< n = 1 and no zeros
  Plane negative_;
  std::vector<Plane> has_size_;  ///< [k - 1]: where |code| is k
};

/// 2^(na - 1) 2^(nb - 1) sum a_i b_i. Signs by signs are an XNOR, n - 2 popcount(a ^ b); zeros bring masks,
/// popcount(m) - 2 popcount(m & (a ^ b)) with m = ma & mb; sizes are masks of their own, and each pair of
/// them is shifted by the sum of its exponents. Throws Error unless the sizes agree and the sum is sure to
/// stay inside 63 bits.
std::int64_t dot(const PowerVector& a, const PowerVector& b);

/// 2^(n - 1) sum Q_i x_i = sum +-((x_i << (n - 1)) >> t_i) for integer activations, t_i = n - |k_i|. Throws
/// as above; |x| counts with its largest value.
std::int64_t shift_dot(std::span<const std::int8_t> codes, int magnitudes, std::span<const std::int32_t> x);

/// sum Q_i x_i for float activations: additions for each size, then one shift of each sum (by ldexp). In double.
double bucket_dot(std::span<const std::int8_t> codes, int magnitudes, std::span<const float> x);

/// What hardware computes the products of a layer with.
struct ProductUnit {
  std::string operation,  ///< "XNOR" or "SHIFT", followed by " ADDER" where one side is float; "MAC" where both are
      precision;          ///< of the result: "1-bit fixed", "2-bit fixed", "16-bit floating", "32-bit floating"

  /// Whether both are the same.
  friend bool operator==(const ProductUnit& a, const ProductUnit& b) = default;
};
/// The unit for inputs and weights of these bits, 1, 2 or 3 of a level set (quant/math/level_set.h) or 16 for a float,
/// or 32 for both: the smaller number decides the operation, the larger one the precision. Throws UsageError for other
/// bits, and where both are 16. Source: Chen, Liu, Zhang, Hou, Yang (arXiv 2003.04296), table I.
ProductUnit product_unit(int input_bits, int weight_bits);

}  // namespace coarsegrad
