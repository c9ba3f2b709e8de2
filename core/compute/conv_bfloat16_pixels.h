#pragma once
// What the convolutions of bfloat16 share, forward and backward (conv_bfloat16.h).
#include <algorithm>
#include <cstdint>

#include "core/base/memory.h"
#include "core/compute/conv_bfloat16.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::bfloat16 {

/// The kernels of the table in use.
inline const kernels::MatmulBfloat16& kernel() { return active_kernels().matmul_bfloat16; }

/// Whether these kernels compute this convolution.
inline bool covers(const ConvShape& s) {
  return kernel().lanes > 0 && s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1;
}

/// So many channels, and the one that fills up the last step.
constexpr std::int64_t whole_steps(std::int64_t channels) {
  return (channels + kernels::kBfloat16PerStep - 1) / kernels::kBfloat16PerStep * kernels::kBfloat16PerStep;
}

/// The pixels of images, each filled up to whole steps with zeros.
class Pixels {
 public:
  /// `images` must outlive this.
  Pixels(const Bfloat16Factor& images, std::int64_t channels) : images_(images), channels_(channels) {}
  /// Refers to this.
  Elements<Bfloat16> elements() const {
    if (images_.kept() && channels_ == whole_steps(channels_)) return images_.kept();
    return {this, [](const void* pixels, std::int64_t begin, std::int64_t end, Bfloat16* out) {
              static_cast<const Pixels*>(pixels)->read(begin, end, out);
            }};
  }

 private:
  void read(std::int64_t begin, std::int64_t end, Bfloat16* out) const {
    const std::int64_t whole = whole_steps(channels_), first = begin / whole, count = (end - begin) / whole;
    if (whole == channels_) return images_.read(begin, end, out);
    const Scratch<Bfloat16> dense(static_cast<std::size_t>(count * channels_));
    images_.read(first * channels_, (first + count) * channels_, dense.data());
    for (std::int64_t i = 0; i < count; ++i, out += whole) {
      std::copy_n(dense.data() + i * channels_, channels_, out);
      std::fill(out + channels_, out + whole, Bfloat16{});
    }
  }

  const Bfloat16Factor& images_;
  const std::int64_t channels_;
};

/// Steps of a panel that lie next to each other in memory, packed (kernels::CodeProduct::pack): `rows` rows of so many
/// steps become steps of `width` rows, the last ones 0.
inline void pack_rows(std::int64_t rows, std::int64_t width, std::int64_t steps, const Bfloat16* from, Bfloat16* to) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(Bfloat16)) * kernels::kBfloat16PerStep;
  active_kernels().matmul_codes.by_unsigned.pack(static_cast<int>(rows), static_cast<int>(width), steps,
                                                 reinterpret_cast<const std::int8_t*>(from), steps * kBytes,
                                                 reinterpret_cast<std::int8_t*>(to));
}

/// to[2 i] = a[i], to[2 i + 1] = b[i], or 0 where b is null.
inline void in_turn(std::int64_t n, const Bfloat16* a, const Bfloat16* b, Bfloat16* to) {
  for (std::int64_t i = 0; i < n; ++i) {
    to[2 * i] = a[i];
    to[2 * i + 1] = b ? b[i] : Bfloat16{};
  }
}

/// dweight, by these kernels.
void backward_weight(const ConvShape& s, const Bfloat16Factor& x, const Bfloat16Factor& dy, float* dweight);

}  // namespace coarsegrad::bfloat16
