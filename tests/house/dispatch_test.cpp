// Which kernel table runs, and who may say so.
#include <doctest/doctest.h>

#include <cstdlib>
#include <string>

#include "core/base/check.h"
#include "core/kernels/kernels.h"

using namespace coarsegrad;

namespace {

// Sets COARSEGRAD_KERNELS for a scope and makes the choice anew at both ends.
class Forced {
 public:
  explicit Forced(const char* name) { setenv("COARSEGRAD_KERNELS", name, 1); }
  ~Forced() {
    unsetenv("COARSEGRAD_KERNELS");
    use_kernels("auto");
  }
};

std::string message_of(const char* name) {
  try {
    use_kernels(name);
  } catch (const UsageError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("kernels: COARSEGRAD_KERNELS names the table, and without it the best one runs") {
  for (const Kernels* table : all_kernels()) {
    const Forced forced(table->name);
    use_kernels("auto");
    CHECK(&active_kernels() == table);
    CHECK((real_kernels<float>().norm.moments == table->real.norm.moments));
  }
  use_kernels("auto");
  CHECK(&active_kernels() == all_kernels().back());
}

TEST_CASE("kernels: a name that does not exist is a usage error that lists those that do") {
  const std::string before = active_kernels().name, message = message_of("avx1024");
  for (const Kernels* table : all_kernels()) CHECK(message.find(table->name) != std::string::npos);
  CHECK(message.find("avx1024") != std::string::npos);
  CHECK(before == active_kernels().name);
  const Forced forced("sse");
  CHECK_THROWS_AS(use_kernels("auto"), UsageError);
}

TEST_CASE("kernels: the loops of tiles over plain C++ run where they are named, and nowhere else") {
  for (const Kernels* table : all_kernels()) CHECK(std::string(table->name) != "plain_tiles");
  const Forced forced("plain_tiles");
  use_kernels("auto");
  CHECK(&active_kernels() == &plain_tiles_kernels());
  CHECK((active_kernels().matmul_codes.release != nullptr));
  CHECK((active_kernels().real.norm.moments == all_kernels().front()->real.norm.moments));
}

TEST_CASE("kernels: double always runs on the reference") {
  for (const Kernels* table : all_kernels()) {
    use_kernels(table->name);
    static const auto reference = real_kernels<double>().norm.moments;
    CHECK((real_kernels<double>().norm.moments == reference));
  }
  use_kernels("auto");
}
