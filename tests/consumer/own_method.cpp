// A method of a project's own, with options of its own, under the program `train`:
//   own_method ...               is `train` that knows it: --method pulled, --relaxation.pull 0.5
//   own_method compare FILE      trains the same assembled in C++, 20 steps, and compares the weights with FILE
#include <cstdio>
#include <cstring>

#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "experiments/support/tensor_file.h"
#include "experiments/training/train_program.h"
#include "nn/networks.h"
#include "optim/sgd.h"
#include "quant/assembly.h"
#include "quant/method.h"
#include "quant/weights/relaxation.h"

using namespace coarsegrad;

namespace {

struct PullOptions {
  double pull = 0.1;
  std::string towards = "projection";
  bool after = false;
};
void describe(OptionVisitor& v, PullOptions& o) {
  v.number({"pull", "1", "share of the way that float weights go in each step"}, o.pull, {0, 1});
  v.choice({"towards", "", "where they go"}, o.towards, {"projection", "zero"});
  v.flag({"after", "", "after the step of the optimizer instead of before it"}, o.after);
}

// Float weights go a share of the way to what they are projected to, or to 0.
class Pull : public quant::Relaxation {
 public:
  explicit Pull(PullOptions o) : o_(std::move(o)) {}
  std::string name() const override { return "pull"; }
  void before_step(const Tensor& x, Tensor& w) override {
    if (!o_.after) move(x, w);
  }
  void after_step(quant::WeightProjection& projection, double, Tensor& w) override {
    if (o_.after) move(projection.project(w), w);
  }

 private:
  void move(const Tensor& x, Tensor& w) const {
    const Real *to = x.data(), share = static_cast<Real>(o_.pull);
    Real* at = w.mutable_data();
    for (std::int64_t i = 0; i < w.numel(); ++i) at[i] += share * ((o_.towards == "zero" ? 0 : to[i]) - at[i]);
  }
  const PullOptions o_;
};

void register_all() {
  quant::relaxations().add(
      "pull", "this project", PullOptions{},
      [](const PullOptions& o) -> std::unique_ptr<quant::Relaxation> { return std::make_unique<Pull>(o); });
  quant::register_method({.name = "pulled", .weights = {"twn"}, .relaxation = {"pull"}, .paper = "this project"});
}

// What `--method pulled --relaxation.pull 0.25 --relaxation.towards zero --relaxation.after` is in C++.
int compare(const char* path) {
  constexpr std::uint64_t kSeed = 3;
  constexpr std::int64_t kSteps = 20;
  quant::Method method = quant::method("pulled");
  method.relaxation = {"pull", PullOptions{.pull = 0.25, .towards = "zero", .after = true}};
  const quant::Assembly a = quant::assemble(
      {.method = method,
       .network =
           [](const nn::MakeActivation& activation) {
             return nn::make_network("lenet5", activation, Rng(kSeed).split("net"));
           },
       .input = {28, 28, 1},
       .optimizer =
           [](std::vector<Parameter*> parameters) {
             return std::make_unique<optim::Sgd>(std::move(parameters), optim::SgdOptions{.lr = 0.05, .momentum = 0.9});
           }});
  const auto digits = datasets::drawn_digits(160, kSeed);
  datasets::DataLoader loader(digits, {.batch_size = 8, .drop_last = true, .seed = kSeed});
  quant::QuantizedOptimizer optimizer(*a.optimizer, *a.net, a.quantized(), {kSteps, 1});
  const FlushDenormals flush;
  for (std::int64_t step = 0; step < kSteps; ++step) {
    const auto& batch = loader.next();
    optimizer.zero_grad();
    cross_entropy((*a.net)(batch["image"]), batch["label"]).backward();
    optimizer.step();
  }
  const auto file = experiments::read_tensor_file(path);
  for (const auto& [name, value] : a.net->state_dict()) {
    bool same = false;
    for (const auto& stored : file.tensors)
      if (stored.name == name)
        same = std::memcmp(stored.values.data(), value.data(), stored.values.size() * sizeof(float)) == 0;
    if (!same) return std::fprintf(stderr, "%s differs\n", name.c_str()), 1;
  }
  std::puts("the same, bit for bit");
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  register_all();
  return argc == 3 && std::strcmp(argv[1], "compare") == 0 ? compare(argv[2]) : experiments::train_program(argc, argv);
}
