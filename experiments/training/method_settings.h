#pragma once
// The knobs of a method (quant/method.h): its name, which sets all of its parts, and each part by itself with its options.
#include <string>

#include "experiments/support/args.h"
#include "experiments/training/settings.h"
#include "quant/method.h"

namespace coarsegrad::experiments {

/// Weights, activations and the layers that are an exception: what a deployed network is made of.
void declare_quantization(Args& args, quant::Method& m);
/// All of it. --optimizer must be there already: some methods choose it.
void declare(Args& args, quant::Method& m);
/// The values that a method gives to these knobs, as on the command line.
Preset preset_of(const std::string& method);
/// Throws UsageError for another optimizer than the one that the method demands.
void expect_optimizer_of(const quant::Method& m, const OptimSettings& optim);

}  // namespace coarsegrad::experiments
