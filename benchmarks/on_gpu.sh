#!/usr/bin/env bash
# The training core on a machine with a GPU, without Ray: its tests, then its benchmarks.
#
#   benchmarks/on_gpu.sh [--tiny] [PART ...]
#
# PART is one of tests, steps, throughput, growth, stages, trials; all of them by default. Each takes
# some minutes. It wants torch, torchvision, timm, torchmetrics, pydantic, scikit-learn, scipy, rich
# and pytest; segmentation_models_pytorch for segformer, optuna and typer for tune-slots. PYTHON
# names the Python to use (python3), MOST_S the seconds that one command may take (420). What fails
# does not keep the rest from running: the table at the end tells, also which targets were met.
# Figures of benchmarks go to benchmarks/results.
set -uo pipefail
export PYTHONUNBUFFERED=1
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3} MOST_S=${MOST_S:-420}
TINY='' KEEP=--keep ROWS=()
PARTS=(tests steps throughput growth stages trials)

run() { # run NAME COMMAND...: one row of the table
    local name=$1 began=$SECONDS said code met
    shift
    echo "== $*"
    said=$(mktemp)
    timeout "$MOST_S" "$PYTHON" "$@" 2>&1 | tee "$said"
    code=${PIPESTATUS[0]} met=$(tail -n 1 "$said" | grep -o '"met": [a-z]*')
    rm -f "$said"
    ROWS+=("$(printf '%4d s  exit %3d  %-13s %s' $((SECONDS - began)) "$code" "$met" "$name")")
}

bench() { # bench NAME OPTION...
    local name=$1
    shift
    run "$name $*" -m "benchmarks.$name" "$@" $TINY
}

part() {
    local fast=(--precision bf16 --channels-last) model
    case $1 in
    tests) run tests -m pytest -q -m gpu tests/training ;;
    steps)
        bench core_overhead
        bench core_overhead --batch 8 --steps 60
        bench state $KEEP
        ;;
    throughput)
        for model in resnet50 edgenext_small segformer dsr; do
            bench throughput --model $model --rounds 12 "${fast[@]}" $KEEP
        done
        bench throughput --rounds 8 $KEEP
        ;;
    growth)
        for model in resnet50 edgenext_small segformer dsr; do
            bench throughput --model $model --rounds 8 "${fast[@]}" --batches 16,32,64,128,256 $KEEP
        done
        ;;
    stages)
        bench frozen $KEEP
        bench frozen_parts --model resnet50 --size 224 --batch 64
        ;;
    trials)
        bench fused --rounds 6 $KEEP
        bench compiled --size 224 $KEEP
        "$PYTHON" -c 'import optuna, typer' || return 0
        run tune-slots -m thaw tune-slots unfreeze_timing --set model=resnet18 --set image_size=96 \
            --most "${TINY:+2}${KEEP:+8}"
        ;;
    esac
}

[ "${1:-}" != --tiny ] || { TINY=--tiny && KEEP='' && shift; }
[ $# -gt 0 ] || set -- "${PARTS[@]}"
for name in "$@"; do
    [[ " ${PARTS[*]} " == *" $name "* ]] || {
        echo "on_gpu: PART: one of ${PARTS[*]}, got $name" >&2
        exit 2
    }
done
for name in "$@"; do part "$name"; done
printf '%s\n' "" "${ROWS[@]}"
