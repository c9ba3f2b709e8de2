#include "nn/activation.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {

MakeActivation relu_activation() {
  return [](const std::string&) { return std::make_unique<ReLU>(); };
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
