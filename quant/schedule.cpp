#include "quant/schedule.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace quant {

void advance(nn::Module& net, const Progress& at) {
  for (const auto& [name, module] : net.named_modules()) module->advance(at);
}

}  // namespace quant
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
