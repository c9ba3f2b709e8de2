// How good is a network, as it is deployed?
//   evaluate results/resnet20.best.safetensors --data data
// The file says how the network is made and quantized and which images were held out from it
// (experiments/training/network_file.h). It is judged by the test images and by those, without a step of
// training. With --dataset by the test images of another data set.
#include <algorithm>
#include <cstdio>
#include <functional>

#include "experiments/support/run.h"
#include "experiments/support/text_table.h"
#include "experiments/training/classification.h"
#include "experiments/training/network_file.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string network, dataset = "own", logits;
  DataSettings data;
};

void declare(Args& args, Settings& s) {
  args.add("network", s.network, "tensor file with the network, or a checkpoint of its training");
  args.add_positional("network");
  args.add("data", s.data.folder, "folder that holds the images (datasets/download makes it)");
  Choices datasets = dataset_names();
  datasets.insert(datasets.begin(), s.dataset);
  args.add("dataset", s.dataset, "data set of the test images; own: the one that the file names", datasets);
  declare_verify(args, s.data.verify);
  args.add("logits", s.logits, "tensor file to write with the logits of the test images");
}

// The images that the file names, cut as they were for its training, or the test images of another data set.
SplitData load_images(DataSettings s, const std::string& dataset, const std::optional<Split>& split, const Args& args) {
  s.held_out = 0;
  if (dataset != "own") {
    s.dataset = dataset;
    return load_data(s, args.seed());
  }
  check_usage(split.has_value(), args.experiment(), ": the file does not say which images it is for, expected ",
              "--dataset");
  const std::vector<std::string> known = dataset_names();
  check_usage(std::ranges::find(known, split->dataset) != known.end(), args.experiment(),
              ": the file is for images of '", split->dataset, "', expected --dataset with others");
  s.dataset = split->dataset;
  s.images = static_cast<int>(split->images);
  s.held_out = static_cast<int>(split->held_out);
  s.seed = split->seed;
  SplitData data = load_data(s, args.seed());
  check(data.split.same_images(*split), "evaluate: the split that the file names is not the one that its ",
        "seed gives");
  return data;
}

void print_stated(const TensorFile& file) {
  if (!file.metadata.contains("test_accuracy")) return;
  const auto entry = [&](const char* name) {
    const auto found = file.metadata.find(name);
    return found == file.metadata.end() ? std::string("unknown") : found->second;
  };
  std::printf("the file states a share of %s of the test images, kernels %s, processor %s\n",
              entry("test_accuracy").c_str(), entry("kernels").c_str(), entry("cpu").c_str());
}

void judge(const Settings& s, const Args& args, RunLog& log) {
  check_usage(!s.network.empty(), args.experiment(), ": expected a network: evaluate FILE --data FOLDER");
  const TensorFile file = read_network_file(s.network);
  const NetworkSettings settings = expect_settings_in(file, s.network);
  const auto split = split_in(file, s.network);
  DataSettings wanted = s.data;
  wanted.pixels = settings.pixels;
  const SplitData data = load_images(wanted, s.dataset, split, args);
  const DeployedNetwork network = deployed(file, s.network, settings, *data.test);
  const Table results = log.table("results", {{"images", "1", "part of the data", {"test", "held out"}},
                                              {"count", "1", "number of images"},
                                              {"loss", "1", "mean cross entropy"},
                                              {"accuracy", "1", "share of the images that are right"}});
  log.start();
  std::printf("%s: %s\n", s.network.c_str(), words(settings).c_str());
  TextTable table({"images", "count", "loss", "right %"});
  StoredTensor logits{"logits", {data.test->size(), settings.classes}, {}};
  std::function<void(const Tensor&)> keep_logits;
  if (!s.logits.empty())
    keep_logits = [&logits](const Tensor& batch) {
      logits.values.insert(logits.values.end(), batch.view().begin(), batch.view().end());
    };
  const auto add = [&](const char* name, double number, const datasets::Dataset& images,
                       const std::function<void(const Tensor&)>& see) {
    if (images.size() == 0) return;
    const Evaluation e = evaluate(*network.net, images, see);
    results.add({number, static_cast<double>(images.size()), e.loss, e.accuracy});
    table.row(name, images.size(), e.loss, 100 * e.accuracy);
  };
  add("test", 0, *data.test, keep_logits);
  add("held out", 1, *data.held_out, {});
  if (!s.logits.empty()) write_tensor_file(s.logits, TensorFile{.tensors = {logits}, .metadata = {}});
  std::fputs(table.str().c_str(), stdout);
  if (s.dataset == "own") print_stated(file);
  if (split && !split->independent)
    std::printf("a network that it comes from may have been trained on the held-out images\n");
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("evaluate", "How good a network is as it is deployed, by its file alone.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { judge(s, args, log); });
}
