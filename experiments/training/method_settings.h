#pragma once
// The knobs of a method (quant/method.h): its name, which sets all of its parts, and each part by itself with its
// options.
#include <string>

#include "experiments/support/args.h"
#include "experiments/training/settings.h"
#include "quant/method.h"

namespace coarsegrad::experiments {

/// Adds the flags of what a deployed network is made of: weights, activations and the layers that are an exception.
void declare_quantization(Args& args, quant::Method& m);
/// Adds the flags of all parts, and --method, which sets them. --optimizer must be there already: some methods choose
/// it.
void declare(Args& args, quant::Method& m);
/// The values that the method of this name gives to these knobs. Throws UsageError for an unknown name.
Preset preset_of(const std::string& method);
/// Throws UsageError for another optimizer than the one that the method demands, if it demands one.
void expect_optimizer_of(const quant::Method& m, const OptimSettings& optim);

}  // namespace coarsegrad::experiments
