#pragma once
// Inner products of unsigned integers by their bits: with x = sum_m 2^m c_m(x) and y = sum_k 2^k c_k(y),
//   x . y = sum_m sum_k 2^(m + k) popcount(c_m(x) & c_k(y)),
// as many population counts as there are pairs of bits. Source: Zhou, Wu, Ni, Zhou, Wen, Zou: DoReFa-Net,
// arXiv 1606.06160, equations 3 and 4. Signs and powers of two have shorter ways (quant/math/bit_products.h).
#include <cstdint>
#include <span>
#include <vector>

namespace coarsegrad {

/// A vector of integers from 0 to 2^bits - 1, bit by bit.
class BitPlanes {
 public:
  /// Throws Error unless 1 <= bits <= 8 and every integer has that many.
  BitPlanes(std::span<const std::uint8_t> integers, int bits);

  /// How many integers.
  std::int64_t size() const { return size_; }
  /// Bits of each integer, 1 to 8.
  int bits() const { return static_cast<int>(planes_.size()); }

 private:
  friend std::int64_t dot(const BitPlanes& x, const BitPlanes& y);

  std::int64_t size_;
  std::vector<std::vector<std::uint64_t>> planes_;
};

/// sum x_i y_i. Throws Error unless the sizes agree.
std::int64_t dot(const BitPlanes& x, const BitPlanes& y);
/// sum x_i.
std::int64_t sum(const BitPlanes& x);

/// sum w_i a_i for the weights w = 2 u / n_w - 1 and the activations a = v / n_a of DoReFa-Net, whose
/// integers u and v are the arguments: 2 sum u v / (n_w n_a) - sum v / n_a, n = 2^bits - 1.
double affine_dot(const BitPlanes& weights, const BitPlanes& activations);

}  // namespace coarsegrad
