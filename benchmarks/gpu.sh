#!/bin/sh
# Proves and measures streamvsr on an NVIDIA GPU in six minutes, without a network: see gpu.py.
#
#     sh benchmarks/gpu.sh --fetch wheels --python 3.12     # beforehand, where a package index can be reached
#     sh benchmarks/gpu.sh --wheels wheels --out gpu.jsonl  # on the machine with the card
exec "${PYTHON:-python3}" "$(dirname "$0")/gpu.py" "$@"
