#include "core/compute/byte_weights.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <type_traits>

#include "core/base/check.h"
#include "core/compute/code_rows.h"
#include "core/compute/conv_correlate.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using code_rows::whole_steps, code_rows::WholeRows, kernels::kCodesPerStep;

bool reads_images(const ConvShape& s) {
  return s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1 &&
         s.kernel_h * s.kernel_w * s.in_channels <= kernels::kMaxCodeDepth;
}

// Whether MatmulCodes::small multiplies filters, each of so many runs of codes that are filled up to whole steps, by
// codes up to `highest`: a sum lies between those of its negative and of its positive weights.
bool are_small(std::int64_t filters, std::int64_t runs, std::int64_t run, const std::int8_t* weights, int highest) {
  const std::int64_t most = std::numeric_limits<std::int16_t>::max() / std::max(highest, 1);
  const std::int64_t filter = std::max(runs * run, std::int64_t{1});
  std::atomic<bool> all = true;
  parallel_ranges(
      filters, std::max(kTaskElements / filter, std::int64_t{1}), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t o = begin; o < end; ++o) {
          std::int64_t negative[2] = {}, positive[2] = {};  // of the codes 0 and 1, and 2 and 3, of all steps
          for (const std::int8_t* w = weights + o * runs * run; w != weights + (o + 1) * runs * run; w += run)
            for (std::int64_t c = 0; c < run; ++c) {
              const std::int64_t pair = c % kCodesPerStep / 2;
              negative[pair] += std::min<int>(w[c], 0);
              positive[pair] += std::max<int>(w[c], 0);
            }
          if (std::max({-negative[0], -negative[1], positive[0], positive[1]}) > most) all = false;
        }
      });
  return all;
}

}  // namespace

ByteWeights::ByteWeights(const ConvShape& s)
    : products_(&active_kernels().matmul_codes),
      out_channels_(s.out_channels),
      kernel_h_(s.kernel_h),
      kernel_w_(s.kernel_w),
      in_channels_(s.in_channels),
      groups_(s.groups),
      direct_(reads_images(s)),
      packed_(0) {
  s.validate("ByteWeights");
  const std::int64_t taps = kernel_h_ * kernel_w_, channels = in_channels_ / groups_;
  depth_ = direct_ ? taps * whole_steps(channels) : whole_steps(taps * channels);
  const direct::Panels panels(products_->by_unsigned, out_channels_ / groups_);
  panels_ = panels.count;
  width_ = panels.width;
  packed_ = Scratch<std::int8_t>(static_cast<std::size_t>(groups_ * panels_ * width_ * depth_));
}

// filters(first, count, space) = where `count` filters from number `first` on lie, tap after tap without padding;
// `space` is there for those that are made for it.
template <class Filters>
void ByteWeights::pack(Filters&& filters) {
  const std::int64_t taps = kernel_h_ * kernel_w_, channels = in_channels_ / groups_;
  const std::int64_t outputs = out_channels_ / groups_, panel_size = width_ * depth_;
  const std::int64_t runs = direct_ ? taps : 1, run = direct_ ? channels : taps * channels;
  const std::int64_t together =
      std::max(direct::kElementsPerTask / std::max(panel_size, std::int64_t{1}), std::int64_t{1});
  parallel_ranges(groups_ * panels_, together, [&](std::int64_t begin, std::int64_t end) {
    const Scratch<std::int8_t> space(static_cast<std::size_t>(width_ * taps * channels));
    for (std::int64_t panel = begin; panel < end; ++panel) {
      const std::int64_t first = panel % panels_ * width_, count = std::min(width_, outputs - first);
      const WholeRows<std::int8_t> rows(count * runs, run,
                                        filters(panel / panels_ * outputs + first, count, space.data()));
      products_->by_unsigned.pack(static_cast<int>(count), static_cast<int>(width_), depth_ / kCodesPerStep,
                                  rows.data(), depth_, packed_.data() + panel * panel_size);
    }
  });
}

ByteWeights::ByteWeights(const ConvShape& s, const std::int8_t* values, int highest) : ByteWeights(s) {
  const std::int64_t taps = kernel_h_ * kernel_w_, channels = in_channels_ / groups_, filter = taps * channels;
  small_ = products_->small && (direct_ ? are_small(out_channels_, taps, channels, values, highest)
                                        : are_small(out_channels_, 1, filter, values, highest));
  pack([&](std::int64_t first, std::int64_t, std::int8_t*) { return values + first * filter; });
}

ByteWeights::ByteWeights(const ConvShape& s, const BitCode& code, const std::uint64_t* planes) : ByteWeights(s) {
  code.validate("ByteWeights", kernels::kMaxWeightPlanes);
  check(code.high() <= std::numeric_limits<std::int8_t>::max(), "ByteWeights: given codes up to ", code.high(),
        ", expected signed bytes");
  const std::int64_t taps = kernel_h_ * kernel_w_, channels = in_channels_ / groups_;
  pack([&](std::int64_t first, std::int64_t count, std::int8_t* space) {
    unpack_values(code, count * taps, channels, planes + packed_words(code.bits, first * taps, channels), space);
    return space;
  });
}

void ByteWeights::validate(const char* op, const ConvShape& s) const {
  s.validate(op);
  check(s.out_channels == out_channels_ && s.kernel_h == kernel_h_ && s.kernel_w == kernel_w_ &&
            s.in_channels == in_channels_ && s.groups == groups_ && reads_images(s) == direct_,
        op, ": given weights of ", out_channels_, " x ", kernel_h_, " x ", kernel_w_, " x ", in_channels_, " in ",
        groups_, " groups, expected ", s.out_channels, " x ", s.kernel_h, " x ", s.kernel_w, " x ", s.in_channels,
        " in ", s.groups, ", with dilation as when they were packed");
}

template <class In>
const kernels::CodeProduct<In>& ByteWeights::product() const {
  if constexpr (std::is_unsigned_v<In>)
    if (small_) return *products_->small;
  return products_->of<In>();
}
template const kernels::CodeProduct<std::uint8_t>& ByteWeights::product() const;
template const kernels::CodeProduct<std::int8_t>& ByteWeights::product() const;

}  // namespace coarsegrad
