#include "datasets/dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <span>

#include "core/base/check.h"
#include "core/compute/random.h"
#include "core/in_range.h"

namespace coarsegrad {
inline namespace COARSEGRAD_REAL {
namespace datasets {

void Normalisation::validate(std::int64_t channels, const std::string& name) const {
  const auto count = static_cast<std::size_t>(channels);
  check(mean.size() == count && deviation.size() == count, name, ": given ", mean.size(), " means and ",
        deviation.size(), " deviations for ", channels, " channels");
  for (std::size_t c = 0; c < count; ++c)
    check(deviation[c] > 0 && in_range(std::abs(value(0, c)), 0) && in_range(std::abs(value(255, c)), 0), name,
          ": given the deviation ", deviation[c], " and the mean ", mean[c],
          ", expected a positive one, a finite one, and finite quotients");
}

const Field& Description::field(std::string_view wanted) const {
  std::string known;
  for (const Field& f : fields) {
    if (f.name == wanted) return f;
    known += ' ' + f.name;
  }
  throw Error(cat(name, ": given the field '", wanted, "', expected one of:", known));
}

void Dataset::validate() const {
  const Description d = description();
  check(size() > 0, d.name, ": the data set is empty");
  check(!d.fields.empty(), d.name, ": given no field, expected one or more");
  std::set<std::string> names;
  for (const Field& f : d.fields) {
    const bool is_new = names.insert(f.name).second;
    check(!f.name.empty() && is_new, d.name, ": given the field '", f.name, "', expected names that differ");
    check(f.is_image() || !f.as_codes, d.name, ": given the field ", f.name, " as codes, expected an image");
    if (!f.is_image()) continue;
    check(f.type == ElementType::uint8 && f.shape.rank() == 3 && f.shape.numel() > 0, d.name,
          ": given images of shape ", f.shape, " and ", element_type_name(f.type), ", expected (H,W,C) and uint8");
    f.normalisation.validate(f.shape[-1], d.name);
  }
}

Subset::Subset(std::shared_ptr<const Dataset> data, std::vector<std::int64_t> numbers)
    : data_(std::move(data)), numbers_(std::move(numbers)) {
  const std::int64_t size = data_->size();
  for (const std::int64_t n : numbers_)
    check(n >= 0 && n < size, data_->description().name, ": given sample ", n, ", expected one of ", size);
}

Sample Subset::sample(std::int64_t i) const {
  check(i >= 0 && i < size(), description().name, ": given sample ", i, ", expected one of ", size());
  return data_->sample(numbers_[static_cast<std::size_t>(i)]);
}

Verify verify(std::string_view name) {
  check_usage(name == "checksums" || name == "layout", "verify: given '", name, "', expected checksums or layout");
  return name == "layout" ? Verify::layout : Verify::checksums;
}

namespace {

// All indices: those held out, ascending, then the others, ascending.
std::vector<std::int64_t> cut_indices(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  check(count >= 0 && count <= size, "held-out indices: given ", count, " of ", size,
        " samples, expected 0 or more, and no more than there are");
  std::vector<std::int64_t> order(static_cast<std::size_t>(size));
  std::iota(order.begin(), order.end(), 0);
  Rng(seed).split("hold out").shuffle(std::span(order));
  std::sort(order.begin(), order.begin() + count);
  std::sort(order.begin() + count, order.end());
  return order;
}

}  // namespace

std::vector<std::int64_t> held_out_indices(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order = cut_indices(size, count, seed);
  order.resize(static_cast<std::size_t>(count));
  return order;
}

std::vector<std::int64_t> kept_indices(std::int64_t size, std::int64_t count, std::uint64_t seed) {
  std::vector<std::int64_t> order = cut_indices(size, count, seed);
  order.erase(order.begin(), order.begin() + count);
  return order;
}

}  // namespace datasets
}  // namespace COARSEGRAD_REAL
}  // namespace coarsegrad
