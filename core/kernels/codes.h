#pragma once
// Sweeps over integer codes of one byte: what pooling, residual sums and global pooling are made of, in integers. Every
// table gives the same bits.
#include <cstdint>
#include <type_traits>

namespace coarsegrad::kernels {

/// Sweeps over codes of type In, std::uint8_t or std::int8_t.
template <class In>
struct CodeSweeps {
  /// y[i] = the larger one of x[i] and y[i].
  void (*raise)(std::int64_t n, const In* x, In* y);
  /// sums[i] += x[i].
  void (*accumulate)(std::int64_t n, const In* x, std::int32_t* sums);
  /// y[i] = a[i] + b[i], which 16 bits hold.
  void (*add)(std::int64_t n, const In* a, const In* b, std::int16_t* y);
  /// y[i] = a_scale * a[i] + b_scale * b[i], both products and their sum rounded: what adding the values gives.
  void (*add_scaled)(std::int64_t n, const In* a, float a_scale, const In* b, float b_scale, float* y);
};

/// Sweeps over both kinds of codes.
struct Codes {
  CodeSweeps<std::uint8_t> of_unsigned;  ///< codes from 0 to 255
  CodeSweeps<std::int8_t> of_signed;     ///< codes from -128 to 127

  /// The one for codes of type In.
  template <class In>
  const CodeSweeps<In>& of() const {
    if constexpr (std::is_signed_v<In>)
      return of_signed;
    else
      return of_unsigned;
  }
};

}  // namespace coarsegrad::kernels
