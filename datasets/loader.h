#pragma once
// The loader: from data sets to batches.
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "core/state.h"
#include "core/tensor.h"
#include "datasets/augment.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

/// The fields of N samples, each under its name with an axis of N in front: batch["image"] (N, H, W, C), augmented and
/// normalised or in codes (Field::as_codes), batch["label"] (N).
struct Batch {
  NamedTensors tensors;    ///< in the order of the data set's fields
  std::int64_t epoch = 0,  ///< from 0
      index = 0;           ///< number of the batch in its epoch, from 0

  /// The tensor of a field. Throws Error, listing the fields, if there is none of this name.
  const Tensor& operator[](std::string_view field) const { return tensors[field]; }
};

/// Settings of a DataLoader.
struct LoaderOptions {
  std::int64_t batch_size = 128;   ///< samples, >= 1
  bool shuffle = true;             ///< a new order in every epoch; otherwise the order of the data set
  bool drop_last = false;          ///< leave out a last batch that is smaller than the others
  std::uint64_t seed = 0;          ///< of the order and of the augmentation
  int prefetch = 2;                ///< batches that a thread of its own prepares ahead, 0 to 64; 0: no thread
  Augmentation augmentation = {};  ///< of the fields that are images; none where there are none
};

/// A data set as an endless, seekable sequence of batches. What a batch holds depends on (data set, seed, epoch, index)
/// only, so a run that was broken off goes on with the very batch it would have seen next, and neither the number of
/// threads nor the prefetching changes anything. A loader is not copied: it has a thread and a place in the sequence.
class DataLoader {
 public:
  /// Keeps a reference to `data`, which must outlive the loader. Throws Error for a data set that is not
  /// valid (Dataset::validate), options out of range, or when an epoch would have no batch.
  /// Where the process forks after the first next(), the thread that prepares batches stays in the parent: in
  /// the child seek() and next() throw Error. Make a loader there, or use one with prefetch 0.
  DataLoader(const Dataset& data, const LoaderOptions& options);
  /// A temporary data set would be gone before the first batch.
  DataLoader(const Dataset&& data, const LoaderOptions& options) = delete;
  /// Waits for the batch that is being prepared.
  ~DataLoader();

  DataLoader(const DataLoader&) = delete;
  DataLoader& operator=(const DataLoader&) = delete;

  /// At least 1; with drop_last whole batches only.
  std::int64_t batches_per_epoch() const { return batches_; }
  /// That of the options; the last batch of an epoch may be smaller.
  std::int64_t batch_size() const { return options_.batch_size; }

  /// The batch returned by next() will be number `index` of `epoch`. Costs nothing when that is the next one
  /// anyway. Throws Error unless epoch >= 0 and 0 <= index < batches_per_epoch().
  void seek(std::int64_t epoch, std::int64_t index);
  /// Where the loader stands: `epoch` and `batch` of what next() will return.
  State state() const;
  /// Goes where state() said. Throws Error as seek() does, and for a state that is none of a loader.
  void load_state(const State& state);
  /// The next batch; after the last one of an epoch comes the first one of the next epoch. It stays valid
  /// until the next call; a copy of its tensors stays valid for ever. Rethrows what went wrong while the batch
  /// was prepared.
  const Batch& next();

  class Epoch;
  /// for (const Batch& batch : loader.epoch(3)): the batches of one epoch from number `first` on, at most
  /// batches_per_epoch() (no batch left). Only one such loop at a time.
  Epoch epoch(std::int64_t number, std::int64_t first = 0);

 private:
  struct Position {
    std::int64_t epoch, index;
    friend bool operator==(const Position&, const Position&) = default;
  };
  struct Slot;
  struct Shared;

  Position after(Position p) const;
  Slot& slot(std::uint64_t number);
  bool forked() const;
  void check_process() const;
  void prepare(Position p, Slot& into);
  void fill(Position p, Slot& into);
  struct Room;
  Room room_for(std::int64_t count, NamedTensors before) const;
  void put(const Sample& sample, std::int64_t place, const Placement& placement, const Room& into) const;
  void arrange(std::int64_t epoch);
  void prefetch();

  const Dataset& data_;
  const LoaderOptions options_;
  const std::int64_t size_;
  const std::vector<Field> fields_;
  std::int64_t batches_;
  std::vector<ImageTransform> transforms_;  // one for each field that is an image

  // Only touched by whoever prepares: the prefetch thread or, without one, the caller of next().
  std::vector<std::uint32_t> order_;
  std::int64_t ordered_epoch_ = -1;

  // A ring: slots [served_, prepared_) are ready, slot served_ - 1 is the caller's, the others are free.
  std::unique_ptr<Shared> shared_;  // the slots, and what guards them and what follows
  std::uint64_t served_ = 0, prepared_ = 0;
  Position to_serve_{0, 0}, to_prepare_{0, 0};
  bool preparing_ = false, stop_ = false;
  pid_t process_ = 0;  // that the prefetch thread runs in; 0: it has not been started
};

/// The batches of one epoch that are left, as a range for one loop.
class DataLoader::Epoch {
 public:
  /// The end of the range.
  struct End {};
  /// A batch and how many are left with it. Each step calls next().
  class Iterator {
   public:
    /// Takes the first of `left` batches.
    explicit Iterator(DataLoader& loader, std::int64_t left) : loader_(loader), left_(left) { advance(); }
    /// Valid until the next step.
    const Batch& operator*() const { return *batch_; }
    /// Takes the next batch, where one is left. Throws what next() throws.
    Iterator& operator++() {
      --left_;
      advance();
      return *this;
    }
    /// Whether a batch is left.
    friend bool operator!=(const Iterator& a, End) { return a.left_ > 0; }

   private:
    void advance() {
      if (left_ > 0) batch_ = &loader_.next();
    }
    DataLoader& loader_;
    std::int64_t left_;
    const Batch* batch_ = nullptr;
  };

  /// Takes the first batch: call it once.
  Iterator begin() const { return Iterator(loader_, left_); }
  /// Where the loop stops.
  End end() const { return {}; }

 private:
  friend class DataLoader;
  Epoch(DataLoader& loader, std::int64_t left) : loader_(loader), left_(left) {}
  DataLoader& loader_;
  std::int64_t left_;
};

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
