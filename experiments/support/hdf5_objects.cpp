#include "experiments/support/hdf5_objects.h"

#include "core/base/check.h"

namespace coarsegrad::experiments {

// ---- errors

void silence_hdf5() { H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr); }

std::string hdf5_reason() {
  std::string reason = "HDF5 gives no reason";
  H5Ewalk2(
      H5E_DEFAULT, H5E_WALK_UPWARD,
      [](unsigned n, const H5E_error2_t* e, void* out) -> herr_t {
        if (n == 0 && e->desc) *static_cast<std::string*>(out) = e->desc;
        return 0;
      },
      &reason);
  const std::string lead = "error message = '";
  if (const auto at = reason.find(lead); at != std::string::npos) {
    reason.erase(0, at + lead.size());
    reason.resize(std::min(reason.size(), reason.find('\'')));
  }
  return reason;
}

void check_hdf5(hid_t result, std::string_view what) {
  if (result < 0) throw Error(cat("log: cannot ", what, ": ", hdf5_reason()));
}

Handle::Handle(hid_t id, herr_t (*close)(hid_t), std::string_view what) : id_(id), close_(close) {
  check_hdf5(id, what);
}

// ---- writing attributes

Handle text_type(std::size_t bytes) {
  Handle type(H5Tcopy(H5T_C_S1), H5Tclose, "make a text type");
  H5Tset_size(type, bytes);
  H5Tset_cset(type, H5T_CSET_UTF8);
  H5Tset_strpad(type, H5T_STR_NULLPAD);
  return type;
}

void write_attribute(hid_t object, const char* name, hid_t type, const void* data, hsize_t count) {
  const Handle space(count ? H5Screate_simple(1, &count, nullptr) : H5Screate(H5S_SCALAR), H5Sclose, "make a space");
  const Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
                         "make an attribute");
  check_hdf5(H5Awrite(attribute, type, data), cat("write attribute ", name));
}

void write_attribute(hid_t object, const char* name, const std::string& text) {
  const char* data = text.c_str();
  write_attribute(object, name, text_type(H5T_VARIABLE), &data);
}

void write_attribute(hid_t object, const char* name, const std::vector<std::string>& texts) {
  std::vector<const char*> data;
  for (const std::string& text : texts) data.push_back(text.c_str());
  write_attribute(object, name, text_type(H5T_VARIABLE), data.data(), data.size());
}

herr_t overwrite_attribute(hid_t object, const char* name, hid_t type, const void* data) {
  const hid_t attribute = H5Aopen(object, name, H5P_DEFAULT);
  if (attribute < 0) return -1;
  const herr_t result = H5Awrite(attribute, type, data);
  return H5Aclose(attribute) < 0 ? -1 : result;
}

// ---- reading attributes

std::vector<std::string> read_texts(hid_t object, const char* name) {
  if (H5Aexists(object, name) <= 0) return {};
  const Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, "open an attribute");
  const Handle type(H5Aget_type(attribute), H5Tclose, "read a type");
  const Handle space(H5Aget_space(attribute), H5Sclose, "read a space");
  const hssize_t count = H5Sget_simple_extent_npoints(space);
  if (H5Tget_class(type) != H5T_STRING || count < 1) return {};
  std::vector<std::string> texts;
  if (H5Tis_variable_str(type) > 0) {
    std::vector<char*> data(static_cast<std::size_t>(count));
    const Handle memory = text_type(H5T_VARIABLE);
    if (H5Aread(attribute, memory, data.data()) < 0) return {};
    for (const char* text : data) texts.emplace_back(text ? text : "");
    H5Dvlen_reclaim(memory, space, H5P_DEFAULT, data.data());
  } else if (count == 1) {
    std::string text(H5Tget_size(type), '\0');
    if (H5Aread(attribute, type, text.data()) < 0) return {};
    texts.push_back(text.substr(0, text.find('\0')));
  }
  return texts;
}

std::string read_text(hid_t object, const char* name) {
  auto texts = read_texts(object, name);
  return texts.size() == 1 ? std::move(texts[0]) : "";
}

namespace {

void read_scalar(hid_t object, const char* name, hid_t type, void* value) {
  if (H5Aexists(object, name) <= 0) return;
  const Handle attribute(H5Aopen(object, name, H5P_DEFAULT), H5Aclose, "open an attribute");
  const Handle space(H5Aget_space(attribute), H5Sclose, "read a space");
  if (H5Sget_simple_extent_npoints(space) == 1) H5Aread(attribute, type, value);
}

}  // namespace

void read_number(hid_t object, const char* name, std::int64_t& value) {
  read_scalar(object, name, H5T_NATIVE_INT64, &value);
}

void read_number(hid_t object, const char* name, double& value) {
  read_scalar(object, name, H5T_NATIVE_DOUBLE, &value);
}

}  // namespace coarsegrad::experiments
