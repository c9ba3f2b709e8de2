#!/usr/bin/env bash
# Step 6: train, break off, go on, judge, and see what a network is made of. usage: train_resume_evaluate.sh BIN
set -euo pipefail
bin=$1
training=(--method bcgd --dataset drawn_digits --images 600 --held-out 100 --net lenet5 --batch 20 --epochs 4 --quiet)

# The same command goes on where it was broken off; after the same number of steps the weights are the same bits.
"$bin/train" "${training[@]}" --save-steps 1 --out run.h5 &
while [[ ! -s run.checkpoint ]]; do sleep 0.01; done
kill -INT $! && wait $! || echo "broken off with exit code $?"
"$bin/train" "${training[@]}" --save-steps 1 --out run.h5
"$bin/train" "${training[@]}" --save-steps 1 --out whole.h5 >/dev/null
cmp run.last.safetensors whole.last.safetensors && echo "the same network as in one go"

# The file says how its network is made, which images it has not seen, and what it reached.
"$bin/evaluate" run.best.safetensors --dataset drawn_digits
"$bin/summary" run.best.safetensors --out summary.h5
