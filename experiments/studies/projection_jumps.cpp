// How far do quantized weights jump when the float ones hardly move?
//   projection_jumps --networks a.last.safetensors,b.last.safetensors --projections exact,twn --bits 2,2
// A projection jumps where two quantized weights are equally near, and descent through it may be drawn to
// such places: there a step of any size changes many weights at once, and nothing that averages over steps,
// as the running statistics of a normalisation do, belongs to the weights of the last one. Each layer is
// moved in random directions, by steps from small to large: a projection that lies still follows as
// sqrt(step), one weight crossing a threshold at a time; one that stands on an edge jumps at the smallest of them.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "experiments/support/run.h"
#include "experiments/support/tensor_file.h"
#include "experiments/support/text_table.h"
#include "experiments/training/json_values.h"
#include "quant/weights/projection.h"

using namespace coarsegrad;
using namespace coarsegrad::experiments;

namespace {

struct Settings {
  std::vector<std::string> networks{"experiments/zoo/resnet20_float.safetensors"}, projections{"exact"},
      without{"fc.weight"};
  std::vector<int> bits{2};
  std::vector<double> steps{1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1};
  int draws = 10;
};

void declare(Args& args, Settings& s) {
  args.add("networks", s.networks, "tensor files with float weights, such as FILE.last.safetensors of train");
  args.add("projections", s.projections, "projection of each network's weights", quant::weight_projections().names());
  args.add("bits", s.bits, "bit width of each projection", {1, 8});
  for (const char* list : {"networks", "projections", "bits"}) args.allow_repeats(list);
  args.add("without", s.without, "names of tensors that are left out, since their layers stay float");
  args.add("steps", s.steps, "root mean squares of the random steps, over that of the weights", {1e-12, 10});
  args.add("draws", s.draws, "random directions for each length of a step", {1, 100000});
}

struct Layer {
  std::string name;
  Tensor weights;
};

std::vector<Layer> layers_of(const std::string& network, const std::vector<std::string>& without) {
  std::vector<Layer> layers;
  for (const StoredTensor& t : read_tensor_file(network).tensors)
    if (t.shape.rank() > 1 && std::ranges::find(without, t.name) == without.end())
      layers.push_back({t.name, Tensor(t.shape, t.values)});
  check(!layers.empty(), "network: ", network, " has no weights of layers");
  return layers;
}

double distance(const Tensor& a, const Tensor& b) {
  double squares = 0;
  for (std::int64_t i = 0; i < a.numel(); ++i) squares += std::pow(static_cast<double>(a[i] - b[i]), 2);
  return std::sqrt(squares);
}

double norm(const Tensor& a) { return distance(a, Tensor(a.shape())); }

struct Jumps {
  double mean = 0, most = 0;
};
// |P(w + d) - P(w)| / |P(w)| over draws of d, independent Gaussians of `step` root mean squares of w. A
// projection that remembers what it has seen is made anew for each.
template <class Project>
Jumps jumps_of(const Tensor& w, double step, int draws, Rng rng, Project project) {
  const Tensor from = project(w);
  const double length = norm(from), deviation = step * norm(w) / std::sqrt(static_cast<double>(w.numel()));
  Jumps jumps;
  for (int draw = 0; draw < draws; ++draw) {
    Tensor moved(w.shape());
    const std::span<Real> values = moved.mut();
    rng.normal(values.data(), values.size(), Real(0), static_cast<Real>(deviation));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += w.view()[i];
    const double jump = length > 0 ? distance(project(moved), from) / length : 0;
    jumps.mean += jump / draws;
    jumps.most = std::max(jumps.most, jump);
  }
  return jumps;
}

// A row of the summary: a network, and how its weights are projected.
struct Case {
  std::string network, projection;
  int bits;
  std::vector<Layer> layers;

  Tensor project(const Tensor& w) const {
    const auto p = quant::weight_projection(quant::weight_projections().part(projection).with("bits", bits));
    p->begin(w);
    return p->project(w);
  }
};

// The file of a network without its folder and ending, or as it was given where another file is called alike.
std::string label_of(const std::string& network, const std::vector<std::string>& all) {
  const auto stem = [](const std::string& file) { return std::filesystem::path(file).stem(); };
  const bool shared = std::ranges::any_of(
      all, [&](const std::string& other) { return other != network && stem(other) == stem(network); });
  return shared ? network : stem(network).string();
}

std::vector<Case> cases_of(const Settings& s) {
  check_usage(s.projections.size() == s.networks.size() && s.bits.size() == s.networks.size(), "networks: given ",
              s.networks.size(), " with ", s.projections.size(), " projections and ", s.bits.size(),
              " numbers of bits, expected as many of each");
  std::vector<Case> cases;
  for (std::size_t i = 0; i < s.networks.size(); ++i)
    cases.push_back(
        {label_of(s.networks[i], s.networks), s.projections[i], s.bits[i], layers_of(s.networks[i], s.without)});
  return cases;
}

// The place of a text in a list, which it is added to if it is not there.
double place_of(const std::string& text, std::vector<std::string>& list) {
  const auto found = std::ranges::find(list, text);
  const auto place = found - list.begin();
  if (found == list.end()) list.push_back(text);
  return static_cast<double>(place);
}

// Names that columns of the log index, and its rows.
struct Found {
  std::vector<std::string> networks, layers, projections;
  Rows rows;
};

// Adds one row for each layer and a line to the summary.
void measure(const Case& c, double step, int draws, const Rng& seed, Found& found, TextTable& text) {
  std::vector<double> jumps;
  for (const Layer& layer : c.layers) {
    check_stop();
    const Jumps j =
        jumps_of(layer.weights, step, draws, seed.split(layer.name), [&](const Tensor& w) { return c.project(w); });
    found.rows.push_back({place_of(c.network, found.networks), place_of(c.projection, found.projections),
                          static_cast<double>(c.bits), place_of(layer.name, found.layers), step, j.mean, j.most});
    jumps.push_back(j.mean);
  }
  std::ranges::sort(jumps);
  text.row(c.network, c.projection, c.bits, jumps.size(), step, jumps[jumps.size() / 2],
           std::ranges::count_if(jumps, [](double jump) { return jump > 0.1; }));
}

void log_all(RunLog& log, const Found& found) {
  const Table table =
      log.table("jumps", {{"network", "1", "whose weights", found.networks},
                          {"projection", "1", "projection of the weights", found.projections},
                          {"bits", "1", "bits of the projection"},
                          {"layer", "1", "layer of the network", found.layers},
                          {"step", "1", "root mean square of d over that of the float weights"},
                          {"jump", "1", "|P(w + d) - P(w)| / |P(w)|, mean over the directions d"},
                          {"largest_jump", "1", "|P(w + d) - P(w)| / |P(w)|, largest over the directions d"}});
  log.start();
  for (const auto& row : found.rows) table.add(row);
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  Args args("projection_jumps", "How far do quantized weights jump when the float ones hardly move?");
  declare(args, s);
  return run(args, argc, argv, [&](RunLog& log) {
    Found found;
    TextTable text({"network", "projection", "bits", "layers", "step", "median jump", "jumps above 0.1"});
    for (const Case& c : cases_of(s))
      for (const double step : s.steps) measure(c, step, s.draws, Rng(args.seed()), found, text);
    log_all(log, found);
    if (!args.quiet()) std::fputs(text.str().c_str(), stdout);
  });
}
