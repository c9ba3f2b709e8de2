#pragma once
// A quantized gradient as its codes: the products of the backward pass multiply these (core/ops_linear.cpp), and whoever
// asks for the elements gets the very points that a quantizer without codes gives.
#include <cstdint>
#include <vector>

#include "core/compute/stochastic.h"
#include "core/leveled.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

/// Codes of `size` elements on one grid, or one for each slice of the first axis.
class CodedGradient : public Leveled {
 public:
  /// Codes not set yet. Throws Error unless the number of grids divides `size`.
  CodedGradient(std::int64_t size, std::vector<Grid<Real>> grids);

  void read(std::int64_t begin, std::int64_t end, Real* out) const override;
  LeveledCodes leveled() const override;

  /// The codes, one per element, to be written before a tensor is made of them.
  std::uint8_t* codes() { return codes_.data(); }

 private:
  std::int64_t size_;
  std::vector<Grid<Real>> grids_;
  Scratch<std::uint8_t> codes_;
};

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
