#include "optim/clip.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/base/memory.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "tests/optim/golden.h"

using namespace coarsegrad;
using namespace coarsegrad::optim;
using nlohmann::json;

namespace {

constexpr double kBound = std::is_same_v<Real, double> ? 1e-14 : 2 * 0x1p-24;

/// Two parameters with the first gradients of the golden file, and one without.
struct Problem {
  Parameter w{tensor_of(golden()["start"]["w"])}, alpha{tensor_of(golden()["start"]["alpha"])}, idle{Tensor({2})};
  std::vector<Parameter*> all{&w, &idle, &alpha};

  Problem() {
    w.set_grad(tensor_of(golden()["gradients"][0]["w"]));
    alpha.set_grad(tensor_of(golden()["gradients"][0]["alpha"]));
  }
  double error_against(const json& gradients) const {
    return std::max(error(w.grad(), gradients[0]), error(alpha.grad(), gradients[1]));
  }
};

}  // namespace

TEST_CASE("clipping by norm and by value gives PyTorch's gradients") {
  const auto expected = [](const char* name) { return golden()["clipping"][name][kRealName]; };
  Problem far, near, value;
  const json clipped = expected("norm 0.5"), untouched = expected("norm 100");
  CHECK(std::abs(clip_grad_norm(far.all, 0.5) - clipped["norm"].get<double>()) < 1e-6);
  CHECK(far.error_against(clipped["gradients"]) <= kBound);
  CHECK(far.error_against(untouched["gradients"]) > 0.1);
  CHECK(std::abs(grad_norm(far.all) - 0.5) < 1e-6);
  clip_grad_norm(near.all, 100);
  CHECK(near.error_against(untouched["gradients"]) == 0);
  clip_grad_value(value.all, 0.3);
  CHECK(value.error_against(expected("value 0.3")["gradients"]) == 0);
  CHECK_FALSE(value.idle.grad().defined());
}

TEST_CASE("clipping: the same bits with one thread and with two, in the gradient's own buffer") {
  const std::int64_t n = 200003;
  const auto run = [&](int threads) {
    set_num_threads(threads);
    Tensor grad = Tensor::uninitialized({n});
    Rng(3).normal(grad.mutable_data(), static_cast<std::size_t>(n));
    Parameter p{Tensor({n})};
    p.set_grad(std::move(grad));
    const Real* buffer = p.grad().data();
    const double norm = clip_grad_norm({&p}, 1);
    clip_grad_value({&p}, 0.003);
    CHECK(p.grad().data() == buffer);
    std::vector<double> all(p.grad().view().begin(), p.grad().view().end());
    all.push_back(norm);
    return all;
  };
  CHECK(run(1) == run(2));
}

TEST_CASE("clipping: a norm that is not finite is refused and leaves the gradients alone") {
  for (const Real bad : {std::numeric_limits<Real>::infinity(), std::numeric_limits<Real>::quiet_NaN()}) {
    Parameter p(Tensor({2}));
    p.set_grad(Tensor({2}, {3, bad}));
    CHECK_THROWS_AS(clip_grad_norm({&p}, 1), Error);
    CHECK(p.grad()[0] == 3);
  }
  Parameter p(Tensor({2}));
  for (const double limit : {0., -1., std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(clip_grad_norm({&p}, limit), Error);
    CHECK_THROWS_AS(clip_grad_value({&p}, limit), Error);
  }
}
