#include "experiments/support/run_log.h"

#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <filesystem>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "experiments/support/file_place.h"
#include "experiments/support/output_lock.h"
#include "experiments/support/output_name.h"
#include "experiments/support/run_file.h"

namespace coarsegrad::experiments {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kReservedCells = 1 << 15;  // so that a step that logs does not ask the system for memory
constexpr std::size_t kWakeCells = 1 << 16;      // this many buffered cells are written before their time ...
constexpr std::size_t kMaxCells = 1 << 22;       // ... and at this many the caller waits

/// Keeps signals to the threads that compute: the log's own thread never sees them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  sigset_t before_;
};

void check_name(const std::string& name) {
  const bool characters =
      name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./") == std::string::npos;
  const std::string path = "/" + name + "/";
  check(characters && path.find("//") == std::string::npos && path.find("/.") == std::string::npos,
        "log: given the name '", name, "', expected letters, digits, '_', '-', '.', and '/' between parts");
}

void check_meaning(const std::string& name, const std::string& unit, const std::string& description) {
  check(!unit.empty() && !description.empty(), "log: ", name, " needs a unit (\"1\" for none) and a description");
}

/// The log at `path`, if there is anything. Throws Error unless it is a log of the same experiment.
std::optional<RunState> check_target(const std::string& path, const std::string& experiment) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto there = RunFile::peek(path);
  check(there && there->schema == RunFile::kSchema, "log ", path, ": is there already and is no run log");
  check(there->experiment == experiment, "log ", path, ": is there already and is a log of ",
        shortened(there->experiment));
  return there;
}

/// The settings in which two configurations differ, with both values; any number of threads gives the same
/// numbers. Empty for none.
std::string differences(const std::string& before, const std::string& now) {
  using nlohmann::json;
  const json first = parse_json(before, "log: attribute config"), second = json::parse(now);
  json both = first;
  both.update(second);
  std::string found;
  for (const auto& [key, value] : both.items()) {
    const json a = first.value(key, json()), b = second.value(key, json());
    if (a != b && key != "threads")
      found += cat(" ", shortened(key), ": ", shortened(a.dump()), ", now ", shortened(b.dump()), ".");
  }
  return found;
}

}  // namespace

std::string_view name(Status status) {
  constexpr std::array<std::string_view, 5> names{"running", "finished", "diverged", "interrupted", "failed"};
  return names[static_cast<std::size_t>(status)];
}

struct RunLog::Impl {
  enum class Stage { declaring, writing, ended };

  std::string path;
  RunInfo info;
  std::optional<OutputLock> owned;  // given back when all else is closed
  RunLayout layout;
  std::vector<std::string> names;  // paths taken
  Stage stage = Stage::declaring;
  Clock::time_point start;
  std::optional<RunFile> file;  // the logger thread's while it runs

  std::thread logger;
  std::mutex mutex;  // guards what follows
  std::condition_variable wake, written;
  std::vector<Cell> journal;         // rows in the order they came, each led by the number of its group: one stream
                                     // of writes touches less memory than a buffer for each group would
  std::vector<std::uint64_t> added;  // rows of each group, the ones in the journal included
  std::uint64_t flushes_wanted = 0, flushes_done = 0;
  bool ending = false;
  std::exception_ptr error;  // the logger stopped

  void take_name(const std::string& taken);
  std::size_t add_group(GroupLayout group);
  void add_row(std::size_t group, std::span<const Cell> row);
  double seconds() const { return std::chrono::duration<double>(Clock::now() - start).count(); }
  void begin(const LogPosition* position);
  void log_loop();
  void write(std::span<const Cell> taken, std::vector<std::vector<Cell>>& rows);
  void stop_logger();
};

// ---- declarations

/// Names may not be a part of each other's path either: a group cannot be a dataset.
void RunLog::Impl::take_name(const std::string& taken) {
  check(stage == Stage::declaring, "log: ", taken, " is declared after start()");
  for (const std::string& other : names) {
    const bool same = (taken + "/").starts_with(other + "/") || (other + "/").starts_with(taken + "/");
    check(!same, "log: ", taken, " and ", other, " are in each other's way");
  }
  names.push_back(taken);
}

std::size_t RunLog::Impl::add_group(GroupLayout group) {
  take_name(group.path);
  layout.groups.push_back(std::move(group));
  return layout.groups.size() - 1;
}

Series RunLog::series(const std::string& name, std::string unit, std::string description) {
  check_name(name);
  check_meaning(name, unit, description);
  GroupLayout group{"/series/" + name, unit, description, {}};
  group.fields = {{{"step", "1", "step of the run that the row belongs to"}, true},
                  {{"wall_seconds", "s", "wall clock since the log was started"}},
                  {{"value", std::move(unit), std::move(description)}}};
  return {this, impl_->add_group(std::move(group))};
}

Table RunLog::table(const std::string& name, std::vector<Column> columns) {
  check_name(name);
  check(!columns.empty(), "log: table ", name, " has no columns");
  GroupLayout group{"/tables/" + name, "", "", {}};
  for (Column& column : columns) {
    check_name(column.name);
    check_meaning(name + "/" + column.name, column.unit, column.description);
    const auto same = [&](const auto& field) { return field.column.name == column.name; };
    check(column.name.find('/') == std::string::npos && std::none_of(group.fields.begin(), group.fields.end(), same),
          "log: table ", name, ": column ", column.name, " is there twice or is no plain name");
    group.fields.push_back({std::move(column)});
  }
  return {this, impl_->add_group(std::move(group))};
}

void RunLog::input(std::string name, std::vector<std::int64_t> shape, std::span<const double> values, std::string unit,
                   std::string description) {
  check_name(name);
  check_meaning(name, unit, description);
  std::uint64_t size = 1;
  for (std::int64_t n : shape) {
    check(n >= 0 && n <= std::int64_t{1} << 30 && size <= std::uint64_t{1} << 30, "log: input ", name, ": too large");
    size *= static_cast<std::uint64_t>(n);
  }
  check(size == values.size() && shape.size() <= 32, "log: input ", name, ": given ", values.size(),
        " values, expected ", size);
  impl_->take_name("/inputs/" + name);
  impl_->layout.inputs.push_back(
      {std::move(name), std::move(unit), std::move(description), std::move(shape), {values.begin(), values.end()}});
}

// ---- rows

void RunLog::Impl::add_row(std::size_t group, std::span<const Cell> row) {
  std::unique_lock lock(mutex);
  check(stage == Stage::writing, "log: a row is added ",
        stage == Stage::declaring ? "before start()" : "after finish()");
  written.wait(lock, [&] { return error || journal.size() < kMaxCells; });
  if (error) std::rethrow_exception(error);
  const bool was_small = journal.size() < kWakeCells;
  journal.push_back(group);
  journal.insert(journal.end(), row.begin(), row.end());
  ++added[group];
  if (was_small && journal.size() >= kWakeCells) wake.notify_one();
}

void Series::add(std::int64_t step, double value) const {
  const std::array<Cell, 3> row{std::bit_cast<Cell>(step), std::bit_cast<Cell>(log_->impl_->seconds()),
                                std::bit_cast<Cell>(value)};
  log_->impl_->add_row(group_, row);
}

void Table::add(std::initializer_list<double> row) const { add(std::span(row.begin(), row.size())); }

void Table::add(std::span<const double> row) const {
  const GroupLayout& group = log_->impl_->layout.groups[group_];
  check(row.size() == group.fields.size(), "log: ", group.path, ": given ", row.size(), " values, expected ",
        group.fields.size());
  log_->impl_->add_row(group_, {reinterpret_cast<const Cell*>(row.data()), row.size()});
}

// ---- the logger thread

void RunLog::Impl::log_loop() {
  std::vector<Cell> taken;
  taken.reserve(kReservedCells);
  std::vector<std::vector<Cell>> rows(layout.groups.size());
  std::unique_lock lock(mutex);
  for (bool last = false; !last;) {
    wake.wait_for(lock, std::chrono::duration<double>(kFlushSeconds),
                  [&] { return ending || journal.size() >= kWakeCells || flushes_wanted > flushes_done; });
    last = ending;
    const std::uint64_t serving = flushes_wanted;
    std::swap(taken, journal);
    lock.unlock();
    std::exception_ptr failure;
    try {
      write(taken, rows);
    } catch (...) {
      failure = std::current_exception();
    }
    taken.clear();
    lock.lock();
    error = failure;
    last = last || failure;
    flushes_done = serving;
    written.notify_all();
  }
}

void RunLog::Impl::write(std::span<const Cell> taken, std::vector<std::vector<Cell>>& rows) {
  for (auto& group : rows) group.clear();
  for (std::size_t i = 0; i < taken.size();) {
    const std::size_t group = taken[i++], fields = layout.groups[group].fields.size();
    rows[group].insert(rows[group].end(), &taken[i], &taken[i] + fields);
    i += fields;
  }
  std::vector<std::size_t> counts;
  for (std::size_t g = 0; g < rows.size(); ++g) counts.push_back(rows[g].size() / layout.groups[g].fields.size());
  file->make_room(counts);
  for (std::size_t g = 0; g < rows.size(); ++g) file->append(g, rows[g]);
  file->flush();
}

void RunLog::Impl::stop_logger() {
  {
    const std::lock_guard lock(mutex);
    ending = true;
  }
  wake.notify_one();
  logger.join();
}

// ---- RunLog

RunLog::RunLog(std::string path, RunInfo info) : impl_(std::make_unique<Impl>()) {
  impl_->path = std::move(path);
  impl_->info = std::move(info);
}

RunLog::~RunLog() {
  if (impl_->stage != Impl::Stage::writing) return;
  try {
    finish(Status::failed, "the program left without an outcome");
  } catch (const std::exception&) {  // finish() has closed what could be closed; a destructor has nobody to tell
  }
}

void RunLog::Impl::begin(const LogPosition* position) {
  file.emplace(path, info, layout, position);
  journal.reserve(kReservedCells);
  layout.inputs.clear();
  for (const GroupLayout& group : layout.groups) added.push_back(position ? position->rows.at(group.path) : 0);
  const std::chrono::duration<double> before(position ? position->wall_seconds : 0);
  start = Clock::now() - std::chrono::duration_cast<Clock::duration>(before);
  stage = Stage::writing;
  const SignalsBlocked blocked;
  logger = std::thread([this] { log_loop(); });
}

void RunLog::own(bool take_over) {
  if (impl_->owned) return;
  check_out(impl_->path);
  check_place(impl_->path);
  impl_->owned.emplace(impl_->path, take_over);
}

void RunLog::start() {
  check(impl_->stage == Impl::Stage::declaring, "log: started twice");
  own();
  check_target(impl_->path, impl_->info.experiment);
  impl_->begin(nullptr);
}

void RunLog::resume(const std::string& text) {
  check(impl_->stage == Impl::Stage::declaring, "log: started twice");
  own();
  const LogPosition position = LogPosition::parse(text);
  const auto there = check_target(impl_->path, impl_->info.experiment);
  check_fits(there.has_value(), "log ", impl_->path, ": is not there any more, and cannot go on");
  check_fits(there->created == position.created, "log ", impl_->path, ": is of a run that began at ",
             shortened(there->created), ", expected ", shortened(position.created));
  const std::string other = differences(there->config, impl_->info.config);
  check_fits(other.empty(), "log ", impl_->path, ": is of another configuration.", other);
  for (const GroupLayout& group : impl_->layout.groups)
    check_fits(position.rows.contains(group.path), "log ", impl_->path, ": ", group.path, " was not there before");
  check_fits(position.rows.size() == impl_->layout.groups.size(), "log ", impl_->path,
             ": lacks a series or table that was there before");
  impl_->begin(&position);
}

std::string RunLog::position() {
  LogPosition position;
  {
    const std::lock_guard lock(impl_->mutex);
    check(impl_->stage == Impl::Stage::writing, "log: position() outside start() and finish()");
    position.created = impl_->file->created();
    position.wall_seconds = impl_->seconds();
    for (std::size_t g = 0; g < impl_->added.size(); ++g) position.rows[impl_->layout.groups[g].path] = impl_->added[g];
  }
  flush();
  sync_file(impl_->path);
  return position.text();
}

void RunLog::flush() {
  std::unique_lock lock(impl_->mutex);
  check(impl_->stage == Impl::Stage::writing, "log: flush() outside start() and finish()");
  const std::uint64_t ticket = ++impl_->flushes_wanted;
  impl_->wake.notify_one();
  impl_->written.wait(lock, [&] { return impl_->error || impl_->flushes_done >= ticket; });
  if (impl_->error) std::rethrow_exception(impl_->error);
}

void RunLog::finish(Status status, std::string_view reason) {
  check(impl_->stage != Impl::Stage::ended, "log: finished twice");
  if (impl_->stage == Impl::Stage::declaring) start();
  impl_->stop_logger();
  impl_->stage = Impl::Stage::ended;
  if (!impl_->error) {
    impl_->file->close(status, reason);
    return;
  }
  try {
    std::rethrow_exception(impl_->error);
  } catch (const std::exception& e) {
    impl_->file->close(Status::failed, e.what());
    throw;
  }
}

bool RunLog::started() const { return impl_->stage != Impl::Stage::declaring; }
bool RunLog::ended() const { return impl_->stage == Impl::Stage::ended; }
const std::string& RunLog::path() const { return impl_->path; }

}  // namespace coarsegrad::experiments
