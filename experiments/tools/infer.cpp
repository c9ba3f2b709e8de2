// A packed model at work: how right is it, how fast, and is it the network that it was made from?
//   infer resnet20.cgpacked --data data
//   infer resnet20.cgpacked --dataset none
//   infer resnet20.cgpacked --verify results/resnet20.best.safetensors
// Times are taken with one image and with a batch of them. Without a data set the images are made up.
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "core/compute/random.h"
#include "core/ops.h"
#include "datasets/loader.h"
#include "datasets/pixel_codes.h"
#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/network_file.h"
#include "experiments/training/settings.h"
#include "quant/evaluation_scope.h"
#include "quant/packed/file.h"
#include "quant/packed/runtime.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string model, dataset = "own", verify;
  DataSettings data;
  int batch = 128;
  double seconds = 1;
  bool json = false;
};

void declare(Args& args, Settings& s) {
  args.add("model", s.model, "packed model, as freeze writes it");
  args.add_positional("model");
  args.add("data", s.data.folder, "folder that holds the images (datasets/download makes it)");
  Choices datasets = dataset_names();
  datasets.insert(datasets.begin(), {s.dataset, "none"});
  args.add("dataset", s.dataset, "data set of the test images; own: the one that the model names; none: made up",
           datasets);
  args.add("batch", s.batch, "images of the large batch that is timed, and of those that are judged", {1, 100'000});
  args.add("seconds", s.seconds, "how long each batch is timed", {0, 1000});
  args.add("json", s.json, "print one line of JSON and nothing else");
  args.add("verify", s.verify,
           "network file that the model was frozen from: compare both on all images, layer by layer");
}

bool takes_pixels(const packed::Runtime& net) {
  return std::get<packed::Input>(net.model().nodes[0].operation).scale != 0;
}

std::vector<float> made_up(const Shape& sample, std::int64_t count, std::uint64_t seed) {
  std::vector<float> images(static_cast<std::size_t>(count * sample.numel()));
  Rng(seed).split("images").normal(images.data(), images.size());
  return images;
}

// A step of a run: how its layer multiplies, if it does, and the time that threads spend in it, on average over runs.
struct StepTime {
  std::string name, kernel;
  double seconds;
};

// Latencies of a batch, sorted, and its steps.
struct Speed {
  std::int64_t batch;
  std::vector<double> seconds = {};
  std::vector<StepTime> steps = {};

  double percentile(double share) const {
    return seconds[static_cast<std::size_t>(std::lround(share * static_cast<double>(seconds.size() - 1)))];
  }
  double images_per_second() const { return static_cast<double>(batch) / percentile(0.5); }
};

// By the name of the step that a layer ends with: its own, or that of the quantizer whose codes it writes.
std::map<std::string, std::string> kernels_of(const packed::Runtime& net) {
  std::map<std::string, std::string> kernels;
  for (const packed::LayerPlan& l : net.plan())
    kernels[l.thresholds.empty() ? l.name : l.thresholds] =
        l.thresholds.empty() ? packed::name_of(l.kernel)
                             : cat(packed::name_of(l.kernel), " to ", packed::name_of(l.writes), ", ", l.name);
  return kernels;
}

Speed speed_of(const packed::Runtime& net, std::int64_t batch, double seconds, std::uint64_t seed) {
  using Clock = std::chrono::steady_clock;
  const std::vector<float> images = made_up(net.input(), batch, seed);
  std::vector<float> outputs(static_cast<std::size_t>(batch * net.output().numel()));
  Speed speed{batch};
  net.run(batch, images, outputs);
  const auto start = Clock::now();
  const auto since = [](Clock::time_point then) { return std::chrono::duration<double>(Clock::now() - then).count(); };
  do {
    check_stop();
    const auto begin = Clock::now();
    net.run(batch, images, outputs);
    speed.seconds.push_back(since(begin));
  } while (since(start) < seconds);
  std::ranges::sort(speed.seconds);
  const int runs = static_cast<int>(std::min<std::size_t>(speed.seconds.size(), 20));
  std::map<const packed::Node*, double> total;
  for (int i = 0; i < runs; ++i)
    net.run(batch, images, outputs,
            [&](const packed::Runtime::Step& step) { total[&step.node] += step.seconds / runs; });
  const std::map<std::string, std::string> kernels = kernels_of(net);
  for (const packed::Node& node : net.model().nodes)
    if (const auto found = total.find(&node); found != total.end())
      speed.steps.push_back({node.name, kernels.contains(node.name) ? kernels.at(node.name) : "", found->second});
  return speed;
}

// Calls f with all samples, batch by batch, in their order.
void for_each_batch(const datasets::Dataset& data, std::int64_t size,
                    const std::function<void(const datasets::Batch&)>& f) {
  datasets::DataLoader loader(data, {.batch_size = std::min(size, data.size()), .shuffle = false});
  for (const datasets::Batch& batch : loader.epoch(0)) {
    check_stop();
    f(batch);
  }
}

// The share of the test images that the model gets right.
double accuracy_of(const packed::Runtime& net, const datasets::Dataset& data, std::int64_t batch_size) {
  std::int64_t right = 0;
  for_each_batch(data, batch_size, [&](const datasets::Batch& batch) {
    const Tensor& images = batch["image"];
    Tensor logits = Tensor::uninitialized({images.size(0), net.output().numel()});
    net.run(images.size(0), images.view(), logits.mut());
    right += count_correct(logits, batch["label"]);
  });
  return static_cast<double>(right) / static_cast<double>(data.size());
}

bool equal(std::span<const float> a, std::span<const float> b) {
  return std::ranges::equal(
      a, b, {}, [](float v) { return std::bit_cast<std::uint32_t>(v); },
      [](float v) { return std::bit_cast<std::uint32_t>(v); });
}

// What the modules of a network put out in one evaluation, by the names that freeze() gives.
class Outputs {
 public:
  explicit Outputs(nn::Module& net) {
    for (const auto& [name, module] : net.named_modules())
      hooks_.emplace_back(module, module->register_forward_hook(
                                      [this, name = name](nn::Module&, const Var&, const Var& y) { keep(name, y); }));
  }
  ~Outputs() {
    for (const auto& [module, number] : hooks_) module->remove_hook(number);
  }
  Outputs(const Outputs&) = delete;
  Outputs& operator=(const Outputs&) = delete;

  /// Null for what is no module of the network.
  const Tensor* find(const std::string& name) const {
    const auto found = all_.find(name);
    return found == all_.end() ? nullptr : &found->second;
  }

 private:
  void keep(const std::string& name, const Var& y) {
    const int place = ++places_[name];
    all_[place == 1 ? name : cat(name, "#", place)] = y.value();
  }
  std::vector<std::pair<nn::Module*, int>> hooks_;
  std::map<std::string, int> places_;
  std::map<std::string, Tensor> all_;
};

// Runs model and network on the same images and returns how many layers were compared. Throws Error, naming the layer,
// where a number differs.
int compare(const packed::Runtime& net, nn::Module& network, const Tensor& images, const std::string& path) {
  const NoGrad constant;
  const Outputs theirs(network);
  const Tensor logits = network(images).value();
  std::vector<float> own(static_cast<std::size_t>(logits.numel()));
  std::set<std::string> compared;
  net.run(images.size(0), images.view(), own, [&](const packed::Runtime::Step& step) {
    const Tensor* const expected = theirs.find(step.node.name);
    if (!expected) return;
    const packed::Value floats = step.value.decoded();
    const auto count = static_cast<std::size_t>(floats.shape().numel());
    const auto first = static_cast<std::size_t>(step.first * (expected->numel() / images.size(0)));
    check(equal({floats.data(), count}, expected->view().subspan(first, count)), path, ": the layer ", step.node.name,
          " differs from the model's");
    compared.insert(step.node.name);
  });
  check(equal(own, logits.view()), path, ": the outputs differ from the model's");
  return static_cast<int>(compared.size());
}

// What was compared.
struct Verified {
  int layers = 0;
  std::int64_t images = 0;
};

// Compares model and network on the test images or, where there are none, on a batch of made-up ones.
Verified verify(const packed::Runtime& net, const Settings& s, const datasets::Dataset* test, std::uint64_t seed) {
  const TensorFile file = read_network_file(s.verify);
  const NetworkSettings settings = expect_settings_in(file, s.verify);
  const auto images = images_for(settings);
  check(images.image == net.input() && Shape{settings.classes} == net.output(), s.verify, ": a network from ",
        images.image, " to ", Shape{settings.classes}, ", given a model from ", net.input(), " to ", net.output());
  const DeployedNetwork network = deployed(file, s.verify, settings, images);
  const quant::EvaluationScope scope(*network.net, network.rule.get());
  if (!test) {
    const Tensor batch(packed::batch_of(s.batch, net.input()), made_up(net.input(), s.batch, seed));
    return {compare(net, *network.net, takes_pixels(net) ? datasets::pixel_codes(batch) : batch, s.verify), s.batch};
  }
  Verified all{0, test->size()};
  for_each_batch(*test, s.batch, [&](const datasets::Batch& batch) {
    all.layers = compare(net, *network.net, batch["image"], s.verify);
  });
  return all;
}

void print(const Speed& one, const Speed& many) {
  TextTable table({"images", "images/s", "median ms", "90 % ms", "99 % ms"});
  for (const Speed* s : {&one, &many})
    table.row(s->batch, s->images_per_second(), 1e3 * s->percentile(0.5), 1e3 * s->percentile(0.9),
              1e3 * s->percentile(0.99));
  std::fputs(table.str().c_str(), stdout);
  const auto sum = [](const Speed& s) {
    return std::accumulate(s.steps.begin(), s.steps.end(), 0.0,
                           [](double all, const StepTime& t) { return all + t.seconds; });
  };
  const double all_one = sum(one), all_many = sum(many);
  TextTable steps({"step", "kernel", "ms with 1", "%", cat("ms of threads with ", many.batch), "% "});
  for (std::size_t i = 0; i < one.steps.size(); ++i)
    steps.row(one.steps[i].name, one.steps[i].kernel, 1e3 * one.steps[i].seconds, 100 * one.steps[i].seconds / all_one,
              1e3 * many.steps[i].seconds, 100 * many.steps[i].seconds / all_many);
  std::fputs(steps.str().c_str(), stdout);
}

// The test images; null for made-up ones.
SplitData::Samples test_images(Settings& s, const packed::Runtime& net, std::uint64_t seed) {
  if (s.dataset == "none") return nullptr;
  s.data.dataset = s.dataset;
  s.data.held_out = 0;
  s.data.pixels = takes_pixels(net) ? "codes" : "normalised";
  SplitData::Samples test = load_data(s.data, seed).test;
  check(image_of(*test) == net.input(), s.model, ": takes ", net.input(), ", given images of ", image_of(*test));
  return test;
}

void infer(Settings& s, const Args& args, RunLog& log) {
  check_usage(!s.model.empty(), "expected a packed model: infer FILE --data FOLDER");
  const packed::Runtime net(packed::read_model(s.model));
  const auto named = net.model().metadata.find("dataset");
  if (s.dataset == "own") s.dataset = named == net.model().metadata.end() ? "none" : named->second;
  const Table speeds = log.table("speed", {{"batch", "1", "images that go in together"},
                                           {"images_per_second", "1/s", "batch by median latency"},
                                           {"median_seconds", "s", "median latency of a batch"},
                                           {"seconds_90", "s", "latency that 90 % of the batches keep"},
                                           {"seconds_99", "s", "latency that 99 % of the batches keep"}});
  nlohmann::json said{{"model", s.model}, {"threads", args.threads()}};
  const SplitData::Samples test = test_images(s, net, args.seed());
  log.start();
  if (!s.verify.empty()) {
    const Verified all = verify(net, s, test.get(), args.seed());
    said.update({{"equal", true}, {"images_compared", all.images}, {"layers_compared", all.layers}});
    if (!s.json)
      std::printf("%s: %d layers and %lld outputs of %lld %s images are equal bit for bit\n", s.verify.c_str(),
                  all.layers, static_cast<long long>(all.images) * net.output().numel(),
                  static_cast<long long>(all.images), test ? "test" : "made-up");
  }
  if (test) {
    said["accuracy"] = accuracy_of(net, *test, s.batch);
    if (!s.json)
      std::printf("%s %% of %lld test images right\n", number(100 * said["accuracy"].get<double>()).c_str(),
                  static_cast<long long>(test->size()));
  }
  const Speed one = speed_of(net, 1, s.seconds, args.seed()), many = speed_of(net, s.batch, s.seconds, args.seed());
  for (const Speed* speed : {&one, &many})
    speeds.add({static_cast<double>(speed->batch), speed->images_per_second(), speed->percentile(0.5),
                speed->percentile(0.9), speed->percentile(0.99)});
  said["images_per_second"] = {{"1", one.images_per_second()}, {cat(s.batch), many.images_per_second()}};
  if (s.json)
    std::puts(said.dump().c_str());
  else
    print(one, many);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("infer", "Accuracy and speed of a packed model.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { infer(s, args, log); });
}
