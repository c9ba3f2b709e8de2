#include "datasets/loader.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <mutex>
#include <numeric>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "core/base/parallel.h"
#include "core/compute/random.h"
#include "datasets/pixel_codes.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {
namespace {

const Dataset& validated(const Dataset& data) {
  data.validate();
  return data;
}

/// The shape of `count` samples together: one axis more, in front.
Shape batched(const Shape& sample, std::int64_t count) {
  std::vector<std::int64_t> sizes{count};
  for (int i = 0; i < sample.rank(); ++i) sizes.push_back(sample[i]);
  return Shape(sizes.data(), static_cast<int>(sizes.size()));
}

}  // namespace

struct DataLoader::Slot {
  Batch batch;
  std::exception_ptr error;
};

/// The tensors of a batch, and where their elements, or codes, are to be written.
struct DataLoader::Room {
  NamedTensors tensors = {};
  std::vector<void*> elements = {};
};

struct DataLoader::Shared {
  std::vector<Slot> slots;
  std::mutex mutex;
  std::condition_variable changed;
  std::thread thread;  // started by the first next()
};

DataLoader::DataLoader(const Dataset& data, const LoaderOptions& options)
    : data_(validated(data)),
      options_(options),
      size_(data.size()),
      fields_(data.description().fields),
      shared_(std::make_unique<Shared>()) {
  for (const Field& f : fields_)
    if (f.is_image()) transforms_.emplace_back(f.shape, f.normalisation, options.augmentation, options.seed);
  check(!transforms_.empty() || !options.augmentation.changes(), "data loader: given an augmentation for ",
        data.description().name, ", expected none: there are no images");
  check(options.batch_size >= 1, "data loader: given batch size ", options.batch_size, ", expected 1 or more");
  check(options.prefetch >= 0 && options.prefetch <= 64, "data loader: given prefetch ", options.prefetch,
        ", expected 0 to 64");
  check(size_ < std::int64_t{1} << 32, "data loader: given ", size_, " samples, expected fewer than 2^32");
  const std::int64_t full = size_ / options.batch_size;
  batches_ = full + (size_ % options.batch_size > 0 && !options.drop_last);
  check(batches_ > 0, "data loader: given batch size ", options.batch_size, " and drop_last, expected at most ", size_,
        ", the number of samples");

  order_.resize(static_cast<std::size_t>(size_));
  shared_->slots = std::vector<Slot>(static_cast<std::size_t>(options.prefetch) + 1);
}

// In a forked process what was shared stays as it is for ever: the lock, the slot that was being filled and
// the condition that was waited for belong to a thread that is not there.
DataLoader::~DataLoader() {
  if (forked()) {
    static_cast<void>(shared_.release());
    return;
  }
  {
    const std::lock_guard lock(shared_->mutex);
    stop_ = true;
  }
  shared_->changed.notify_all();
  if (shared_->thread.joinable()) shared_->thread.join();
}

bool DataLoader::forked() const { return process_ != 0 && process_ != getpid(); }

void DataLoader::check_process() const {
  check(!forked(), "data loader: given a process that was forked after the first batch, expected a loader that ",
        "is made in it, or prefetch 0");
}

DataLoader::Slot& DataLoader::slot(std::uint64_t number) { return shared_->slots[number % shared_->slots.size()]; }

DataLoader::Position DataLoader::after(Position p) const {
  return p.index + 1 < batches_ ? Position{p.epoch, p.index + 1} : Position{p.epoch + 1, 0};
}

void DataLoader::seek(std::int64_t epoch, std::int64_t index) {
  check(epoch >= 0 && index >= 0 && index < batches_, "data loader: given batch ", index, " of epoch ", epoch,
        ", expected epoch >= 0 and a batch below ", batches_);
  check_process();
  const Position wanted{epoch, index};
  std::unique_lock lock(shared_->mutex);
  if (to_serve_ == wanted) return;
  shared_->changed.wait(lock, [&] { return !preparing_; });
  prepared_ = served_;  // what was prepared is of no use
  to_serve_ = to_prepare_ = wanted;
  shared_->changed.notify_all();
}

State DataLoader::state() const {
  return {{},
          {{"batch", {static_cast<std::uint64_t>(to_serve_.index)}},
           {"epoch", {static_cast<std::uint64_t>(to_serve_.epoch)}}},
          {},
          {}};
}

void DataLoader::load_state(const State& given) {
  given.expect_entries_of(state());
  seek(static_cast<std::int64_t>(given.count("epoch")), static_cast<std::int64_t>(given.count("batch")));
}

const Batch& DataLoader::next() {
  check_process();
  if (options_.prefetch == 0) {
    prepare(to_prepare_, slot(0));
  } else if (!shared_->thread.joinable()) {
    process_ = getpid();
    shared_->thread = std::thread(&DataLoader::prefetch, this);
  }

  std::unique_lock lock(shared_->mutex);
  if (options_.prefetch == 0) to_prepare_ = after(to_prepare_), ++prepared_;
  shared_->changed.wait(lock, [&] { return prepared_ > served_; });
  Slot& ready = slot(served_++);
  to_serve_ = after(to_serve_);
  shared_->changed.notify_all();
  if (ready.error) std::rethrow_exception(std::exchange(ready.error, nullptr));
  return ready.batch;
}

DataLoader::Epoch DataLoader::epoch(std::int64_t number, std::int64_t first) {
  if (first != batches_) seek(number, first);
  return Epoch(*this, batches_ - first);
}

void DataLoader::prefetch() {
  const FlushDenormals flush;
  const auto ahead = static_cast<std::uint64_t>(options_.prefetch);
  std::unique_lock lock(shared_->mutex);
  while (true) {
    shared_->changed.wait(lock, [&] { return stop_ || prepared_ - served_ < ahead; });
    if (stop_) return;
    preparing_ = true;
    const Position p = to_prepare_;
    Slot& free = slot(prepared_);
    lock.unlock();
    prepare(p, free);
    lock.lock();
    preparing_ = false;
    to_prepare_ = after(p);
    ++prepared_;
    shared_->changed.notify_all();
  }
}

void DataLoader::prepare(Position p, Slot& into) {
  try {
    fill(p, into);
    into.error = nullptr;
  } catch (...) {
    into.error = std::current_exception();
  }
}

void DataLoader::fill(Position p, Slot& into) {
  arrange(p.epoch);
  const std::int64_t begin = p.index * options_.batch_size;
  const std::int64_t count = std::min(options_.batch_size, size_ - begin);
  Room room = room_for(count, std::move(into.batch.tensors));
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t from = order_[static_cast<std::size_t>(begin + i)];
    const Placement placement = transforms_.empty() ? Placement{} : transforms_[0].placement(p.epoch, from);
    put(data_.sample(from), i, placement, room);
  }
  into.batch.tensors = std::move(room.tensors);
  into.batch.epoch = p.epoch;
  into.batch.index = p.index;
}

/// For `count` samples, in the buffers of the batch before where nobody else has them.
DataLoader::Room DataLoader::room_for(std::int64_t count, NamedTensors before) const {
  Room room;
  auto old = before.begin();
  for (const Field& f : fields_) {
    const Shape shape = batched(f.shape, count);
    Tensor recycled = old != before.end() ? std::move((old++)->second) : Tensor();
    if (f.as_codes) {
      const auto codes = pixel_code_room(shape.numel());
      room.elements.push_back(codes->signed_codes());
      room.tensors.add(f.name, Tensor::deferred(shape, codes));
    } else {
      Tensor t = Tensor::uninitialized(shape, std::move(recycled), f.is_image() ? kRealType : f.type);
      room.elements.push_back(t.mutable_raw_data());
      room.tensors.add(f.name, std::move(t));
    }
  }
  return room;
}

void DataLoader::put(const Sample& sample, std::int64_t place, const Placement& placement, const Room& into) const {
  auto transform = transforms_.begin();
  auto to = into.elements.begin();
  for (const Field& f : fields_) {
    const Tensor& from = sample[f.name];
    check(from.shape() == f.shape && from.type() == f.type, "data loader: given a sample whose ", f.name, " is ",
          from.shape(), " of ", element_type_name(from.type()), ", expected ", f.shape, " of ",
          element_type_name(f.type));
    void* const whole = *to++;
    const std::int64_t offset = place * f.shape.numel();
    if (f.as_codes) {
      (transform++)->apply(from.view_of<std::uint8_t>(), placement, static_cast<std::int8_t*>(whole) + offset);
    } else if (f.is_image()) {
      (transform++)->apply(from.view_of<std::uint8_t>(), placement, static_cast<Real*>(whole) + offset);
    } else {
      const std::size_t size = element_size(f.type);
      std::copy_n(static_cast<const std::byte*>(from.raw_data()), static_cast<std::size_t>(f.shape.numel()) * size,
                  static_cast<std::byte*>(whole) + static_cast<std::size_t>(offset) * size);
    }
  }
}

/// Puts into order_ the order in which `epoch` sees the samples.
void DataLoader::arrange(std::int64_t epoch) {
  if (ordered_epoch_ == epoch) return;
  std::iota(order_.begin(), order_.end(), 0u);
  if (options_.shuffle)
    Rng(options_.seed).split("batch order").split(static_cast<std::uint64_t>(epoch)).shuffle(std::span(order_));
  ordered_epoch_ = epoch;
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
