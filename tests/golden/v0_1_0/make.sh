#!/bin/sh
# Make the files of this folder anew, in an empty folder, with the version of latticear that `python` imports.
set -e
export OMP_NUM_THREADS=1

latticear() {
    python -c 'import sys; sys.argv[0] = "latticear"; from latticear.cli import app; app()' "$@"
}

tiny="--set training.steps=12 --set training.batch_size=16 --set training.checkpoint_every=4"
pixelcnn="--set model.width=4 --set model.depth=2"
multiscale="--set model.name=multiscale --set model.width=4 --set model.depth=1 --set model.n_taps=4"

# interrupted: what a kill after the checkpoint of step 8 leaves
latticear train --size 4 --temperature 2.269 $pixelcnn $tiny --out pixelcnn
rm -r pixelcnn/checkpoints/step-12
latticear estimate pixelcnn -n 2000
latticear sample pixelcnn -n 40 --seed 4 -o samples.h5
latticear mc --size 4 --temperature 2.269 --method swendsen-wang --thinning 2 --chains 2 -n 60 -o mc.h5
mkdir checkpoint
cp -r pixelcnn/checkpoints/step-8 checkpoint/

# finished
latticear train --size 4 --temperature 2.269 $multiscale --set training.n_monte_carlo=60 $tiny --out multiscale
latticear estimate multiscale -n 2000 --method is
python - <<'PYTHON'
import h5py
import latticear as la

tokens, labels = la.glyphs(40, (8, 8), 2, characters="01")
with h5py.File("pictures.h5", "w") as h5:
    h5["spins"], h5["condition"] = tokens.numpy(), labels.numpy()
with h5py.File("couplings.h5", "w") as h5:
    h5["couplings"] = la.EdwardsAndersonDisorder((4, 4)).draw(2).numpy()
PYTHON
latticear train --data pictures.h5 --levels 2 $pixelcnn $tiny --out grid
latticear estimate grid
latticear train --size 4 --temperature 1.5:3.5 $pixelcnn $tiny --out range
latticear estimate range --temperature 2.1 -n 2000
latticear train --size 4 --temperature 1 --set hamiltonian.name=edwards_anderson_disorder $pixelcnn $tiny --out disorder
latticear estimate disorder --instance couplings.h5 --index 1 -n 2000

# unfinished: of two points the first is done
latticear scan --size 4 --temperature 2:2.6:2 -n 200 --chains 1 $pixelcnn $tiny --out scan
rm -r scan/4x4/T2 scan/points/4x4-T2.json scan/table.* scan/scan.png

# no place outside this folder
sed -i "s#$(pwd -P)/##" grid/run.toml grid/estimates.json disorder/estimates.json

# small: older checkpoints go, and what only an unfinished training needs; so does the name of the machine's system
rm -r multiscale/checkpoints/step-8 scan/4x4/T2.6/checkpoints/step-8
for run in grid range disorder; do rm -r $run/checkpoints/step-8 $run/checkpoints/step-12/trainer.pt; done
rm checkpoint/step-8/trainer.pt scan/4x4/T2.6/checkpoints/step-12/trainer.pt
for file in $(find . -name environment.json); do
    python -c "
import json, sys
content = json.load(open(sys.argv[1]))
del content['platform']
open(sys.argv[1], 'w').write(json.dumps(content, indent=2) + '\n')" "$file"
done
