#pragma once
// What the forms of an exported graph differ in: how a grid of activations and a quantized weight are said.
#include <memory>
#include <string>

#include "quant/export/onnx/export.h"
#include "quant/export/onnx/graph.h"
#include "quant/packed/thresholds.h"

namespace coarsegrad::onnx {

/// A value of the network in the graph: a tensor of floats, or one of whole numbers as floats, times a scale.
struct Edge {
  std::string floats = {},  ///< name of the tensor; empty: not there (yet)
      codes = {};           ///< name of the tensor; empty: the value has no codes
  float scale = 1;          ///< value of the code 1
  bool with_sign = false;   ///< whether codes may be negative

  /// Whether the value is in the graph.
  bool defined() const { return !floats.empty() || !codes.empty(); }
  /// Whether it has codes.
  bool coded() const { return !codes.empty(); }
};

/// The tensor `codes` times `scale`, called `name`; `codes` itself where the scale is 1.
std::string times(Graph& g, const std::string& codes, float scale, const std::string& name);

/// Operators for quantizers. Functions add nodes to the graph, whose names begin with `name`.
class Dialect {
 public:
  virtual ~Dialect() = default;

  /// The signed codes of 8 bits that the floats x, images, are multiples of `scale` by.
  virtual Edge pixels(Graph& g, const std::string& name, const std::string& x, float scale) const = 0;
  /// A quantizer of the floats x, which have `rank` axes.
  virtual Edge quantize(Graph& g, const std::string& name, const std::string& x, const packed::Quantize& o,
                        int rank) const = 0;
  /// The same for levels that are powers of two.
  virtual Edge levels(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o,
                      int rank) const = 0;
  /// A weight's codes, as whole numbers in floats, for a weight that has some (packed::has_codes()).
  virtual std::string weight_codes(Graph& g, const std::string& name, const packed::Weight& w) const = 0;
  /// A weight's values.
  virtual std::string weight_values(Graph& g, const std::string& name, const packed::Weight& w) const = 0;

  /// Whether quantizers of whole sums are said by their thresholds (packed::levels_of_sums()).
  virtual bool has_thresholds() const { return false; }
  /// The values of `code` of such sums. Throws Error in forms that do not have them.
  virtual std::string thresholds(Graph& g, const std::string& name, const std::string& sums,
                                 const packed::Thresholds& t, const BitCode& code, int rank) const;
};

/// The dialect of a form.
std::unique_ptr<Dialect> dialect(Form form);
std::unique_ptr<Dialect> onnx_dialect();        // dialect_onnx.cpp
std::unique_ptr<Dialect> qonnx_dialect();       // dialect_qonnx.cpp
std::unique_ptr<Dialect> thresholds_dialect();  // dialect_qonnx.cpp

// Operators of ONNX that say quantizers as they are meant, for dialects whose own operators cannot.

/// round(x * steps / alpha), between 0 and the levels: Mul, Div, Ceil or Round, Clip; or +1 and -1 by Where.
std::string plain_codes(Graph& g, const std::string& name, const std::string& x, const kernels::Quantizer<float>& q);
/// x * steps, x itself where that is 1.
std::string times_steps(Graph& g, const std::string& name, const std::string& x, const kernels::Quantizer<float>& q);
/// The codes of levels, multiples of the least one.
std::string plain_codes(Graph& g, const std::string& name, const std::string& x, const packed::Levels& o);
/// The value of the code 1 of levels.
float scale_of(const packed::Levels& o);

}  // namespace coarsegrad::onnx
