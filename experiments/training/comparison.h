#pragma once
// A comparison: variants of a training (estimators, methods, bits), each run with several seeds from one float network.
#include <functional>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "experiments/support/run_log.h"
#include "experiments/training/staged.h"
#include "experiments/training/statistics.h"
#include "experiments/training/sweep.h"

namespace coarsegrad::experiments {

/// One training of a sweep.
struct CellPlan {
  std::string name;                          ///< of the cell and its files
  std::uint64_t seed = 1;                    ///< of the order of the images and their augmentation
  OptimSettings optim = {};                  ///< for each stage
  quant::Method method = {};                 ///< float training unless set
  NetSettings net = {};                      ///< goes into the network's files
  datasets::Augmentation augmentation = {};  ///< of the training images; nothing unless set
  std::int64_t loss_window = 0;              ///< TrainerOptions::loss_window
  /// TrainerOptions::judge_train.
  TrainerOptions::JudgeTrain judge_train = TrainerOptions::JudgeTrain::at_the_end;
  /// Called after each epoch with the network in training; what it finds goes to trainer.note().
  std::function<void(Trainer& trainer, nn::Module& net)> after_epoch = {};
  /// Whether a training that diverges is a result; otherwise Diverged leaves the cell unfinished.
  bool may_diverge = false;
};

/// Makes the rows of a cell from its training, finished or diverged.
using RowsOf = std::function<CellRows(StagedTraining& training)>;

/// The rows of a cell, one per epoch: epoch from 1, loss of the batches, share right of the held-out and of
/// the test images, loss of all images trained on. A training that diverged ends with a row of NaN.
CellRows epoch_rows(StagedTraining& training);
/// Places of these numbers in a row of epoch_rows().
enum EpochColumn { kEpoch, kLoss, kHeldOut, kTest, kTrainLoss };

/// The row of the epoch that a run is judged by: the best held-out one (the first one of equals), or the last one where
/// nothing was held out. The first `on_the_way` rows, of stages before the last, do not count. Throws Error for no
/// rows, and for rows that are too short.
const std::vector<double>& best_row(const CellRows& rows, std::size_t on_the_way = 0);
/// Epochs of the stages before the last one.
std::size_t epochs_on_the_way(const CellPlan& plan);

/// Trains one cell, goes on with it where it was broken off, or returns the rows that are kept. The networks stay in
/// the sweep's folder: NAME.safetensors, that of the best held-out epoch, and NAME.last.safetensors.
CellRows train_cell(const Sweep& sweep, const CellPlan& plan, const SplitData& data, const quant::MakeNetwork& make,
                    bool quiet, const RowsOf& rows = epoch_rows);

/// The float network that the variants start from.
struct FloatSettings {
  std::string file;  ///< tensor file; empty: the network is trained, by one cycle of the learning rate
  int epochs = 30;   ///< of that training, >= 1
  double lr = 0.3;   ///< largest learning rate of that training
  double end = 0;    ///< at which its activations end: what bounded ones, of a method, start from; 0: they are ReLUs
};
/// Adds the flags --float-net, --float-epochs, --float-lr and --float-end.
void declare(Args& args, FloatSettings& s);
/// Float training with the activations of the float network, `relu` or `clipped_relu`.
quant::Method float_method(const FloatSettings& s);

/// What every comparison has: images, a float network, and how its variants are trained from there.
struct ComparisonSettings {
  DataSettings data = {};        ///< images of all trainings
  NetSettings net = {};          ///< network of all trainings
  FloatSettings float_net = {};  ///< where the variants start
  /// How a variant is trained from the float network.
  OptimSettings optim = {.schedule = "cosine", .epochs = 10, .lr = 0.02, .weight_decay = 1e-4};
  bool float_control = true;  ///< whether the float network is trained on as the variants are, for mains that do so

  /// Changes the defaults to LeNet-5 on MNIST, with a shorter training of the float network.
  void start_from_mnist();
};
/// Adds the flags of the settings but for `optim` and `float_control`.
void declare_start(Args& args, ComparisonSettings& s);
/// Adds the flag --float-control.
void declare_float_control(Args& args, ComparisonSettings& s);

/// The label of the float control among the variants, whose bits are 0.
inline constexpr const char* kFloatControl = "float";
/// The training of the float control: that of a variant, without anything quantized. What a variant loses, or gains, is
/// measured against it, since more epochs alone change a network.
CellPlan float_control(const ComparisonSettings& s);

/// Loads the images and sets the held-out ones aside, those of the float network's file if there is one (go_on_with(),
/// experiments/training/network_file.h). Throws UsageError when that file held out other ones, or says that its
/// activations end elsewhere.
SplitData load_data(const ComparisonSettings& s, const Args& args);
/// The rows of the float network's cell: trains it with the seed of `args`, or judges the one in the file. It stays in
/// the sweep's folder as float.safetensors.
CellRows float_rows(const Sweep& sweep, const FloatSettings& s, const NetSettings& net,
                    const DataSettings& data_settings, const SplitData& data, int batch, const Args& args);
/// What the result of a cell depends on besides its name: result_config() without the knobs `choices`, which choose
/// cells.
std::string cell_settings(const Args& args, const std::vector<std::string>& choices);

/// The results of a comparison: tables of the epochs in the log, means, standard deviations and 95 % intervals over the
/// seeds, and a summary beside the log as JSON.
class Comparison {
 public:
  /// Declares the tables `epochs`, `float_epochs` and `summary`; `keys` are the columns that tell variants
  /// apart: labels, or whole numbers. `more` are columns of the summary with the means of values that stand behind
  /// those of epoch_rows() in the last row of each run. `args` must outlive this object. Throws UsageError when
  /// FILE.json beside the log is there and no summary of this experiment and log.
  Comparison(const Args& args, RunLog& log, std::vector<Column> keys, std::vector<Column> more = {});

  /// Adds the rows of the float network's cell. Throws Error for none, and for rows that are too short.
  void add_float(const CellRows& rows);
  /// Adds one run of the variant `key`, one number for each key column. The first `on_the_way` rows are of stages
  /// before the last, whose network is not yet the variant: the best epoch is not among them. Throws Error as
  /// add_float() does.
  void add(const std::vector<double>& key, int seed, const CellRows& rows, std::size_t on_the_way = 0);
  /// Fills the table `summary`, writes it as FILE.json, and returns it for the terminal.
  std::string report() const;

 private:
  struct Run {
    std::vector<double> key;
    CellRows rows;
    std::size_t on_the_way;
  };
  struct Summary {  // of one variant over its runs
    std::vector<double> key;
    int runs;
    MeanDeviation train_loss, best, last;
    std::vector<double> more;
  };
  std::vector<Summary> summaries() const;
  std::string shown(std::size_t column, double value) const;
  std::string text(const std::vector<Summary>& all) const;
  nlohmann::json json(const std::vector<Summary>& all) const;

  const Args& args_;
  const std::filesystem::path summary_file_;
  std::vector<Column> keys_, more_;
  Table epochs_, float_epochs_, summary_;
  CellRows float_rows_;
  std::vector<Run> runs_;
};

}  // namespace coarsegrad::experiments
