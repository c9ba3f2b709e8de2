#pragma once
// Packed models for other runtimes: as ONNX, with integer weights behind DequantizeLinear, or as QONNX
// (github.com/fastmachinelearning/qonnx), whose operators say what a quantizer does.
#include <cstdint>
#include <string>

#include "quant/packed/model.h"

namespace coarsegrad::onnx {

/// What an exported graph is made of. Images are (N, C, H, W) there.
enum class Form {
  onnx,        ///< operators of ONNX alone (opset 21); codes are multiplied as whole numbers, scales stand behind
  qonnx,       ///< Quant and BipolarQuant, whose scales stand in them, on weights and activations
  thresholds,  ///< QONNX, whose activations are MultiThreshold: codes of whole sums as in packed::Runtime
};

/// How a model is exported.
struct ExportOptions {
  Form form = Form::onnx;  ///< operators in use
  std::int64_t batch = 0;  ///< samples that go in together; 0: any number, which the executor of qonnx does not take
};

/// The model as the bytes of an ONNX file. Its input and output are called as the first and the last node of the model;
/// the value of a node NAME is the tensor NAME where floats are read of it, and NAME.codes times a scale where codes
/// are; values that a threshold has swallowed are not there. What is exact in packed::Runtime is exact in the forms
/// `onnx` and `thresholds`, too, when sums stay below 2^24 and there is no bias: another runtime rounds twice where
/// scale and bias are one fused multiply-add here. Values and quotients that are NaN or denormal are not considered.
/// Throws Error as check_model() does, and for a batch below 0.
std::string onnx_bytes(const packed::Model& model, const ExportOptions& options = {});

}  // namespace coarsegrad::onnx
