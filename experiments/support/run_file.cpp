#include "experiments/support/run_file.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "core/base/check.h"
#include "core/base/json_text.h"
#include "core/kernels/kernels.h"
#include "experiments/support/disk_room.h"
#include "experiments/support/file_place.h"
#include "experiments/support/hdf5_objects.h"
#include "experiments/support/provenance.h"

namespace coarsegrad::experiments {
namespace {

namespace fs = std::filesystem;

constexpr hsize_t kChunkRows = 1024;
constexpr hsize_t kCopyRows = 1 << 16;  // rows copied at a time
constexpr hsize_t kPageBytes = 4096;
// A reader waits 1, 2, 4, ... ns for the checksum of a block that is being written: 2 s in all, then it gives up.
constexpr unsigned kReadAttempts = 30;
constexpr std::size_t kStatusBytes = 16, kReasonBytes = 1024;
// What HDF5 needs beside the rows: chunk indices (they grow with the square root of the file) and, for
// closing, a few blocks of metadata. Measured files stay far below.
constexpr std::uint64_t kMetadataBytes = 256 << 10, kBytesPerObject = 4096;

// ---- provenance

/// The attributes of a log about the processes before the one that writes it.
struct Past {
  std::string created = utc_now();
  nlohmann::json processes = nlohmann::json::array();
};

void write_provenance(hid_t file, const RunInfo& info, const Past& past) {
  write_attribute(file, "schema", std::string(RunFile::kSchema));
  write_attribute(file, "experiment", info.experiment);
  write_attribute(file, "status", text_type(kStatusBytes), padded<kStatusBytes>(name(Status::running)).data());
  write_attribute(file, "reason", text_type(kReasonBytes), padded<kReasonBytes>("").data());
  write_attribute(file, "created", past.created);
  const auto resumed = static_cast<std::int64_t>(past.processes.size());
  write_attribute(file, "resumed", H5T_NATIVE_INT64, &resumed);
  write_attribute(file, "earlier_processes", past.processes.dump());
  write_attribute(file, "version", build_version());
  write_attribute(file, "git_commit", build_commit());
  write_attribute(file, "command_line", info.command_line);
  write_attribute(file, "config", info.config);
  write_attribute(file, "seed", H5T_NATIVE_UINT64, &info.seed);
  const std::int64_t threads = info.threads, pid = getpid();
  write_attribute(file, "threads", H5T_NATIVE_INT64, &threads);
  write_attribute(file, "cpu", cpu_name());
  write_attribute(file, "kernels", std::string(active_kernels().name));
  write_attribute(file, "blas", blas_name());
  write_attribute(file, "real", info.real);
  write_attribute(file, "host", host_name());
  write_attribute(file, "pid", H5T_NATIVE_INT64, &pid);
  const double now = unix_now();
  write_attribute(file, "heartbeat", H5T_NATIVE_DOUBLE, &now);
}

// ---- creation

Handle create_group(hid_t file, const std::string& path) {
  const Handle parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "make a property list");
  H5Pset_create_intermediate_group(parents, 1);
  return {H5Gcreate2(file, path.c_str(), parents, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "make a group"};
}

/// An empty column. Unwritten rows read as NaN or -1, so that they cannot be taken for data.
void create_column(hid_t group, const GroupLayout::Field& field) {
  const hsize_t none = 0, unlimited = H5S_UNLIMITED;
  const Handle space(H5Screate_simple(1, &none, &unlimited), H5Sclose, "make a space");
  const Handle options(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, "make a property list");
  H5Pset_chunk(options, 1, &kChunkRows);
  const std::int64_t no_step = -1;
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const hid_t type = field.integer ? H5T_STD_I64LE : H5T_IEEE_F64LE;
  H5Pset_fill_value(options, field.integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE,
                    field.integer ? static_cast<const void*>(&no_step) : &nan);
  const Column& column = field.column;
  const Handle data(H5Dcreate2(group, column.name.c_str(), type, space, H5P_DEFAULT, options, H5P_DEFAULT), H5Dclose,
                    "make a column");
  write_attribute(data, "unit", column.unit);
  write_attribute(data, "description", column.description);
  if (!column.labels.empty()) write_attribute(data, "labels", column.labels);
}

void write_input(hid_t file, const InputArray& input) {
  const std::vector<hsize_t> shape(input.shape.begin(), input.shape.end());
  const Handle space(H5Screate_simple(static_cast<int>(shape.size()), shape.data(), nullptr), H5Sclose, "make a space");
  const Handle parents(H5Pcreate(H5P_LINK_CREATE), H5Pclose, "make a property list");
  H5Pset_create_intermediate_group(parents, 1);
  const std::string path = "/inputs/" + input.name;
  const Handle data(H5Dcreate2(file, path.c_str(), H5T_IEEE_F64LE, space, parents, H5P_DEFAULT, H5P_DEFAULT), H5Dclose,
                    "make an input");
  if (!input.values.empty())
    check_hdf5(H5Dwrite(data, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, input.values.data()),
               cat("write input ", input.name));
  write_attribute(data, "unit", input.unit);
  write_attribute(data, "description", input.description);
}

Handle create_file(const std::string& path) {
  H5dont_atexit();  // a file abandoned after a failed write must not be closed again at exit
  silence_hdf5();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make a property list");
  H5Pset_libver_bounds(access, H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
  // All attributes of the root stay in its header: those that are rewritten live must not move.
  const Handle creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose, "make a property list");
  H5Pset_attr_phase_change(creation, 64, 32);
  // No block of metadata crosses a page: a kill cuts a write between two pages, the checksum of such a block
  // would never be right, and readers would wait for it. (Blocks of the index outgrow a page at 8 million
  // rows a column.)
  H5Pset_file_space_strategy(creation, H5F_FSPACE_STRATEGY_PAGE, false, 1);
  H5Pset_file_space_page_size(creation, kPageBytes);
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), H5Fclose, "make the file"};
}

/// Bytes that `columns` columns need more when they grow.
hsize_t chunk_bytes(hsize_t rows_before, hsize_t rows_after, std::size_t columns) {
  const auto chunks = [](hsize_t rows) { return (rows + kChunkRows - 1) / kChunkRows; };
  return (chunks(rows_after) - chunks(rows_before)) * kChunkRows * sizeof(Cell) * columns;
}

// ---- a log that is there already

std::optional<Handle> open_for_reading(const std::string& path) {
  silence_hdf5();
  const Handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "make a property list");
  H5Pset_metadata_read_attempts(access, kReadAttempts);
  const hid_t id = H5Fopen(path.c_str(), H5F_ACC_RDONLY | H5F_ACC_SWMR_READ, access);
  if (id < 0) return std::nullopt;
  return Handle(id, H5Fclose, "open the file");
}

Past past_of(hid_t file, double wall_seconds) {
  Past past{read_text(file, "created"),
            parse_json(read_text(file, "earlier_processes"), "log: attribute earlier_processes")};
  check(past.processes.is_array(), "log: attribute earlier_processes is damaged");
  nlohmann::json process{{"until_wall_seconds", wall_seconds}};
  for (const char* name :
       {"version", "git_commit", "command_line", "cpu", "kernels", "blas", "host", "status", "reason"})
    process[name] = read_text(file, name);
  std::int64_t threads = 0;
  read_number(file, "threads", threads);
  process["threads"] = threads;
  past.processes.push_back(std::move(process));
  return past;
}

/// Copies the first rows of a column, bit for bit.
void copy_column(hid_t from, hid_t to, const std::string& path, const GroupLayout::Field& field, hsize_t rows) {
  const Handle source(H5Dopen2(from, path.c_str(), H5P_DEFAULT), H5Dclose, cat("find ", path));
  const Handle target(H5Dopen2(to, path.c_str(), H5P_DEFAULT), H5Dclose, "open a column");
  const Handle extent(H5Dget_space(source), H5Sclose, "read a space");
  const hssize_t there = H5Sget_simple_extent_npoints(extent);
  check_fits(there >= 0 && static_cast<hsize_t>(there) >= rows, "log: ", path, " holds ", there,
             " rows, expected at least ", rows);
  check_fits(read_texts(source, "labels") == field.column.labels, "log: ", path, " has other labels");
  check_hdf5(H5Dset_extent(target, &rows), cat("grow ", path));
  const hid_t type = field.integer ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
  std::vector<Cell> cells(std::min<hsize_t>(rows, kCopyRows));
  for (hsize_t done = 0; done < rows; done += cells.size()) {
    const hsize_t count = std::min<hsize_t>(cells.size(), rows - done);
    const Handle memory(H5Screate_simple(1, &count, nullptr), H5Sclose, "make a space");
    const Handle place(H5Screate_simple(1, &rows, nullptr), H5Sclose, "make a space");
    H5Sselect_hyperslab(extent, H5S_SELECT_SET, &done, nullptr, &count, nullptr);
    H5Sselect_hyperslab(place, H5S_SELECT_SET, &done, nullptr, &count, nullptr);
    check_hdf5(H5Dread(source, type, memory, extent, H5P_DEFAULT, cells.data()), cat("read ", path));
    check_hdf5(H5Dwrite(target, type, memory, place, H5P_DEFAULT, cells.data()), cat("copy ", path));
  }
}

}  // namespace

// ---- RunFile

struct RunFile::Impl {
  struct Group {
    std::vector<Handle> columns;
    std::vector<bool> integer;
    hsize_t rows = 0;
  };

  std::string path, created;
  std::optional<DiskRoom> room;
  std::optional<Handle> file;
  std::vector<Group> groups;
  std::vector<Cell> column;  // one column of the rows in hand, contiguous

  void create(const std::string& temporary, const RunInfo& info, const RunLayout& layout, const Past& past);
  void copy_rows(const Handle& before, const RunLayout& layout, const LogPosition& position);
  void open_columns(const RunLayout& layout);
  template <class Id>
  void wrote(Id result, const char* what);
  void abandon();
};

void RunFile::Impl::create(const std::string& temporary, const RunInfo& info, const RunLayout& layout,
                           const Past& past) {
  created = past.created;
  room.emplace(temporary, path);
  file.emplace(create_file(temporary));
  const std::string processes = past.processes.dump();
  std::uint64_t bytes = kMetadataBytes + info.config.size() + info.command_line.size() + processes.size();
  for (const auto& input : layout.inputs) bytes += kBytesPerObject + 8 * input.values.size();
  for (const auto& group : layout.groups) bytes += kBytesPerObject * (1 + group.fields.size());
  room->reserve(bytes);

  write_provenance(*file, info, past);
  for (const char* top : {"/series", "/tables", "/inputs"}) create_group(*file, top);
  for (const auto& input : layout.inputs) write_input(*file, input);
  for (const auto& layout_group : layout.groups) {
    const Handle group = create_group(*file, layout_group.path);
    if (!layout_group.unit.empty()) write_attribute(group, "unit", layout_group.unit);
    if (!layout_group.description.empty()) write_attribute(group, "description", layout_group.description);
    for (const auto& field : layout_group.fields) create_column(group, field);
  }
}

void RunFile::Impl::copy_rows(const Handle& before, const RunLayout& layout, const LogPosition& position) {
  hsize_t bytes = 0;
  wrote(H5Fget_filesize(*file, &bytes), "find the size of the file");
  for (const auto& group : layout.groups) bytes += chunk_bytes(0, position.rows.at(group.path), group.fields.size());
  room->reserve(bytes + bytes / 64 + kMetadataBytes);
  for (const auto& group : layout.groups)
    for (const auto& field : group.fields)
      copy_column(before, *file, group.path + "/" + field.column.name, field, position.rows.at(group.path));
}

/// Only after the switch to concurrent reading, which would have reset the chunk caches of open datasets.
void RunFile::Impl::open_columns(const RunLayout& layout) {
  for (const auto& layout_group : layout.groups) {
    Group& group = groups.emplace_back();
    for (const auto& field : layout_group.fields) {
      const std::string name = layout_group.path + "/" + field.column.name;
      group.columns.emplace_back(H5Dopen2(*file, name.c_str(), H5P_DEFAULT), H5Dclose, "open a column");
      group.integer.push_back(field.integer);
    }
  }
}

/// After a write that failed: forget the handles. What was flushed stays readable.
void RunFile::Impl::abandon() {
  for (Group& group : groups)
    for (Handle& column_handle : group.columns) column_handle.abandon();
  if (file) file->abandon();
  file.reset();
}

template <class Id>
void RunFile::Impl::wrote(Id result, const char* what) {
  if (result >= 0) return;
  const std::string reason = hdf5_reason();
  abandon();
  throw Error(cat("log ", path, ": cannot ", what, ": ", reason));
}

RunFile::RunFile(const std::string& path, const RunInfo& info, const RunLayout& layout, const LogPosition* position)
    : impl_(std::make_unique<Impl>()) {
  impl_->path = path;
  const std::string temporary = temporary_name(path);
  std::error_code error;
  remove_leftovers(path);
  fs::remove(temporary, error);  // left by a killed process that had our number
  try {
    if (position) {
      const auto before = open_for_reading(path);
      check(before.has_value(), "log ", path, ": cannot be read");
      impl_->create(temporary, info, layout, past_of(*before, position->wall_seconds));
      impl_->copy_rows(*before, layout, *position);
    } else {
      impl_->create(temporary, info, layout, {});
    }
    impl_->wrote(H5Fstart_swmr_write(*impl_->file), "let readers in");
    position ? replace_file(temporary, path) : move_into_place(temporary, path);
    impl_->open_columns(layout);
    for (std::size_t g = 0; position && g < layout.groups.size(); ++g)
      impl_->groups[g].rows = position->rows.at(layout.groups[g].path);
  } catch (...) {
    fs::remove(temporary, error);
    throw;
  }
}

std::optional<RunState> RunFile::peek(const std::string& path) {
  const auto file = open_for_reading(path);
  if (!file) return std::nullopt;
  RunState state{read_text(*file, "schema"), read_text(*file, "experiment"), read_text(*file, "status"),
                 read_text(*file, "host"),   read_text(*file, "created"),    read_text(*file, "config")};
  read_number(*file, "pid", state.pid);
  read_number(*file, "heartbeat", state.heartbeat);
  return state;
}

RunFile::~RunFile() = default;

const std::string& RunFile::created() const { return impl_->created; }

void RunFile::make_room(std::span<const std::size_t> rows) {
  silence_hdf5();  // first call in the logger's thread
  hsize_t bytes = 0;
  impl_->wrote(H5Fget_filesize(*impl_->file, &bytes), "find the size of the file");
  bytes += kMetadataBytes + bytes / 64;
  for (std::size_t g = 0; g < rows.size(); ++g) {
    const Impl::Group& group = impl_->groups[g];
    bytes += chunk_bytes(group.rows, group.rows + rows[g], group.columns.size());
  }
  impl_->room->reserve(bytes);
}

void RunFile::append(std::size_t index, std::span<const Cell> rows) {
  Impl::Group& group = impl_->groups[index];
  const std::size_t fields = group.columns.size();
  const hsize_t count = rows.size() / fields, end = group.rows + count;
  if (count == 0) return;
  impl_->column.resize(count);
  for (std::size_t c = 0; c < fields; ++c) {
    for (std::size_t r = 0; r < count; ++r) impl_->column[r] = rows[r * fields + c];
    const Handle& data = group.columns[c];
    impl_->wrote(H5Dset_extent(data, &end), "grow a column");
    const Handle memory(H5Screate_simple(1, &count, nullptr), H5Sclose, "make a space");
    const Handle target(H5Dget_space(data), H5Sclose, "read a space");
    H5Sselect_hyperslab(target, H5S_SELECT_SET, &group.rows, nullptr, &count, nullptr);
    const hid_t type = group.integer[c] ? H5T_NATIVE_INT64 : H5T_NATIVE_DOUBLE;
    impl_->wrote(H5Dwrite(data, type, memory, target, H5P_DEFAULT, impl_->column.data()), "write");
  }
  group.rows = end;
}

void RunFile::flush() {
  const double now = unix_now();
  impl_->wrote(overwrite_attribute(*impl_->file, "heartbeat", H5T_NATIVE_DOUBLE, &now), "write the heartbeat");
  impl_->wrote(H5Fflush(*impl_->file, H5F_SCOPE_GLOBAL), "flush");
}

void RunFile::close(Status status, std::string_view reason) {
  if (!impl_->file) return;  // abandoned
  const auto status_text = padded<kStatusBytes>(name(status));
  const auto reason_text = padded<kReasonBytes>(reason);
  impl_->wrote(overwrite_attribute(*impl_->file, "status", text_type(kStatusBytes), status_text.data()),
               "write the status");
  impl_->wrote(overwrite_attribute(*impl_->file, "reason", text_type(kReasonBytes), reason_text.data()),
               "write the reason");
  flush();
  impl_->groups.clear();
  impl_->wrote(H5Fclose(*impl_->file), "close");
  impl_->file->abandon();
  impl_->file.reset();
  impl_->room->trim();
}

}  // namespace coarsegrad::experiments
