// Trains a network, float or quantized, from a configuration; goes on where it was broken off.
//   train --config experiments/configs/coarsegrad/train_resnet20_float.json --out results/resnet20.h5
#include "experiments/training/train_program.h"

int main(int argc, char** argv) { return coarsegrad::experiments::train_program(argc, argv); }
