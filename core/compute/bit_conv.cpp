#include "core/compute/bit_conv.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <mutex>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/channel_scales.h"
#include "core/compute/conv_bands.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

using kernels::BitMatch, kernels::BitProduct, kernels::BitTile, kernels::kBitStepBytes;

constexpr std::int64_t kWordBits = 64;

const BitProduct& product_for(const BitCode& activation) {
  const kernels::Bits& bits = active_kernels().bits;
  return activation.bits == 1 ? bits.one_bit : bits.planes;
}

constexpr std::int64_t whole(std::int64_t n, std::int64_t step) { return (n + step - 1) / step; }

// Weights in two's complement: every value of the range has a level.
void check_range(const BitCode& code, std::int64_t n, const std::int8_t* values) {
  parallel_ranges(n, kTaskElements, [&](std::int64_t begin, std::int64_t end) {
    bool fits = true;
    for (std::int64_t i = begin; i < end; ++i) fits &= values[i] >= code.low && values[i] <= code.high();
    check(fits, "BitWeights: given a value that the code has not, expected ", code.low, " to ", code.high());
  });
}

// Numbers -1, 0 and 1 in two's complement are a mask and a sign.
BitMatch match_of(const BitCode& weight, const BitProduct& product) {
  if (weight == BitCode::signs()) return BitMatch::equal;
  return weight == BitCode::ternary() && product.masks ? BitMatch::masked : BitMatch::both;
}

// to(step, filter) = from(filter, step) for `lanes` filters, of which the first `filters` exist and the others are 0; a
// Unit is a step of one filter.
template <class Unit>
void transpose(std::int64_t steps, std::int64_t lanes, std::int64_t filters, const std::uint8_t* from,
               std::int64_t filter_bytes, std::uint8_t* to) {
  for (std::int64_t s = 0; s < steps; ++s)
    for (std::int64_t o = 0; o < lanes; ++o, to += sizeof(Unit)) {
      Unit unit{};
      if (o < filters) std::memcpy(&unit, from + o * filter_bytes + s * static_cast<int>(sizeof unit), sizeof unit);
      std::memcpy(to, &unit, sizeof unit);
    }
}

}  // namespace

BitWeights::BitWeights(const BitCode& weight, const BitCode& activation, std::int64_t out_channels,
                       std::int64_t kernel_h, std::int64_t kernel_w, std::int64_t in_channels,
                       const std::int8_t* values)
    : product_(&product_for(activation)),
      weight_(weight),
      activation_(activation),
      out_channels_(out_channels),
      kernel_h_(kernel_h),
      kernel_w_(kernel_w),
      in_channels_(in_channels),
      match_(match_of(weight, *product_)),
      panels_(whole(out_channels, product_->lanes)),
      steps_(whole(in_channels, product_->channels_per_step)),
      step_bytes_(product_->lanes * product_->channels_per_step / 8),
      packed_(0),
      tap_sums_(0),
      last_(std::make_shared<LastRectangles>()) {
  weight.validate("BitWeights", kernels::kMaxWeightPlanes);
  activation.validate("BitWeights", kernels::kMaxActivationBits);
  check(weight.high() <= std::numeric_limits<std::int8_t>::max(), "BitWeights: given weights up to ", weight.high(),
        ", expected signed bytes");
  constexpr std::int64_t most = kMostBitExtent;
  check(out_channels >= 1 && kernel_h >= 1 && kernel_w >= 1 && in_channels >= 1 && out_channels <= most &&
            kernel_h <= most && kernel_w <= most && in_channels <= most,
        "BitWeights: given ", out_channels, " filters of ", kernel_h, " x ", kernel_w, " x ", in_channels,
        ", expected 1 to ", most, " each");
  const std::int64_t taps = kernel_h * kernel_w, depth = taps * steps_ * product_->channels_per_step;
  check(depth < (std::int64_t{1} << 30) >> (weight.bits + activation.bits + 2), "BitWeights: given sums of ", depth,
        " products of ", weight.bits, " by ", activation.bits, " bits, expected sums below 2^30");
  const std::int64_t filters = out_channels * taps;
  const Scratch<std::uint64_t> planes(static_cast<std::size_t>(packed_words(weight.bits, filters, in_channels)));
  if (match_ == BitMatch::equal) {
    pack_values(weight, filters, in_channels, values, planes.data());
  } else {
    check_range(weight, filters * in_channels, values);
    pack_planes(weight.bits, filters, in_channels, reinterpret_cast<const std::uint8_t*>(values), planes.data());
  }
  pack(planes.data());
  sum_taps(values);
}

void BitWeights::pack(const std::uint64_t* planes) {
  const std::int64_t taps = kernel_h_ * kernel_w_, lanes = product_->lanes;
  const std::int64_t plane_bytes = plane_words(in_channels_) * 8, tap_bytes = weight_.bits * plane_bytes;
  packed_ = Scratch<std::uint8_t>(static_cast<std::size_t>(panels_ * weight_.bits * taps * steps_ * step_bytes_));
  const auto* from = reinterpret_cast<const std::uint8_t*>(planes);
  const auto transpose_step =
      product_->channels_per_step == kWordBits ? transpose<std::uint64_t> : transpose<std::uint8_t>;
  parallel_for(panels_ * weight_.bits, [&](std::int64_t task) {
    const std::int64_t first = task / weight_.bits * lanes, plane = task % weight_.bits;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      transpose_step(steps_, lanes, std::min(lanes, out_channels_ - first),
                     from + (first * taps + tap) * tap_bytes + plane * plane_bytes, taps * tap_bytes,
                     packed_.data() + (task * taps + tap) * steps_ * step_bytes_);
  });
}

// With activations a = step u + low and matches M of levels u, sum w a of a tap is
//   step M + low sum w                           for weights by planes, whose matches are sum w u, and
//   step (M - most (weights below 0)) + low sum w for signs, whose matches are sum (w > 0 ? u : most - u), masked or not,
// most the level whose bits are all 1. Among the signs those that only fill up the last step are below 0.
void BitWeights::sum_taps(const std::int8_t* values) {
  const std::int64_t taps = kernel_h_ * kernel_w_, row = panels_ * product_->lanes;
  const std::int32_t most = (1 << activation_.bits) - 1;
  tap_sums_ = Scratch<std::int32_t>(static_cast<std::size_t>(taps * row));
  std::fill_n(tap_sums_.data(), taps * row, 0);
  const std::int64_t together = std::max(kTaskElements / in_channels_, std::int64_t{1});
  parallel_ranges(out_channels_ * taps, together, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int8_t* w = values + i * in_channels_;
      std::int32_t sum = 0, negative = 0;
      for (std::int64_t c = 0; c < in_channels_; ++c) sum += w[c], negative += w[c] < 0;
      if (match_ == BitMatch::equal)
        negative += static_cast<std::int32_t>(steps_ * product_->channels_per_step - in_channels_);
      tap_sums_.data()[i % taps * row + i / taps] =
          activation_.low * sum - (match_ == BitMatch::both ? 0 : activation_.step * most * negative);
    }
  });
}

void BitWeights::validate(const char* op, const ConvShape& s) const {
  s.validate(op);
  check(s.groups == 1 && s.dilation_h == 1 && s.dilation_w == 1, op, ": given ", s.groups, " groups and dilation ",
        s.dilation_h, " x ", s.dilation_w, ", expected none");
  check(s.out_channels == out_channels_ && s.kernel_h == kernel_h_ && s.kernel_w == kernel_w_ &&
            s.in_channels == in_channels_,
        op, ": given weights of ", out_channels_, " x ", kernel_h_, " x ", kernel_w_, " x ", in_channels_,
        ", expected ", s.out_channels, " x ", s.kernel_h, " x ", s.kernel_w, " x ", s.in_channels);
}

/// The outputs of a layer, in rectangles that meet the same taps.
class BitWeights::Rectangles {
 public:
  // `tile` is that of the first panel of filters, and has no pixels yet.
  struct Rectangle {
    Band rows, columns;
    BitTile tile;
  };

  Rectangles(const ConvShape& s, const BitWeights& w) : place_(place_of(s)) {
    const std::vector<Band> rows = bands(s.out_height(), s.stride_h, -s.pad_h, s.kernel_h, s.height);
    const std::vector<Band> columns = bands(s.out_width(), s.stride_w, -s.pad_w, s.kernel_w, s.width);
    const std::int64_t filters = w.panels_ * w.product_->lanes;
    offsets_ = Scratch<std::int32_t>(rows.size() * columns.size() * static_cast<std::size_t>(filters));
    std::int32_t* offset = offsets_.data();
    for (const Band& y : rows)
      for (const Band& x : columns) {
        add_up_taps(w, y, x, filters, offset);
        all_.push_back({y, x, tile_of(w, s.width, y, x, offset)});
        offset += filters;
      }
  }

  const std::vector<Rectangle>& all() const { return all_; }
  /// Whether they are those of a layer with these weights and this shape, whatever its number of images.
  bool are_of(const ConvShape& s) const { return place_of(s) == place_; }

 private:
  using Place = std::array<std::int64_t, 6>;
  static Place place_of(const ConvShape& s) { return {s.height, s.width, s.stride_h, s.stride_w, s.pad_h, s.pad_w}; }

  // What the taps add beside their matches.
  static void add_up_taps(const BitWeights& w, const Band& y, const Band& x, std::int64_t filters, std::int32_t* sums) {
    std::fill_n(sums, filters, 0);
    for (std::int64_t ty = y.first_tap; ty < y.last_tap; ++ty)
      for (std::int64_t tx = x.first_tap; tx < x.last_tap; ++tx) {
        const std::int32_t* of_tap = w.tap_sums_.data() + (ty * w.kernel_w_ + tx) * filters;
        for (std::int64_t j = 0; j < filters; ++j) sums[j] += of_tap[j];
      }
  }

  static BitTile tile_of(const BitWeights& w, std::int64_t width, const Band& y, const Band& x,
                         const std::int32_t* offset) {
    BitTile tile{};
    tile.rows = x.taps() == 0 ? 0 : y.taps();
    tile.run = x.taps() * w.steps_;
    tile.pixel_row = width * w.steps_ * kBitStepBytes;
    tile.weight_row = w.kernel_w_ * w.tap_bytes();
    tile.weights = w.packed_.data() + (y.first_tap * w.kernel_w_ + x.first_tap) * w.tap_bytes();
    tile.plane = w.plane_bytes();
    tile.planes = w.match_ == BitMatch::masked ? 1 : w.weight_.bits;
    tile.bits = w.activation_.bits;
    tile.match = w.match_;
    for (int q = 0; q < tile.planes; ++q) tile.coefficient[q] = 1 << q;
    if (w.match_ == BitMatch::both && w.weight_.low < 0) tile.coefficient[tile.planes - 1] = -(1 << (tile.planes - 1));
    tile.scale = w.activation_.step;
    tile.offset = offset;
    return tile;
  }

  Place place_;
  Scratch<std::int32_t> offsets_{0};  // (rectangle, filter up to the end of the last panel)
  std::vector<Rectangle> all_;
};

/// Those of the last layer that asked: a network has one for its weights, and asks in each pass.
class BitWeights::LastRectangles {
 public:
  std::shared_ptr<const Rectangles> of(const ConvShape& s, const BitWeights& w) {
    const std::lock_guard lock(mutex_);
    if (!last_ || !last_->are_of(s)) last_ = std::make_shared<const Rectangles>(s, w);
    return last_;
  }

 private:
  std::mutex mutex_;
  std::shared_ptr<const Rectangles> last_;
};

/// One convolution, cut into tasks: a few images, or a few rows of one, times a part of the filters. What a task prepares
/// of the images and the sums that it writes stay in the second-level cache, a panel of filters in the first.
class BitConvolution {
 public:
  BitConvolution(const char* op, const ConvShape& s, const std::uint64_t* x, const BitWeights& w)
      : s_(s), x_(x), w_(w) {
    w.validate(op, s);
    rectangles_ = w.last_->of(s, w);
    cut();
  }

  void sums(std::int32_t* y) const {
    for_each_task([&](const Task& t) { compute(t, y + t.first_pixel * s_.out_channels, 0, s_.out_channels); });
  }

  void floats(const float* scale, const float* bias, const ElementSink<float>& y) const {
    const auto to_floats = active_kernels().bits.scale;
    for_each_sum([&](const Task& task, std::int64_t n, const std::int32_t* sums) {
      const std::int64_t first = task.filters.begin;
      std::int64_t pixel = task.first_pixel * s_.out_channels + first;
      for (std::int64_t p = 0; p < task.pixels; ++p, sums += n, pixel += s_.out_channels) {
        const SinkWindow<float> floats(y, pixel, pixel + n);
        to_floats(n, sums, scale + first, bias ? bias + first : nullptr, floats.data());
      }
    });
  }

  void levels(const BitThresholds& t, std::uint8_t* levels) const {
    check_channels(t);
    for_each_sum([&](const Task& task, std::int64_t n, const std::int32_t* sums) {
      std::uint8_t* pixel = levels + task.first_pixel * s_.out_channels + task.filters.begin;
      for (std::int64_t p = 0; p < task.pixels; ++p, sums += n, pixel += s_.out_channels)
        t.levels_of(task.filters.begin, n, sums, pixel);
    });
  }

  void planes(const BitThresholds& t, std::uint64_t* planes) const {
    const std::int64_t row = plane_words(s_.out_channels);
    const int bits = t.bits();
    check_channels(t);
    for_each_sum([&](const Task& task, std::int64_t n, const std::int32_t* sums) {
      std::uint64_t* pixel = planes + task.first_pixel * bits * row + task.filters.begin / kWordBits;
      for (std::int64_t p = 0; p < task.pixels; ++p, sums += n, pixel += bits * row)
        t.planes_of(task.filters.begin, n, sums, pixel, row);
    });
  }

 private:
  using Rectangle = BitWeights::Rectangles::Rectangle;

  static constexpr std::int64_t kTaskBytes = std::int64_t{128} << 10, kProductsPerTask = std::int64_t{1} << 21;
  static constexpr std::int64_t kMostParts = 4, kEnoughTasks = 8;

  struct Task {
    TaskRange images, rows, filters;   // rows of outputs; filters begin at a whole word of channels
    std::int64_t first_pixel, pixels;  // of the output
  };

  // The pixels of the images that a task reads, prepared for the kernel.
  struct Prepared {
    std::int64_t first_row, rows;
    Scratch<std::uint8_t> bytes;
  };

  std::int64_t pixel_bytes() const { return w_.steps_ * kBitStepBytes; }

  void cut() {
    const std::int64_t height = s_.out_height(), width = s_.out_width();
    const std::int64_t row_bytes =
        std::max({width * s_.out_channels * static_cast<std::int64_t>(sizeof(std::int32_t)),
                  std::min(s_.stride_h, s_.kernel_h) * s_.width * pixel_bytes(), std::int64_t{1}});
    rows_ = std::clamp(kTaskBytes / row_bytes, std::int64_t{1}, std::max(height, std::int64_t{1}));
    bands_of_rows_ = whole(height, rows_);
    images_ = rows_ < height || height == 0
                  ? 1
                  : std::clamp(kTaskBytes / (row_bytes * height), std::int64_t{1}, std::max(s_.batch, std::int64_t{1}));
    pixel_tasks_ = whole(s_.batch, images_) * bands_of_rows_;
    const std::int64_t products =
        images_ * rows_ * width * s_.out_channels * s_.kernel_h * s_.kernel_w * s_.in_channels;
    const std::int64_t most = std::min(kMostParts, whole(s_.out_channels, kWordBits));
    parts_ = pixel_tasks_ >= kEnoughTasks ? 1 : std::clamp(products / kProductsPerTask, std::int64_t{1}, most);
  }

  Task task(std::int64_t number) const {
    const std::int64_t part = number % parts_, where = number / parts_;
    const std::int64_t image = where / bands_of_rows_ * images_, row = where % bands_of_rows_ * rows_;
    const TaskRange words = part_of(plane_words(s_.out_channels), parts_, part);
    Task t{{image, std::min(image + images_, s_.batch)},
           {row, std::min(row + rows_, s_.out_height())},
           {words.begin * kWordBits, std::min(words.end * kWordBits, s_.out_channels)},
           (image * s_.out_height() + row) * s_.out_width(),
           0};
    t.pixels = (t.images.end - t.images.begin) * (t.rows.end - t.rows.begin) * s_.out_width();
    return t;
  }

  template <class F>
  void for_each_task(F&& f) const {
    parallel_for(pixel_tasks_ * parts_, [&](std::int64_t number) { f(task(number)); });
  }

  // f(task, its filters, sums of its pixels and filters) for all tasks.
  template <class F>
  void for_each_sum(F&& f) const {
    for_each_task([&](const Task& task) {
      const std::int64_t n = task.filters.end - task.filters.begin;
      const Scratch<std::int32_t> sums(static_cast<std::size_t>(task.pixels * n));
      compute(task, sums.data(), task.filters.begin, n);
      f(task, n, sums.data());
    });
  }

  void check_channels(const BitThresholds& t) const {
    check(t.channels() == s_.out_channels, "bit_conv2d: given thresholds for ", t.channels(), " channels, expected ",
          s_.out_channels);
  }

  Prepared prepare(const Task& t) const {
    const std::int64_t first = std::max(t.rows.begin * s_.stride_h - s_.pad_h, std::int64_t{0});
    const std::int64_t last = std::min((t.rows.end - 1) * s_.stride_h - s_.pad_h + s_.kernel_h, s_.height);
    const std::int64_t rows = std::max(last - first, std::int64_t{0}), pixels = rows * s_.width;
    const std::int64_t images = t.images.end - t.images.begin;
    Prepared p{first, rows, Scratch<std::uint8_t>(static_cast<std::size_t>(images * pixels * pixel_bytes()))};
    const int bits = w_.activation_.bits;
    for (std::int64_t n = 0; n < images && pixels > 0; ++n)
      w_.product_->expand(
          w_.match_, bits, pixels, s_.in_channels,
          x_ + packed_words(bits, ((t.images.begin + n) * s_.height + first) * s_.width, s_.in_channels),
          p.bytes.data() + n * pixels * pixel_bytes());
    return p;
  }

  // The part of a rectangle that belongs to a task: where its outputs' first pixels are read, and where their sums go.
  struct Places {
    const BitTile* tile;
    const std::uint8_t* const* pixels;
    std::int32_t* const* sums;
    std::int64_t count;
  };

  // sums[pixel * row + filter - first_filter] for all pixels and filters of a task.
  void compute(const Task& t, std::int32_t* sums, std::int64_t first_filter, std::int64_t row) const {
    if (t.pixels == 0) return;
    const Prepared images = prepare(t);
    const Scratch<const std::uint8_t*> pixels(static_cast<std::size_t>(t.pixels));
    const Scratch<std::int32_t*> outputs(static_cast<std::size_t>(t.pixels));
    std::vector<Places> parts;
    std::int64_t placed = 0;
    for (const Rectangle& r : rectangles_->all()) {
      const std::int64_t n = place(t, images, r, sums, row, pixels.data() + placed, outputs.data() + placed);
      parts.push_back({&r.tile, pixels.data() + placed, outputs.data() + placed, n});
      placed += n;
    }
    const std::int64_t lanes = w_.product_->lanes;
    for (std::int64_t filter = t.filters.begin; filter < t.filters.end; filter += lanes)
      for (const Places& part : parts)
        multiply(part, filter, static_cast<int>(std::min(lanes, t.filters.end - filter)), filter - first_filter);
  }

  // Lists the outputs of a rectangle in a task, and says how many they are.
  std::int64_t place(const Task& t, const Prepared& images, const Rectangle& r, std::int32_t* sums, std::int64_t row,
                     const std::uint8_t** pixels, std::int32_t** outputs) const {
    const std::int64_t task_rows = t.rows.end - t.rows.begin;
    std::int64_t count = 0;
    for (std::int64_t n = 0; n < t.images.end - t.images.begin; ++n)
      for (std::int64_t oy = std::max(r.rows.begin, t.rows.begin); oy < std::min(r.rows.end, t.rows.end); ++oy)
        for (std::int64_t ox = r.columns.begin; ox < r.columns.end; ++ox, ++count) {
          const std::int64_t iy = oy * s_.stride_h - s_.pad_h + r.rows.first_tap - images.first_row;
          const std::int64_t ix = ox * s_.stride_w - s_.pad_w + r.columns.first_tap;
          const std::int64_t pixel = r.tile.rows == 0 ? 0 : (n * images.rows + iy) * s_.width + ix;
          pixels[count] = images.bytes.data() + pixel * pixel_bytes();
          outputs[count] = sums + ((n * task_rows + oy - t.rows.begin) * s_.out_width() + ox) * row;
        }
    return count;
  }

  // The sums of these places for one panel of filters; as many pixels to a tile as it holds.
  void multiply(const Places& places, std::int64_t filter, int columns, std::int64_t column) const {
    BitTile tile = *places.tile;
    tile.weights += filter / w_.product_->lanes * w_.weight_.bits * w_.plane_bytes();
    tile.offset += filter;
    tile.columns = columns;
    tile.column = column;
    for (std::int64_t i = 0; i < places.count; i += tile.count) {
      tile.count = static_cast<int>(std::min(places.count - i, std::int64_t{w_.product_->max_pixels}));
      tile.pixels = places.pixels + i;
      tile.sums = places.sums + i;
      w_.product_->tile(tile);
    }
  }

  ConvShape s_;
  const std::uint64_t* x_;
  const BitWeights& w_;
  std::shared_ptr<const BitWeights::Rectangles> rectangles_;
  std::int64_t rows_ = 0, images_ = 0, bands_of_rows_ = 0, pixel_tasks_ = 0, parts_ = 0;
};

void bit_conv2d(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, std::int32_t* y) {
  BitConvolution("bit_conv2d", s, x, w).sums(y);
}

void bit_conv2d_scaled(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, std::span<const float> scale,
                       const float* bias, ElementSink<float> y) {
  const BitConvolution convolution("bit_conv2d_scaled", s, x, w);
  convolution.floats(scales_of_channels("bit_conv2d_scaled", s.out_channels, scale).data(), bias, y);
}

void bit_conv2d_levels(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, const BitThresholds& t,
                       std::uint8_t* levels) {
  BitConvolution("bit_conv2d_levels", s, x, w).levels(t, levels);
}

void bit_conv2d_planes(const ConvShape& s, const std::uint64_t* x, const BitWeights& w, const BitThresholds& t,
                       std::uint64_t* planes) {
  BitConvolution("bit_conv2d_planes", s, x, w).planes(t, planes);
}

}  // namespace coarsegrad
