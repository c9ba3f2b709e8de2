// The families of narrow numbers.
#include <algorithm>

#include "experiments/bench/kernel_jobs.h"

namespace coarsegrad::experiments::kernel_jobs {
namespace {

// A product of codes, 84 x 256 and 256 x 96.
template <class In>
void code_product(const kernels::CodeProduct<In>& family, const In* x, Arrays& a) {
  constexpr int kM = 84, kN = 96, kK = 256, kStep = kernels::kCodesPerStep;
  const int vectors = family.max_rows[2] > 0 ? 2 : 1;
  const int rows = family.max_rows[vectors], columns = vectors * family.lanes;
  for (int i = 0; i < kM; i += rows)
    for (int j = 0; j < kN; j += columns)
      family.tile({.a = x + i * kK,
                   .a_row = kK,
                   .b = a.signed_codes.data() + j * kK,
                   .steps = {1, 1, kK / kStep},
                   .a_step = {0, 0, kStep},
                   .b_step = {0, 0, columns * kStep},
                   .c = a.y.data() + i * kN + j,
                   .c_row = kN,
                   .rows = std::min(rows, kM - i),
                   .columns = std::min(columns, kN - j),
                   .scale = a.row.data()});
}

// The same of bfloat16.
void half_product(const kernels::MatmulBfloat16& family, Arrays& a) {
  constexpr int kM = 84, kN = 96, kK = 256, kStep = kernels::kBfloat16PerStep;
  const int rows = family.max_rows[2], columns = 2 * family.lanes;
  for (int i = 0; i < kM; i += rows)
    for (int j = 0; j < kN; j += columns)
      family.tile({.a = a.half.data() + i * kK,
                   .a_row = kK,
                   .b = a.half2.data() + j * kK,
                   .steps = {1, 1, kK / kStep},
                   .a_step = {0, 0, kStep},
                   .b_step = {0, 0, columns * kStep},
                   .c = a.y.data() + i * kN + j,
                   .c_row = kN,
                   .rows = std::min(rows, kM - i),
                   .columns = std::min(columns, kN - j),
                   .bias = a.row.data()});
}

// Six pixels of 3x3 taps of 128 channels times a panel of filters.
void bit_tile(const kernels::BitProduct& bits, Arrays& a) {
  constexpr std::int64_t taps = 3, channels = 128;
  const std::int64_t run = taps * channels / bits.channels_per_step;
  const std::uint8_t* pixels[kernels::kMaxBitPixels];
  std::int32_t* sums[kernels::kMaxBitPixels];
  for (int i = 0; i < kernels::kMaxBitPixels; ++i) {
    pixels[i] = a.codes.data() + i * kernels::kBitStepBytes;
    sums[i] = reinterpret_cast<std::int32_t*>(a.y.data()) + i * bits.lanes;
  }
  const auto* offset = reinterpret_cast<const std::int32_t*>(a.words.data());
  const int count = std::min(bits.max_pixels, 6);
  bits.tile({pixels, count, taps, run, run * 32, 0, a.mask.data(), 0, 1, 1, kernels::BitMatch::equal, 1, offset, sums,
             0, bits.lanes});
}

}  // namespace

void bfloat16_jobs(Jobs& jobs, Arrays& a) {
  constexpr double half = kArray / 2;
  jobs.push_back({"precision.widen", half + kArray, 0,
                  [&](const Kernels& k) { k.precision.widen(kElements, a.half.data(), a.y.data()); }});
  jobs.push_back({"precision.round", kArray + half, 0,
                  [&](const Kernels& k) { k.precision.round(kElements, a.x.data(), a.half.data()); }});
  jobs.push_back({"precision.round_values", 2 * kArray, 0,
                  [&](const Kernels& k) { k.precision.round_values(kElements, a.x.data(), a.y.data()); }});
  jobs.push_back({"norm_of_bfloat16.normalize_relu", half + kArray + kCount / 8, 4 * kCount, [&](const Kernels& k) {
                    k.norm_of_bfloat16.normalize_relu(kRows, kCols, a.half.data(), a.row.data(), a.row2.data(),
                                                      a.row3.data(), nullptr, a.y.data(), a.mask.data());
                  }});
  jobs.push_back({"norm_of_bfloat16.backward", 3 * half + kCount / 8, 5 * kCount, [&](const Kernels& k) {
                    k.norm_of_bfloat16.backward(kRows, kCols, a.half.data(), a.half2.data(), a.mask.data(),
                                                a.row.data(), a.row2.data(), a.row3.data(), a.row4.data(),
                                                a.half2.data());
                  }});
  jobs.push_back({"matmul_bfloat16.tile", 0, 2.0 * 84 * 96 * 256,
                  [&](const Kernels& k) { half_product(k.matmul_bfloat16, a); },
                  [](const Kernels& k) { return k.matmul_bfloat16.lanes > 0; }});
}

void matmul_codes_jobs(Jobs& jobs, Arrays& a) {
  constexpr double flops = 2.0 * 84 * 96 * 256;
  jobs.push_back({"matmul_codes.tile", 0, flops,
                  [&](const Kernels& k) { code_product(k.matmul_codes.by_unsigned, a.codes.data(), a); }});
  jobs.push_back({"matmul_codes.tile (signed)", 0, flops,
                  [&](const Kernels& k) { code_product(k.matmul_codes.by_signed, a.signed_codes.data(), a); }});
  jobs.push_back({"matmul_codes.pack", 2.0 * 32 * 576, 0, [&](const Kernels& k) {
                    k.matmul_codes.by_unsigned.pack(32, 32, 576 / kernels::kCodesPerStep, a.signed_codes.data(), 576,
                                                    reinterpret_cast<std::int8_t*>(a.y.data()));
                  }});
}

void bits_jobs(Jobs& jobs, Arrays& a) {
  auto* words = reinterpret_cast<std::uint64_t*>(a.words.data());
  const auto job = [&](const char* name, double bytes, auto call) { jobs.push_back({name, bytes, 0, call}); };
  job("bits.split", kCount * 5 / 4,
      [&a, words](const Kernels& k) { k.bits.split(2, kRows, kCols, a.codes.data(), words); });
  job("bits.levels", 2 * kCount, [&a](const Kernels& k) {
    k.bits.levels(kElements, -1, 1, 1, a.signed_codes.data(), reinterpret_cast<std::uint8_t*>(a.y.data()));
  });
  job("bits.threshold", 5 * kCount, [&a](const Kernels& k) {
    const auto* sums = reinterpret_cast<const std::int32_t*>(a.x.data());
    k.bits.threshold(kElements, 1, sums, sums, sums, 0, a.codes.data());
  });
  job("bits.compare", 12.125 * kCount, [&a, words](const Kernels& k) {
    const auto* sums = reinterpret_cast<const std::int32_t*>(a.x.data());
    k.bits.compare(kElements, sums, reinterpret_cast<const std::int32_t*>(a.y.data()), sums, words);
  });
  job("bits.line", 13 * kCount, [&a](const Kernels& k) {
    k.bits.line(kElements, 15, reinterpret_cast<const std::int32_t*>(a.words.data()), a.row.data(), a.row2.data(),
                a.codes.data());
  });
  job("bits.scale", 16 * kCount, [&a](const Kernels& k) {
    k.bits.scale(kElements, reinterpret_cast<const std::int32_t*>(a.words.data()), a.row.data(), a.row2.data(),
                 a.y.data());
  });
  job("bits.expand", 4.25 * kCount / 4, [&a, words](const Kernels& k) {
    const kernels::BitProduct& bits = k.bits.one_bit;
    bits.expand(kernels::BitMatch::equal, 1, kRows / 4, kCols, words, reinterpret_cast<std::uint8_t*>(a.y.data()));
  });
  job("bits.tile", 0, [&a](const Kernels& k) { bit_tile(k.bits.one_bit, a); });
}

void codes_jobs(Jobs& jobs, Arrays& a) {
  auto* const bytes = reinterpret_cast<std::uint8_t*>(a.y.data());
  const auto job = [&](const char* name, double moved, auto call) { jobs.push_back({name, moved, 0, call}); };
  job("codes.raise", 3 * kCount,
      [&a, bytes](const Kernels& k) { k.codes.of_unsigned.raise(kElements, a.codes.data(), bytes); });
  job("codes.accumulate", 9 * kCount, [&a](const Kernels& k) {
    k.codes.of_unsigned.accumulate(kElements, a.codes.data(), reinterpret_cast<std::int32_t*>(a.words.data()));
  });
  job("codes.add", 4 * kCount, [&a, bytes](const Kernels& k) {
    k.codes.of_unsigned.add(kElements, a.codes.data(), a.codes.data(), reinterpret_cast<std::int16_t*>(bytes));
  });
  job("codes.add_scaled", 6 * kCount, [&a](const Kernels& k) {
    k.codes.of_unsigned.add_scaled(kElements, a.codes.data(), 0.5f, a.codes.data(), 0.25f, a.y.data());
  });
}

}  // namespace coarsegrad::experiments::kernel_jobs
