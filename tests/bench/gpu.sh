#!/usr/bin/env bash
# What only a GPU can tell, in one go, under ten minutes: `tests/bench/gpu.sh OUT.json [MINUTES]`.
# Without a GPU the same steps run on the CPU with tiny settings, as a rehearsal.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${PYTHON:-python3}
"$python" tests/bench/gpu.py "${1:-gpu.json}" --minutes "${2:-8}"
"$python" -m pytest -m gpu
