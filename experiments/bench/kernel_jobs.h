#pragma once
// What is timed of each kernel: calls on arrays that stay in the second-level cache.
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "core/kernels/kernels.h"

namespace coarsegrad::experiments::kernel_jobs {

/// One kernel on one problem.
struct Job {
  std::string kernel;                           ///< its name, and what of it
  double bytes,                                 ///< what it reads and writes, each array once
      flops;                                    ///< 0 where nobody counts them
  std::function<void(const Kernels&)> call;     ///< runs it once, in a table
  std::function<bool(const Kernels&)> in = {};  ///< whether a table has it; empty: all have
};
/// All of them, in order.
using Jobs = std::vector<Job>;

/// Elements of an array, and the matrix that they make.
inline constexpr std::int64_t kElements = kTaskElements, kCols = 64, kRows = kElements / kCols;
/// The same as a number, and the bytes of an array of floats.
inline constexpr double kCount = kElements, kArray = 4.0 * kElements;

/// Arrays that the jobs share. Small random numbers; steps repeated a million times neither overflow nor die out.
struct Arrays {
  std::vector<float> x,                   ///< Gaussian numbers, as all up to v
      dy,                                 ///< gradients of outputs
      y,                                  ///< outputs
      w,                                  ///< weights
      buf,                                ///< momentum
      m,                                  ///< means of Adam
      v,                                  ///< and its squares
      row,                                ///< 0.5 in each, as in the other rows
      row2,                               ///< another one
      row3,                               ///< another one
      row4;                               ///< another one
  std::vector<std::uint8_t> codes,        ///< 1 in each
      mask;                               ///< every second bit
  std::vector<std::int8_t> signed_codes;  ///< -1 in each
  std::vector<std::uint16_t> number;      ///< 1 in each
  std::vector<Bfloat16> half,             ///< 1 in each
      half2;                              ///< another one
  std::vector<std::uint32_t> words;       ///< zeros
  std::vector<double> sums,               ///< zeros
      sums2;                              ///< others

  /// Draws them.
  explicit Arrays(Rng rng)
      : codes(kElements, 1),
        mask(kElements / 8, 0x5A),
        signed_codes(kElements, -1),
        number(kElements, 1),
        half(kElements, to_bfloat16(1)),
        half2(half),
        words(kElements) {
    for (auto* array : {&x, &dy, &y, &w, &buf, &m, &v}) {
      array->resize(kElements);
      rng.normal(array->data(), array->size(), 1.f, 0.1f);
    }
    for (auto* array : {&row, &row2, &row3, &row4}) array->assign(kElements, 0.5f);
    sums.resize(kElements);
    sums2.resize(kElements);
  }
};

/// The jobs of the families of narrow numbers: products of bfloat16, of bytes and of bits, sweeps.
void bfloat16_jobs(Jobs& jobs, Arrays& a);
void matmul_codes_jobs(Jobs& jobs, Arrays& a);
void bits_jobs(Jobs& jobs, Arrays& a);
void codes_jobs(Jobs& jobs, Arrays& a);

}  // namespace coarsegrad::experiments::kernel_jobs
