#!/usr/bin/env bash
# Train for some minutes on a machine that has PyTorch and a GPU but no network.
#
#   scripts/train_offline.sh CONFIG MINUTES OUT [--set section.name=value ...]
#
# Reads wheels from $WHEELS (default: wheels/) and videos from $DATA (default: data/, with train/
# and val/). A run found in OUT/checkpoint.pt, or else $FROM, is resumed. Afterwards OUT holds
# checkpoint.pt, weights.safetensors, log.jsonl, validation/*.png and train.log.
set -euo pipefail
config=$1 minutes=$2 out=$3
shift 3
wheels=${WHEELS:-wheels} data=${DATA:-data}

if ! python3 -c 'import av, tyro, pydantic, safetensors, skimage, cv2, tqdm' 2>/dev/null; then
    python3 -m pip install --quiet --no-index --find-links "$wheels" \
        av tyro pydantic safetensors scikit-image opencv-python tqdm
fi
mkdir -p "$out"
if [ -n "${FROM:-}" ] && [ ! -f "$out/checkpoint.pt" ]; then cp "$FROM" "$out/checkpoint.pt"; fi
resume=()
if [ -f "$out/checkpoint.pt" ]; then resume=(--resume); fi
python3 -m vsr train "$config" "${resume[@]}" \
    --set data.train="$data/train" --set data.val="$data/val" --set data.cache="$data/frames" \
    --set data.workers=8 --set run.output="$out" --set run.max_minutes="$minutes" "$@" \
    2>&1 | tee -i "$out/train.log"
