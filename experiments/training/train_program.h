#pragma once
// The program `train`: trains a network, float or quantized, by flags or from a configuration. Beside the log FILE.h5
// it keeps FILE.checkpoint, from which the same command goes on, and, once it is done, FILE.best.safetensors (best
// held-out accuracy), FILE.last.safetensors and, after a guided training, FILE.partner.safetensors; FILE is --out
// without a final .h5 or .hdf5.
namespace coarsegrad::experiments {

/// The whole main() of `train`; returns the exit code (experiments/support/run.h). Flags, configurations and help know
/// the methods and parts, with their options, that a program has registered before.
int train_program(int argc, const char* const* argv);

}  // namespace coarsegrad::experiments
