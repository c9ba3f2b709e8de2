#include "core/compute/gemm.h"

#include <algorithm>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/kernels/kernels.h"

namespace coarsegrad {
namespace {

// B is packed once into panels as wide as a tile: k rows of neighbouring columns, so that a tile reads it as
// one stream. A tile's rows of A are packed just before they are used, kDepth of k at a time: they fit into
// the first-level cache and serve all panels of a task from there.
constexpr int kPanelVectors = 2;
constexpr std::int64_t kDepth = 512;
constexpr std::int64_t kPadding = 16;  // keeps the packed rows of A from competing for the same cache lines
constexpr std::int64_t kPanelsPerTask = 8;
constexpr std::int64_t kElementsPerTask = std::int64_t{1} << 16;  // for packing
// Elements from one k to the next where the packed rows of A lie side by side: at least the rows of any tile.
constexpr std::int64_t kSideBySide = 16;
// The scalar reference takes tiles of any size.
constexpr int kScalarWidth = 16, kScalarRows = 16;

template <class T>
class PackedProduct {
 public:
  PackedProduct(const Product<T>& product, const kernels::Matmul<T>& kernel)
      : p_(product),
        kernel_(kernel),
        width_(kernel.lanes > 0 ? kPanelVectors * kernel.lanes : kScalarWidth),
        panels_((p_.n + width_ - 1) / width_),
        packed_b_(static_cast<std::size_t>(panels_ * width_ * p_.k)) {}

  void compute() {
    const std::int64_t parts = std::clamp(p_.n * p_.k / kElementsPerTask, std::int64_t{1}, panels_);
    parallel_for(parts, [&](std::int64_t part) {
      const TaskRange some = part_of(panels_, parts, part);
      for (std::int64_t i = some.begin; i < some.end; ++i) pack_b(i);
    });
    const std::int64_t tasks = std::max(p_.m * p_.n * p_.k / kProductsPerTask, std::int64_t{1});
    const std::int64_t groups = std::min((panels_ + kPanelsPerTask - 1) / kPanelsPerTask, tasks);
    const std::int64_t bands = std::min((tasks + groups - 1) / groups, (p_.m + max_rows() - 1) / max_rows());
    parallel_for(groups * bands, [&](std::int64_t task) {
      compute_block(part_of(p_.m, bands, task % bands), part_of(panels_, groups, task / bands));
    });
  }

 private:
  int max_rows() const { return kernel_.lanes > 0 ? kernel_.max_rows[kPanelVectors] : kScalarRows; }
  T* panel(std::int64_t i) const { return packed_b_.data() + i * width_ * p_.k; }
  std::int64_t columns(std::int64_t i) const { return std::min(width_, p_.n - i * width_); }

  void pack_b(std::int64_t i) const {
    const Matrix<T>& b = p_.b;
    if (b.transposed)
      kernel_.transpose(columns(i), p_.k, b.data + i * width_ * b.ld, b.ld, panel(i), width_);
    else
      for (std::int64_t l = 0; l < p_.k; ++l)
        std::copy_n(b.data + l * b.ld + i * width_, columns(i), panel(i) + l * width_);
  }

  // op(A) at some rows and depth, in the order it has in memory. Steps of 16 elements copy faster than exact ones.
  void pack_a(TaskRange rows, TaskRange depth, T* to) const {
    const std::int64_t height = rows.end - rows.begin, ld = p_.a.ld;
    if (!p_.a.transposed) {
      for (std::int64_t i = 0; i < height; ++i, to += kDepth + kPadding)
        std::copy_n(p_.a.data + (rows.begin + i) * ld + depth.begin, depth.end - depth.begin, to);
      return;
    }
    const bool room = rows.begin + kSideBySide <= p_.m;
    for (std::int64_t l = depth.begin; l < depth.end; ++l, to += kSideBySide)
      if (room)
        std::copy_n(p_.a.data + l * ld + rows.begin, kSideBySide, to);
      else
        std::copy_n(p_.a.data + l * ld + rows.begin, height, to);
  }

  void compute_block(TaskRange rows, TaskRange panels) const {
    const std::int64_t tiles = (rows.end - rows.begin + max_rows() - 1) / max_rows();
    const std::int64_t depths = (p_.k + kDepth - 1) / kDepth;
    const Scratch<T> packed_a(static_cast<std::size_t>(kSideBySide * (kDepth + kPadding)));
    for (std::int64_t d = 0; d < depths; ++d) {
      const TaskRange depth = part_of(p_.k, depths, d);
      for (std::int64_t t = 0; t < tiles; ++t) {
        const TaskRange part = part_of(rows.end - rows.begin, tiles, t);
        const TaskRange tile_rows{rows.begin + part.begin, rows.begin + part.end};
        pack_a(tile_rows, depth, packed_a.data());
        for (std::int64_t i = panels.begin; i < panels.end; ++i) multiply(tile_rows, depth, packed_a.data(), i);
      }
    }
  }

  void multiply(TaskRange rows, TaskRange depth, const T* packed_a, std::int64_t i) const {
    kernel_.tile({.a = packed_a,
                  .a_row = p_.a.transposed ? 1 : kDepth + kPadding,
                  .b = panel(i) + depth.begin * width_,
                  .steps = {1, 1, depth.end - depth.begin},
                  .a_step = {0, 0, p_.a.transposed ? kSideBySide : 1},
                  .b_step = {0, 0, width_},
                  .c = p_.c + rows.begin * p_.ldc + i * width_,
                  .c_row = p_.ldc,
                  .rows = static_cast<int>(rows.end - rows.begin),
                  .columns = static_cast<int>(columns(i)),
                  .accumulate = p_.accumulate || depth.begin > 0});
  }

  const Product<T>& p_;
  const kernels::Matmul<T>& kernel_;
  std::int64_t width_, panels_;
  Scratch<T> packed_b_;
};

}  // namespace

template <class T>
void gemm(std::int64_t m, std::int64_t n, std::int64_t k, Matrix<T> a, Matrix<T> b, T* c, std::int64_t ldc,
          bool accumulate) {
  multiply_in_pieces(Product<T>{m, n, k, a, b, c, ldc, accumulate},
                     [](const Product<T>& part) { PackedProduct<T>(part, real_kernels<T>().matmul).compute(); });
}

template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<float>, Matrix<float>, float*, std::int64_t, bool);
template void gemm(std::int64_t, std::int64_t, std::int64_t, Matrix<double>, Matrix<double>, double*, std::int64_t,
                   bool);

}  // namespace coarsegrad
