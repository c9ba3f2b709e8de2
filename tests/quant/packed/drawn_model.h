#pragma once
// Models from numbers that somebody draws, some of them absurd, and what has to hold for any model and any file.
#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/base/check.h"
#include "quant/packed/bits.h"
#include "quant/packed/runtime.h"
#include "tests/quant/packed/model_files.h"
#include "tests/support/tables.h"

namespace coarsegrad::packed {

/// Draws a model by `integer(low, high)`, a whole number of that range: the operations fit what they read more often
/// than not, and now and then a number is absurd. The model need not be sound.
template <class Integer>
class ModelDraw {
 public:
  explicit ModelDraw(Integer integer) : integer_(std::move(integer)) {}

  /// Throws Error where a shape is too absurd to be made.
  Model model() {
    model_.nodes = {{"n0", Input{input_shape(), one_in(4) ? std::abs(real()) : 0}, {}}};
    for (std::int64_t more = integer_(1, 8); more > 0; --more) {
      const auto shapes = shapes_so_far();
      if (shapes.empty()) break;
      const int from = one_in(8) ? static_cast<int>(integer_(-1, std::ssize(shapes))) : int(std::ssize(shapes)) - 1;
      const bool known = from >= 0 && from < std::ssize(shapes);
      x_ = known ? shapes[static_cast<std::size_t>(from)] : Shape{1, 1, 1};
      Operation operation = drawn_operation();
      std::vector<int> inputs(std::holds_alternative<Add>(operation) ? 2 : 1, from);
      if (inputs.size() > 1 && known)
        for (int other = from; other >= 0; --other)
          if (shapes[static_cast<std::size_t>(other)] == x_) inputs[1] = other;
      if (one_in(32)) inputs.push_back(0);
      model_.nodes.push_back({"n" + std::to_string(model_.nodes.size()), std::move(operation), inputs});
    }
    return std::move(model_);
  }

 private:
  bool one_in(std::int64_t n) { return integer_(1, n) == 1; }
  // Of the range, but for one in 64.
  std::int64_t number(std::int64_t low, std::int64_t high) {
    constexpr std::int64_t absurd[] = {-1,
                                       0,
                                       255,
                                       256,
                                       65536,
                                       65537,
                                       1 << 20,
                                       (1 << 20) + 1,
                                       std::int64_t{1} << 40,
                                       std::numeric_limits<std::int64_t>::max()};
    return one_in(64) ? absurd[integer_(0, std::ssize(absurd) - 1)] : integer_(low, high);
  }
  int small(int low, int high) { return static_cast<int>(std::clamp<std::int64_t>(number(low, high), -1, 1 << 20)); }
  float real() {
    constexpr float special[] = {0,      -0.f,   1,     -1,    0.5f,   1e-3f, -1e6f, 1e30f, -1e30f,
                                 1e-42f, 1e-38f, 3e38f, 0.25f, -0.25f, 0.1f,  2,     7,     127};
    if (one_in(1024)) return HUGE_VALF;
    return one_in(8) ? special[integer_(0, std::ssize(special) - 1)] : static_cast<float>(integer_(-1024, 1024)) / 256;
  }
  std::vector<float> reals(std::int64_t n) {
    std::vector<float> all(static_cast<std::size_t>(std::clamp<std::int64_t>(n, 0, kMostNumbers)));
    std::generate(all.begin(), all.end(), [this] { return real(); });
    return all;
  }
  Extents extents(int low, int high) {
    const std::int64_t h = number(low, high);
    return {h, one_in(4) ? number(low, high) : h};
  }

  Shape input_shape() {
    if (one_in(8)) return {number(1, 40)};
    return {number(1, 9), number(1, 9), number(1, 20)};
  }
  std::vector<Shape> shapes_so_far() const try {
    if (model_.nodes.size() == 1) return {std::get<Input>(model_.nodes[0].operation).sample};
    return check_model(model_);
  } catch (const Error&) {
    return {};
  }

  // Numbers of the bits that a weight of this shape takes, unless it is too large to be made.
  Weight weight(const Shape& shape) {
    Weight w{.shape = shape, .codebook = static_cast<Codebook>(integer_(0, 4))};
    const std::int64_t size = std::min(shape.numel(), kMostNumbers);
    if (w.codebook == Codebook::floats) {
      w.values = reals(size);
      return w;
    }
    w.bits = w.codebook == Codebook::signs ? 1 : small(w.codebook == Codebook::table ? 1 : 2, 8);
    if (w.codebook == Codebook::powers) w.magnitudes = small(1, 8);
    std::mt19937 random(static_cast<unsigned>(integer_(0, 255)));
    w.fields.resize(field_bytes(size, std::clamp(w.bits, 1, 8)));
    std::generate(w.fields.begin(), w.fields.end(), [&] { return static_cast<std::uint8_t>(random()); });
    if (w.codebook == Codebook::table)
      w.values = reals(std::int64_t{1} << std::clamp(w.bits, 1, 8));
    else
      w.scales = reals(one_in(2) ? 1 : shape[0]);
    return w;
  }

  Conv2d convolution() {
    Conv2d o;
    const std::int64_t in = x_.rank() == 3 ? x_[2] : number(1, 4);
    if (one_in(4) && in % 2 == 0) o.groups = one_in(2) ? in : 2;
    const std::int64_t kernel = number(1, 5), out = o.groups * small(1, 20);
    o.weight = weight({out, kernel, one_in(4) ? number(1, 3) : kernel, in / std::max<std::int64_t>(o.groups, 1)});
    if (one_in(2)) o.bias = reals(out);
    o.padding = extents(0, 3);
    if (one_in(3)) o.stride = extents(1, 3);
    if (one_in(4)) o.dilation = extents(1, 3);
    return o;
  }
  Linear dense() {
    const std::int64_t out = number(1, 20);
    return {weight({out, x_[-1]}), one_in(2) ? reals(out) : std::vector<float>()};
  }
  Levels levels() {
    Levels o{reals(integer_(1, 4)), one_in(4)};
    for (float& size : o.sizes) size = std::abs(size);
    std::ranges::sort(o.sizes);
    return o;
  }
  Quantize quantizer() {
    Quantize o;
    o.bits = small(1, one_in(2) ? 4 : 8);
    o.quantizer = {real(), one_in(8) ? small(1, 255) : (1 << std::clamp(o.bits, 0, 8)) - 1,
                   static_cast<kernels::Rounding>(integer_(0, 2)), one_in(2) ? 1 : real()};
    o.quantizer.alpha = std::abs(o.quantizer.alpha);
    return o;
  }
  Window window() {
    Window o;
    o.kernel = extents(1, 3);
    o.stride = extents(1, 3);
    if (one_in(2)) o.padding = extents(0, 1);
    return o;
  }

  Operation drawn_operation() {
    switch (integer_(0, 17)) {
      case 0:
        return Abs{};
      case 1:
        return Add{};
      case 2:
        return Clamp{real(), real()};
      case 3:
        return GlobalAveragePool{};
      case 4:
        return levels();
      case 5:
        return dense();
      case 6:
        return MaxPool{window()};
      case 7:
        return UnitTanh{};
      case 8:
      case 9:
        return Norm{reals(x_[-1]), reals(x_[-1]), one_in(4) ? std::vector<float>() : reals(x_[-1])};
      case 10:
      case 11:
        return quantizer();
      case 12:
        return Relu{};
      case 13:
        return Reshape{one_in(8) ? Shape{number(1, 40)} : Shape{x_.numel()}};
      case 14:
        return one_in(2) ? Operation(Subsample{extents(1, 2), number(0, 5), number(0, 2)})
                         : Operation(AveragePool{window()});
      default:
        return convolution();
    }
  }

  static constexpr std::int64_t kMostNumbers = 1 << 13;

  Integer integer_;
  Model model_;
  Shape x_ = {};  // of what the next node reads
};

/// Products and elements of one sample, about.
inline double work_of(const Model& model, const std::vector<Shape>& shapes) {
  double all = 0;
  for (std::size_t i = 0; i < shapes.size(); ++i) {
    const Operation& o = model.nodes[i].operation;
    double each = 1;
    if (const Weight* w = weight_of(o)) each = static_cast<double>(w->shape.numel() / w->shape[0]);
    if (const auto* pool = std::get_if<MaxPool>(&o)) each = static_cast<double>(pool->kernel.h * pool->kernel.w);
    if (const auto* pool = std::get_if<AveragePool>(&o)) each = static_cast<double>(pool->kernel.h * pool->kernel.w);
    all += each * static_cast<double>(shapes[i].numel());
  }
  return all;
}

/// The same model, but that every value has a second reader, so that no work is folded into thresholds.
inline Model with_taps(const Model& model, const std::vector<Shape>& shapes) {
  Model tapped{{}, model.metadata};
  std::vector<int> numbers;
  for (std::size_t i = 0; i < model.nodes.size(); ++i) {
    Node node = model.nodes[i];
    for (int& from : node.inputs) from = numbers[static_cast<std::size_t>(from)];
    numbers.push_back(static_cast<int>(tapped.nodes.size()));
    tapped.nodes.push_back(std::move(node));
    if (i + 1 < model.nodes.size())
      tapped.nodes.push_back({"tap" + std::to_string(i), Reshape{shapes[i]}, {numbers.back()}});
  }
  return tapped;
}

inline std::vector<float> outputs_of(Model model, std::int64_t batch) {
  const Runtime net(std::move(model));
  const std::vector<float> x = testing::gaussian(batch * net.input().numel(), 3);
  std::vector<float> y(static_cast<std::size_t>(batch * net.output().numel()));
  net.run(batch, x, y);
  return y;
}

/// What came of a model.
enum class Fate {
  refused,  ///< by an Error
  sound,    ///< written and read again with the same bytes, but too large to run here
  ran       ///< with and without thresholds to the same bits
};

/// Writes the model, reads it again, and runs it where that takes little time. Throws Error where one of these does
/// not give what it must, std::exception of another kind where they fail otherwise than by refusing.
inline Fate fate_of(const Model& model) {
  std::vector<Shape> shapes;
  std::string file;
  try {
    shapes = check_model(model);
    file = bytes_of(model);
  } catch (const Error&) {
    return Fate::refused;
  }
  const Model back = parse_model(bytes_in(file));
  check(bytes_of(back) == file, "a model: what was read is written in other bytes");
  if (work_of(model, shapes) > 1e6) return Fate::sound;
  check(testing::same_bits(outputs_of(back, 2), outputs_of(with_taps(model, shapes), 2)),
        "a model: thresholds give other bits than the expression");
  return Fate::ran;
}

/// Reads a file, whatever it holds, and does the same to its model.
inline Fate fate_of(std::span<const std::byte> file) {
  Model model;
  try {
    model = parse_model(file);
  } catch (const Error&) {
    return Fate::refused;
  }
  return fate_of(model);
}

}  // namespace coarsegrad::packed
