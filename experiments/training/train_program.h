#pragma once
// The program `train`: a network, float or quantized, trained by flags or from a configuration. Beside the log FILE.h5 it
// keeps FILE.checkpoint, from which the same command goes on, and, once it is done, FILE.best.safetensors (best held-out
// accuracy) and FILE.last.safetensors; FILE is --out without a final .h5 or .hdf5.
namespace coarsegrad::experiments {

/// The whole of its main(). What a program has registered before, methods and parts with their options, its flags,
/// configurations and help know, too. Returns the exit code (experiments/support/run.h).
int train_program(int argc, const char* const* argv);

}  // namespace coarsegrad::experiments
