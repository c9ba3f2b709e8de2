// Writes the files that fuzz_packed_file starts from: fuzz_seeds FOLDER
#define DOCTEST_CONFIG_DISABLE
#include <cstdio>
#include <filesystem>

#include "tests/quant/packed/model_files.h"
#include "tests/support/temp_folder.h"

using namespace coarsegrad;

int main(int argc, char** argv) {
  if (argc != 2) return std::fputs("usage: fuzz_seeds FOLDER\n", stderr), 2;
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder);
  write_file(folder / "small", packed::bytes_of(packed::small_model()));
  write_file(folder / "coded", packed::bytes_of(packed::coded_model()));
  const std::string shape = "input input shape=2,2,1\n";
  write_file(folder / "conv", packed::file_with(shape + "conv2d c weight=1,1,1,1 scale=1", {{"c", "\x01"}}));
  write_file(folder / "norm", packed::file_with(shape + "norm n channels=1\nquantize q bits=2 alpha=0.25",
                                                {{"norms", packed::floats({0, 1, 0}), true}}));
}
