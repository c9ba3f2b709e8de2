#include "quant/math/bit_products.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>

#include "core/base/check.h"

namespace coarsegrad {
namespace {

constexpr int kMostMagnitudes = 32;
constexpr std::size_t kWord = 64;

void check_codes(std::span<const std::int8_t> codes, int magnitudes) {
  check(magnitudes >= 1 && magnitudes <= kMostMagnitudes &&
            std::ranges::all_of(codes, [=](int k) { return std::abs(k) <= magnitudes; }),
        "bit product: given codes for ", magnitudes, " magnitudes, expected 1 to ", kMostMagnitudes,
        " magnitudes and no code beyond");
}

// n products of sizes below 2^bits each.
void check_range(std::int64_t n, std::int64_t other, int bits) {
  check(n == other, "bit product: given vectors of ", n, " and ", other, " elements, expected as many");
  check(bits + std::bit_width(static_cast<std::uint64_t>(n)) <= 63, "bit product: given ", n, " products of up to ",
        bits, " bits, expected a sum within 63");
}

}  // namespace

PowerVector::PowerVector(std::span<const std::int8_t> codes, int magnitudes)
    : size_(static_cast<std::int64_t>(codes.size())),
      magnitudes_(magnitudes),
      signs_only_(magnitudes == 1 && std::ranges::find(codes, 0) == codes.end()) {
  check_codes(codes, magnitudes);
  negative_.resize((codes.size() + kWord - 1) / kWord);
  has_size_.assign(static_cast<std::size_t>(magnitudes), Plane(negative_.size()));
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const std::uint64_t bit = std::uint64_t{1} << (i % kWord);
    if (codes[i] < 0) negative_[i / kWord] |= bit;
    if (codes[i] != 0) has_size_[static_cast<std::size_t>(std::abs(codes[i]) - 1)][i / kWord] |= bit;
  }
}

std::int64_t dot(const PowerVector& a, const PowerVector& b) {
  check_range(a.size(), b.size(), a.magnitudes() + b.magnitudes() - 1);
  const std::size_t words = a.negative_.size();
  std::int64_t sum = 0;
  if (a.signs_only_ && b.signs_only_) {
    for (std::size_t i = 0; i < words; ++i) sum += std::popcount(a.negative_[i] ^ b.negative_[i]);
    return a.size() - 2 * sum;
  }
  for (std::size_t ka = 0; ka < a.has_size_.size(); ++ka)
    for (std::size_t kb = 0; kb < b.has_size_.size(); ++kb) {
      std::int64_t pair = 0;
      for (std::size_t i = 0; i < words; ++i) {
        const std::uint64_t both = a.has_size_[ka][i] & b.has_size_[kb][i];
        pair += std::popcount(both) - 2 * std::popcount(both & (a.negative_[i] ^ b.negative_[i]));
      }
      sum += pair * (std::int64_t{1} << (ka + kb));
    }
  return sum;
}

std::int64_t shift_dot(std::span<const std::int8_t> codes, int magnitudes, std::span<const std::int32_t> x) {
  check_codes(codes, magnitudes);
  std::int64_t most = 0, sum = 0;
  for (const std::int64_t v : x) most = std::max(most, std::abs(v));
  check_range(static_cast<std::int64_t>(codes.size()), static_cast<std::int64_t>(x.size()),
              std::bit_width(static_cast<std::uint64_t>(most)) + magnitudes - 1);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    if (codes[i] == 0) continue;
    const std::int64_t wide = std::int64_t{x[i]} << (magnitudes - 1);
    const std::int64_t shifted = wide >> (magnitudes - std::abs(codes[i]));
    sum += codes[i] < 0 ? -shifted : shifted;
  }
  return sum;
}

double bucket_dot(std::span<const std::int8_t> codes, int magnitudes, std::span<const float> x) {
  check_codes(codes, magnitudes);
  check_range(static_cast<std::int64_t>(codes.size()), static_cast<std::int64_t>(x.size()), 0);
  double bucket[kMostMagnitudes + 1] = {};
  for (std::size_t i = 0; i < codes.size(); ++i)
    bucket[std::abs(codes[i])] += static_cast<double>(codes[i] < 0 ? -x[i] : x[i]);
  double sum = 0;
  for (int k = 1; k <= magnitudes; ++k) sum += std::ldexp(bucket[k], k - magnitudes);
  return sum;
}

ProductUnit product_unit(int input_bits, int weight_bits) {
  const int less = std::min(input_bits, weight_bits), more = std::max(input_bits, weight_bits);
  if (less == 32 && more == 32) return {"MAC", "32-bit floating"};
  check_usage(less >= 1 && less <= 3 && (more <= 3 || more == 16), "product unit: given inputs of ", input_bits,
              " bits and weights of ", weight_bits, ", expected 1 to 3 with 1 to 3 or 16, or 32 with 32");
  const std::string operation = less == 3 ? "SHIFT" : "XNOR";
  if (more == 16) return {operation + " ADDER", "16-bit floating"};
  return {operation, more == 3 ? "2-bit fixed" : "1-bit fixed"};
}

}  // namespace coarsegrad
