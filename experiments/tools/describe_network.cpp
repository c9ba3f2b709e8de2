// Adds to the file of a network what it does not say of itself: its settings, its split, what was measured.
//   describe_network FILE --net resnet20 --weights binary --activations uniform
//     --dataset cifar10 --data data --held-out 2000 --source "experiments/results/cifar10/bcgd_cifar10.h5"
// For files from elsewhere, or of a time when files did not say it (experiments/training/network_file.h).
// The flags are those of the training; its seed, too. The source is kept beside them, since what is added
// here nobody can check but for the shapes. What a file says already is not replaced.
#include <cstdio>

#include "experiments/support/run.h"
#include "experiments/training/network_file.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::string network, source;
  DataSettings data;
  NetSettings net;
  quant::Method method;
  Metadata stated{{"test_accuracy", ""}, {"kernels", ""}, {"cpu", ""}};
};

void declare(Args& args, Settings& s) {
  args.add("network", s.network, "tensor file with the network, which is replaced");
  args.add_positional("network");
  args.add("source", s.source, "where the flags come from: a log, a configuration");
  declare(args, s.data);
  declare(args, s.net);
  declare_quantization(args, s.method);
  args.add("test-accuracy", s.stated["test_accuracy"], "share right of the test images, as the source has it");
  args.add("kernels", s.stated["kernels"], "kernel table that the accuracy was measured with");
  args.add("cpu", s.stated["cpu"], "processor that the accuracy was measured with");
}

void describe(const Settings& s, const Args& args, RunLog& log) {
  check_usage(!s.network.empty() && !s.source.empty(), args.experiment(),
              ": expected a network and where its flags come from: describe_network FILE --source TEXT ...");
  TensorFile file = read_tensor_file(s.network);
  for (const char* entry : {"settings", "split"})
    check_usage(!file.metadata.contains(entry), s.network, ": says its ", entry, " already");
  const SplitData data = load_data(s.data, args.seed());
  const NetworkSettings settings{s.net, s.method, classes_of(*data.train), pixels_of(*data.train)};
  deployed(file, s.network, settings, *data.test);  // throws when they do not fit the tensors
  Metadata more = metadata_of(settings, data.split);
  for (const auto& [name, value] : s.stated)
    if (!value.empty()) more[name] = value;
  more["described_by"] = s.source;
  log.start();
  file.metadata.merge(more);
  write_tensor_file(s.network, file);
  std::printf("%s: %s\n", s.network.c_str(), words(settings).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("describe_network", "Adds to the file of a network what it does not say of itself.");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) { describe(s, args, log); });
}
