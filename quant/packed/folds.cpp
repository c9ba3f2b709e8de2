#include "quant/packed/folds.h"

#include <algorithm>
#include <cmath>

#include "core/base/parallel.h"
#include "core/compute/code_sweeps.h"
#include "core/compute/norm.h"
#include "quant/packed/operations.h"

namespace coarsegrad::packed {
namespace {

constexpr int kMostThresholds = 15, kMostCompared = 2;
constexpr std::size_t kMostInner = 16;  // nodes that are made one inside the other where a fold cannot be carried out
constexpr std::int64_t kMostChannels = 1 << 16;                 // that thresholds are found for
constexpr std::int64_t kMostSum = (std::int64_t{1} << 24) - 1;  // floats hold all whole numbers up to it

// What both kinds of quantizers are asked for.
struct Quantizer {
  const Operation& operation;

  template <class F>
  auto with(F f) const {
    if (const auto* o = std::get_if<Quantize>(&operation)) return f(*o);
    return f(std::get<Levels>(operation));
  }
  BitCode code() const {
    return with([](const auto& o) { return kind_of(o).code; });
  }
  int lowest() const { return std::holds_alternative<Quantize>(operation) ? code().low : -highest(); }
  int highest() const {
    return with([](const auto& o) { return highest_code(o); });
  }
  int levels() const { return (highest() - code().low) / code().step; }
  void encode(std::int64_t n, const float* x, std::uint8_t* codes) const {
    with([&](const auto& o) { packed::encode(o, n, x, codes); });
  }
  int code_of_number(float x) const {
    std::uint8_t byte;
    encode(1, &x, &byte);
    return code().low < 0 ? static_cast<std::int8_t>(byte) : byte;
  }
  // Whether codes are the same where numbers below `lower` are raised to it; above `upper` likewise.
  bool ignores_below(float lower) const { return code_of_number(lower) == lowest(); }
  bool ignores_above(float upper) const { return code_of_number(upper) == highest(); }
};

// Passes over bounds that the quantizer has, too; those are noted in `inner`.
int behind_bounds(const Nodes& nodes, const Quantizer& quantizer, int at, std::vector<int>& inner) {
  for (;; inner.push_back(at), at = nodes.node(at).inputs[0]) {
    if (!nodes.alone(at) || inner.size() == kMostInner) return at;
    const Operation& operation = nodes.node(at).operation;
    if (std::holds_alternative<Relu>(operation) && quantizer.ignores_below(0)) continue;
    const auto* clamp = std::get_if<Clamp>(&operation);
    if (clamp && quantizer.ignores_below(clamp->lower) && quantizer.ignores_above(clamp->upper)) continue;
    return at;
  }
}

// From a product to a quantizer: normalisations before and behind a pooling.
struct Chain {
  int product = -1, pool = -1;
  std::vector<int> inner = {}, before = {}, behind = {};  // the latter two in the order of the pass
};

std::optional<Chain> chain_to(const Nodes& nodes, const Quantizer& quantizer, int at) {
  Chain chain;
  at = behind_bounds(nodes, quantizer, at, chain.inner);
  for (; nodes.alone(at) && chain.inner.size() < kMostInner; chain.inner.push_back(at), at = nodes.node(at).inputs[0]) {
    if (nodes.product(at)) {
      chain.product = at;
      chain.inner.push_back(at);
      return chain;
    }
    const Operation& operation = nodes.node(at).operation;
    if (std::holds_alternative<Norm>(operation)) {
      std::vector<int>& norms = chain.pool < 0 ? chain.behind : chain.before;
      norms.insert(norms.begin(), at);
    } else if (std::holds_alternative<MaxPool>(operation) && chain.pool < 0) {
      chain.pool = at;
    } else {
      return {};
    }
  }
  return {};
}

// What the quantizer reads where these are the sums: a pooling hands one of them on.
void values_of_sums(const Nodes& nodes, const Chain& chain, std::int64_t rows, const float* sums, float* values) {
  const Product& product = *nodes.product(chain.product);
  product.outputs_of_sums(rows, sums, values);
  for (const auto* norms : {&chain.before, &chain.behind})
    for (const int number : *norms) {
      const Norm& o = std::get<Norm>(nodes.node(number).operation);
      batch_norm_apply<float>(rows, product.channels(), values,
                              {o.mean.data(), o.factor.data(), nullptr, o.shift.empty() ? nullptr : o.shift.data()},
                              values);
    }
}

bool fits(const Nodes& nodes, const Chain& chain, const SumRange& range) {
  const std::int64_t channels = nodes.product(chain.product)->channels();
  if (channels > kMostChannels || range.lowest < -kMostSum || range.highest > kMostSum) return false;
  std::vector<float> ends(static_cast<std::size_t>(2 * channels), static_cast<float>(range.lowest));
  std::fill(ends.begin() + channels, ends.end(), static_cast<float>(range.highest));
  std::vector<float> values(ends.size());
  values_of_sums(nodes, chain, 2, ends.data(), values.data());
  return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

// Channels in which codes fall while what comes out of the pooling rises.
std::vector<std::uint8_t> falling_channels(const Nodes& nodes, const Chain& chain) {
  std::vector<std::uint8_t> falls(static_cast<std::size_t>(nodes.product(chain.product)->channels()));
  for (const int number : chain.behind) {
    const Norm& o = std::get<Norm>(nodes.node(number).operation);
    for (std::size_t c = 0; c < falls.size(); ++c) falls[c] ^= std::signbit(o.factor[c]) ? 1 : 0;
  }
  return falls;
}

// Levels, those of turned channels from the highest one down, as values of a code, in place.
void to_values(const BitCode& code, int count, const std::vector<std::uint8_t>& turned, std::int64_t pixels,
               std::int64_t channels, std::uint8_t* levels) {
  parallel_ranges(
      pixels, std::max(kTaskElements / channels, std::int64_t{1}), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t p = begin; p < end; ++p)
          for (std::int64_t c = 0; c < channels; ++c) {
            std::uint8_t& level = levels[p * channels + c];
            const int own = !turned.empty() && turned[static_cast<std::size_t>(c)] != 0 ? count - level : level;
            level = static_cast<std::uint8_t>(code.low + code.step * own);
          }
      });
}

}  // namespace

std::optional<LevelsOfSums> levels_of_sums(const Nodes& nodes, int number) {
  const Quantizer quantizer{nodes.node(number).operation};
  const auto chain = chain_to(nodes, quantizer, nodes.node(number).inputs[0]);
  if (!chain || quantizer.levels() > kMostThresholds) return {};
  const Product& product = *nodes.product(chain->product);
  if (product.kernel() == ProductKernel::floats) return {};
  const SumRange range = product.sums();
  if (!fits(nodes, *chain, range)) return {};
  const std::int64_t channels = product.channels();
  LevelsOfSums found{chain->product, chain->pool, chain->inner, {}, range};
  found.thresholds = find_thresholds(channels, quantizer.code(), quantizer.highest(), range,
                                     [&](std::int64_t rows, const float* sums, std::uint8_t* codes) {
                                       std::vector<float> values(static_cast<std::size_t>(rows * channels));
                                       values_of_sums(nodes, *chain, rows, sums, values.data());
                                       quantizer.encode(rows * channels, values.data(), codes);
                                     });
  if (chain->pool >= 0) found.turned = falling_channels(nodes, *chain);
  if (std::ranges::none_of(found.turned, [](std::uint8_t t) { return t != 0; })) found.turned.clear();
  return found;
}

std::optional<ThresholdFold> threshold_fold(const Nodes& nodes, int number) {
  auto found = levels_of_sums(nodes, number);
  if (!found) return {};
  if (!found->turned.empty()) turn(found->thresholds, found->turned);
  ThresholdFold fold{found->product, found->pool, std::move(found->inner),
                     bit_thresholds(found->thresholds, found->range), std::move(found->turned)};
  const bool is_fast = fold.thresholds.is_line() || fold.thresholds.count() <= kMostCompared;
  if (nodes.product(fold.product)->kernel() == ProductKernel::bytes && !is_fast) return {};
  return fold;
}

Value ThresholdFold::run(const Nodes& nodes, const Value& x, const Target& to) const {
  const Product& of = *nodes.product(product);
  const BitCode& code = to.kind.code;
  const bool whole = code.bits == thresholds.bits();  // planes of the levels are those of the codes
  const Shape sums = of.output_shape(x.shape()[0]);
  if (pool < 0 && to.kind.form == Form::planes && whole) {
    Value y = to.value(sums, to.kind);
    of.planes(x, thresholds, y.planes());
    return y;
  }
  const Kind bytes = to.kind.in(Form::bytes);
  Value y;
  if (pool < 0) {
    y = to.value(sums, bytes);
    of.levels(x, thresholds, y.codes());
  } else {
    const Scratch<std::uint8_t> all(static_cast<std::size_t>(sums.numel()));
    of.levels(x, thresholds, all.data());
    const PoolShape s = pool_shape(std::get<MaxPool>(nodes.node(pool).operation), sums[0], sample_of(sums));
    y = to.value({s.batch, s.out_height(), s.out_width(), s.channels}, bytes);
    max_pool_codes(s, all.data(), y.codes());
  }
  if (!turned.empty() || code.low != 0)
    to_values(code, thresholds.count(), turned, y.pixels(), y.channels(), y.codes());
  return to.of(y);
}

std::optional<ExpressionFold> expression_fold(const Nodes& nodes, int number) {
  const Operation& operation = nodes.node(number).operation;
  if (!std::holds_alternative<Quantize>(operation)) return {};
  ExpressionFold fold{-1, -1};
  const int at = behind_bounds(nodes, {operation}, nodes.node(number).inputs[0], fold.inner);
  const auto is_norm = [&](int n) { return std::holds_alternative<Norm>(nodes.node(n).operation) && nodes.alone(n); };
  if (std::holds_alternative<Add>(nodes.node(at).operation) && nodes.alone(at)) {
    const auto& terms = nodes.node(at).inputs;
    const std::size_t norm = is_norm(terms[0]) ? 0 : 1;
    if (!is_norm(terms[norm])) return {};
    fold.norm = terms[norm];
    fold.add = terms[1 - norm];
    fold.inner.push_back(at);
  } else if (is_norm(at)) {
    fold.norm = at;
  } else {
    return {};
  }
  fold.from = nodes.node(fold.norm).inputs[0];
  fold.inner.push_back(fold.norm);
  return fold;
}

}  // namespace coarsegrad::packed
