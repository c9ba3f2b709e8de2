#include "experiments/support/output_name.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "core/base/check.h"
#include "experiments/support/file_place.h"

namespace coarsegrad::experiments {
namespace {

namespace fs = std::filesystem;

std::string_view without_extension(std::string_view out) {
  for (const std::string_view extension : {".h5", ".hdf5"})
    if (out.ends_with(extension) && fs::path(out).filename() != extension)
      return out.substr(0, out.size() - extension.size());
  return out;
}

/// The longest name that the file system of a path takes, which may have other limits than most.
std::size_t longest_name(fs::path folder) {
  std::error_code error;
  while (!folder.empty() && !fs::exists(folder, error)) folder = folder.parent_path();
  const long found = pathconf(folder.empty() ? "." : folder.c_str(), _PC_NAME_MAX);
  return found > 0 ? static_cast<std::size_t>(found) : NAME_MAX;
}

}  // namespace

std::string beside(std::string_view out, std::string_view ending) { return cat(without_extension(out), ending); }

std::string cells_folder(std::string_view out) { return cat(out, ".cells"); }

std::string lock_name(std::string_view out) {
  const fs::path base(without_extension(out));
  return (base.parent_path() / cat(".", base.filename().string(), ".lock")).string();
}

void check_out(const std::string& out, std::initializer_list<std::string_view> endings) {
  const fs::path path(out);
  check_usage(!out.empty(), "--out: given nothing, expected the name of a file");
  check_usage(path.has_filename(), "--out ", out, ": given a folder, expected the name of a file");
  std::size_t longest = out.size();
  for (const std::string_view ending : endings) longest = std::max(longest, beside(out, ending).size());
  const std::size_t added = longest - out.size() + kTemporaryAddition, name = path.filename().string().size();
  const std::size_t limit = longest_name(path.parent_path());
  check_usage(name + added <= limit, "--out: given a name of ", name, " bytes, expected at most ",
              limit - std::min(limit, added), ", so that the files beside it have names, too");
  check_usage(out.size() + added < PATH_MAX, "--out: given a path of ", out.size(), " bytes, expected at most ",
              PATH_MAX - 1 - added);
}

}  // namespace coarsegrad::experiments
