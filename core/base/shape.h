#pragma once
// Shape: the extents of a tensor, outermost first. Images are (N, H, W, C), weights of convolutions (O, kh, kw, I).
#include <array>
#include <cstdint>
#include <initializer_list>
#include <iosfwd>
#include <string>

namespace coarsegrad {

/// Up to 6 extents, each >= 0, held by value. No extents: the shape of a scalar, one element.
class Shape {
 public:
  /// Extents of a shape, at most.
  static constexpr int kMaxRank = 6;

  /// The shape of a scalar.
  Shape() = default;
  /// Throws Error on a negative extent, more than kMaxRank of them, or more than 2^40 elements.
  Shape(std::initializer_list<std::int64_t> extents);
  Shape(const std::int64_t* extents, int rank);

  /// Number of axes.
  int rank() const { return rank_; }
  /// Extent of axis i; negative i counts from the end (-1 is the innermost). Throws Error outside [-rank, rank).
  std::int64_t operator[](int i) const;
  /// Number of elements.
  std::int64_t numel() const { return numel_; }
  /// The extents, outermost first.
  const std::int64_t* begin() const { return extents_.data(); }
  const std::int64_t* end() const { return extents_.data() + rank_; }
  /// This shape with axis i (negative: from the end) of extent n. Throws Error as operator[] and the constructors do.
  Shape with(int i, std::int64_t n) const;
  /// "(2,3,4)".
  std::string str() const;

  /// Whether ranks and extents are equal.
  friend bool operator==(const Shape& a, const Shape& b) { return a.rank_ == b.rank_ && a.extents_ == b.extents_; }
  /// Writes str().
  friend std::ostream& operator<<(std::ostream& out, const Shape& s);

 private:
  std::array<std::int64_t, kMaxRank> extents_{};
  int rank_ = 0;
  std::int64_t numel_ = 1;
};

/// The shape that a and b broadcast to, as in NumPy: axes are matched from the end, extent 1 stretches.
/// Throws Error, naming `op`, when they do not fit.
Shape broadcast_shape(const char* op, const Shape& a, const Shape& b);

}  // namespace coarsegrad
