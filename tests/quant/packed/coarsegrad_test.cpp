// The C interface of packed models.
#include "quant/packed/coarsegrad.h"

#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <thread>

#include "tests/quant/packed/drawn_model.h"
#include "tests/support/errors.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;
using namespace coarsegrad::packed;
using namespace coarsegrad::testing;

namespace {

// A model that was loaded from a file which is gone.
class Loaded {
 public:
  explicit Loaded(const Model& model) {
    const TempFolder folder;
    write_file(folder / "a.cgpacked", bytes_of(model));
    model_ = coarsegrad_load((folder / "a.cgpacked").c_str());
    REQUIRE(model_ != nullptr);
  }
  ~Loaded() { coarsegrad_free(model_); }
  Loaded(const Loaded&) = delete;
  Loaded& operator=(const Loaded&) = delete;
  coarsegrad_model* get() const { return model_; }

 private:
  coarsegrad_model* model_;
};

}  // namespace

TEST_CASE("packed models from C: load, shapes, run, error and free do what the C++ ones do") {
  const Loaded net(small_model());
  coarsegrad_shape in, out;
  CHECK(coarsegrad_shapes(net.get(), &in, &out) == 0);
  CHECK(in.rank == 3);
  CHECK(in.extent[0] == 4);
  CHECK(in.extent[2] == 2);
  CHECK(in.extent[3] == 1);
  CHECK(out.rank == 1);
  CHECK(out.extent[0] == 1);
  CHECK(out.extent[4] == 1);
  const std::vector<float> x = gaussian(3 * 32, 3);
  std::vector<float> y(3);
  CHECK(coarsegrad_run(net.get(), 3, x.data(), y.data()) == 0);
  CHECK(same_bits(y, outputs_of(small_model(), 3)));
}

TEST_CASE("packed models from C: every null pointer is refused, or has nothing to do") {
  CHECK(coarsegrad_load(nullptr) == nullptr);
  CHECK(std::string(coarsegrad_error()) == "coarsegrad_load: given no path");
  coarsegrad_shape in{7, {7, 7, 7, 7, 7}}, out = in;
  CHECK(coarsegrad_shapes(nullptr, &in, &out) == -1);
  CHECK(std::string(coarsegrad_error()) == "coarsegrad_shapes: given no model");
  CHECK(in.rank == 0);
  CHECK(out.rank == 0);
  CHECK(in.extent[0] == 1);
  CHECK(coarsegrad_shapes(nullptr, nullptr, nullptr) == -1);
  const Loaded net(small_model());
  CHECK(coarsegrad_shapes(net.get(), nullptr, nullptr) == 0);
  CHECK(coarsegrad_shapes(net.get(), nullptr, &out) == 0);
  CHECK(out.rank == 1);
  const std::vector<float> x(32);
  float y = 7;
  CHECK(coarsegrad_run(nullptr, 1, x.data(), &y) == -1);
  CHECK(std::string(coarsegrad_error()) == "coarsegrad_run: given no model");
  CHECK(coarsegrad_run(net.get(), 1, nullptr, &y) == -1);
  CHECK(std::string(coarsegrad_error()) == "coarsegrad_run: given no samples");
  CHECK(coarsegrad_run(net.get(), 1, x.data(), nullptr) == -1);
  CHECK(std::string(coarsegrad_error()) == "coarsegrad_run: given no room for outputs");
  CHECK(y == 7);
  coarsegrad_free(nullptr);
}

TEST_CASE("packed models from C: batches that are none or too large are refused before anything is read or written") {
  const Loaded net(small_model());
  const std::vector<float> x(32);
  float y = 7;
  constexpr auto most = std::numeric_limits<std::int64_t>::max();
  for (const std::int64_t batch : {std::int64_t{0}, std::int64_t{-1}, (std::int64_t{1} << 31) + 1, most, -most - 1}) {
    CHECK(coarsegrad_run(net.get(), batch, x.data(), &y) == -1);
    CHECK_SAYS(std::string(coarsegrad_error()), cat("given a batch of ", batch, ", expected 1 to 2^31"));
  }
  CHECK(y == 7);
}

TEST_CASE("packed models from C: files that are none or broken are refused, and a long message is cut off") {
  const TempFolder folder;
  CHECK(coarsegrad_load((folder / "missing").c_str()) == nullptr);
  CHECK_SAYS(std::string(coarsegrad_error()), "missing: cannot be opened");
  CHECK(coarsegrad_load(folder.path().c_str()) == nullptr);
  CHECK_SAYS(std::string(coarsegrad_error()), "is not a regular file");
  const std::string whole = bytes_of(small_model());
  write_file(folder / "short", whole.substr(0, whole.size() - 1));
  CHECK(coarsegrad_load((folder / "short").c_str()) == nullptr);
  CHECK_SAYS(std::string(coarsegrad_error()), "the offsets do not fit the shape or the file");
  const std::string long_path(4000, 'x');
  CHECK(coarsegrad_load(long_path.c_str()) == nullptr);
  CHECK(std::strlen(coarsegrad_error()) == 1023);
}

TEST_CASE("packed models from C: an error belongs to its thread") {
  CHECK(coarsegrad_load(nullptr) == nullptr);
  std::thread([] { CHECK(std::string(coarsegrad_error()).empty()); }).join();
  CHECK(!std::string(coarsegrad_error()).empty());
}
