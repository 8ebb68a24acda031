#!/usr/bin/env bash
# Tries on this machine, without a GPU, that what prepare.sh gathered is whole: run.sh in a copy of the working tree, in
# an empty home and without a network, on the CPU and with tiny work.
#
#   RMR1_PEERS_PYTHON=~/.cache/rm-r1-peers/venv/bin/python benchmarks/cuda/rehearse.sh [--only PART,PART] …
#
# Options are run.sh's. Without RMR1_PEERS_PYTHON, python3 must have PyTorch and transformers.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${RMR1_PEERS_PYTHON:-$(command -v python3)}
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
mkdir -p "$place"/{home,tree}
git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --directory "$place/tree"
cp -r .cuda-kit "$place/tree/"
env --ignore-environment PATH=/usr/local/bin:/usr/bin:/bin HOME="$place/home" RMR1_CUDA_KIT="$place/kit" \
  RMR1_PEERS_PYTHON="$python" unshare --net bash "$place/tree/benchmarks/cuda/run.sh" --out "$place/out" \
  --device cpu --tiny "$@"
