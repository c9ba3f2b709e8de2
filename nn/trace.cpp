#include "nn/trace.h"

#include <vector>

#include "core/base/check.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace nn {
namespace {

/// Evaluation mode and hooks on every module, for as long as it lives.
class Watch {
 public:
  Watch(Module& net, const Visit& visit) : net_(net), training_(net.training()) {
    net.eval();
    for (const auto& [name, module] : net.named_modules())
      hooks_.emplace_back(module, module->register_forward_hook(
                                      [&visit, path = name](Module& m, const Var& in, const Var& out) {
                                        visit(path, m, in, out);
                                      }));
  }
  ~Watch() {
    for (const auto& [module, number] : hooks_) module->remove_hook(number);
    net_.train(training_);
  }
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

 private:
  Module& net_;
  bool training_;
  std::vector<std::pair<Module*, int>> hooks_;
};

}  // namespace

void trace(Module& net, const Shape& image, const Visit& visit) {
  check(image.rank() == 3, "trace: given an image of shape ", image, ", expected (H,W,C)");
  const Watch watch(net, visit);
  const NoGrad no_grad;
  net(Tensor({1, image[0], image[1], image[2]}));
}

}  // namespace nn
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
