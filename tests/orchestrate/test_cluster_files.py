"""The files of `cluster/` against what will read them, as far as that can be had on one machine."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from harness.experiment import load_experiment
from harness.experiment.load import ROOT
from harness.results import Store

CLUSTER = ROOT / "cluster"
SCRIPTS = sorted(CLUSTER.glob("*.sh"))
SRUN = '#!/usr/bin/env bash\nwhile [[ "$1" == --* ]]; do echo "$1" >> "$SAID"; shift; done\nexec "$@"\n'
SCONTROL = "#!/usr/bin/env bash\nprintf 'node1\\nnode2\\n'\n"

MINE = """\
name: mine
title: one row
rows:
  - {name: one, model: i3d_r18, train: {T: 4, U: 1}, test: {U: 2, crops: 1, grouping: all}}
"""


def _yaml(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


def test_the_rayjob_has_only_fields_of_the_published_schema() -> None:
    schema = json.loads((ROOT / "tests" / "golden" / "rayjob_fields.json").read_text())
    manifest = _yaml("rayjob.yaml")
    jsonschema.validate(manifest, schema)
    manifest["spec"]["entrypiont"] = manifest["spec"].pop("entrypoint")
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(manifest, schema)


def test_the_rayjob_is_of_our_ray_and_mounts_what_it_names() -> None:
    spec = _yaml("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert f"ray=={spec['rayVersion']}\n" in (ROOT / "requirements.txt").read_text()
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert {m["name"] for m in container["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
        places = {one["value"] for one in container["env"]}
        assert places == {m["mountPath"] for m in container["volumeMounts"]}


def test_the_cluster_file_is_what_rays_launcher_takes() -> None:
    import ray.autoscaler

    folder = Path(ray.autoscaler.__file__).parent
    jsonschema.validate(_yaml("ray_cluster.yaml"), json.loads((folder / "ray-schema.json").read_text()))


def test_the_images_recipe_copies_what_is_there_and_pins_what_we_pin() -> None:
    text = (CLUSTER / "Dockerfile").read_text(encoding="utf-8")
    for copied in re.findall(r"^COPY (\S+) ", text, re.M):
        assert (ROOT / copied).exists()
    assert "-r requirements.txt" in text and re.search(r"^USER (?!root)", text, re.M)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash_and_may_be_run(script: Path) -> None:
    assert script.stat().st_mode & stat.S_IXUSR
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.slow
def test_the_slurm_script_makes_a_cluster_runs_and_ends_it(tmp_path: Path) -> None:
    """SLURM's two commands are stand-ins that run here; Ray's head and worker, the run and its end are real."""
    for name, text in (("srun", SRUN), ("scontrol", SCONTROL)):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    port = str(20000 + os.getpid() % 20000)
    environment = {
        **os.environ,
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "SAID": str(tmp_path / "said"),
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_CPUS_PER_TASK": "1",
        "RAY_PORT": port,
        "RAY_POLL_SECONDS": "0.2",
        "HARNESS_BIN": str(Path(sys.executable).parent),
        **{f"HARNESS_{name.upper()}": str(tmp_path / name) for name in ("results", "data")},
    }
    mine = tmp_path / "mine.yaml"
    mine.write_text(MINE)
    run = [str(CLUSTER / "slurm_ray.sh"), str(mine), "--profile", "smoke", "--seeds", "2"]
    ran = subprocess.run(
        run, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(Store(tmp_path / "results").done()) == 3  # two seeds, and the trunk that they start from
    said = (tmp_path / "said").read_text().split()
    assert "--nodelist=node1" in said and "--exclude=node1" in said
    left = [p for p in Path("/proc").glob("[0-9]*/cmdline") if f":{port}".encode() in _read(p)]
    assert left == [], "the cluster ends with the run"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_the_files_run_what_exists() -> None:
    job = _yaml("rayjob.yaml")["spec"]["entrypoint"].split()
    assert job[:2] == ["harness", "run"] and load_experiment(job[2])
