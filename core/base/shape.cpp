#include "core/base/shape.h"

#include <algorithm>
#include <ostream>

#include "core/base/check.h"

namespace coarsegrad {
namespace {
constexpr std::int64_t kMaxElements = std::int64_t{1} << 40;

// Where axis i, negative ones from the end, stands among the extents.
std::size_t place_of(int i, const Shape& s) {
  check(i >= -s.rank() && i < s.rank(), "shape: given axis ", i, " of ", s, ", expected one of its ", s.rank(),
        " axes");
  return static_cast<std::size_t>(i < 0 ? i + s.rank() : i);
}
}  // namespace

Shape::Shape(std::initializer_list<std::int64_t> extents) : Shape(extents.begin(), static_cast<int>(extents.size())) {}

Shape::Shape(const std::int64_t* extents, int rank) : rank_(rank) {
  check(rank >= 0 && rank <= kMaxRank, "shape: given ", rank, " axes, expected at most ", kMaxRank);
  std::copy(extents, extents + rank, extents_.begin());
  for (int i = 0; i < rank; ++i) {
    const std::int64_t n = extents[i];
    check(n >= 0, "shape: given extent ", n, " at axis ", i, ", expected >= 0");
    check(n == 0 || numel_ <= kMaxElements / n, "shape: given ", *this, ", expected at most 2^40 elements");
    numel_ *= n;
  }
}

std::int64_t Shape::operator[](int i) const { return extents_[place_of(i, *this)]; }

Shape Shape::with(int i, std::int64_t n) const {
  auto extents = extents_;
  extents[place_of(i, *this)] = n;
  return Shape(extents.data(), rank_);
}

std::string Shape::str() const { return cat(*this); }

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << '(';
  for (int i = 0; i < s.rank_; ++i) out << (i ? "," : "") << s.extents_[static_cast<std::size_t>(i)];
  return out << ')';
}

Shape broadcast_shape(const char* op, const Shape& a, const Shape& b) {
  const int rank = std::max(a.rank(), b.rank());
  std::array<std::int64_t, Shape::kMaxRank> out{};
  for (int i = 1; i <= rank; ++i) {
    const std::int64_t m = i <= a.rank() ? a[-i] : 1, n = i <= b.rank() ? b[-i] : 1;
    check(m == n || m == 1 || n == 1, op, ": ", a, " and ", b, " do not broadcast");
    out[static_cast<std::size_t>(rank - i)] = m == 1 ? n : m;
  }
  return Shape(out.data(), rank);
}

}  // namespace coarsegrad
