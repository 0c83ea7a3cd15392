"""How do the tests render the chart, and with which values?"""

import json
import os
import pathlib
import subprocess
import tempfile

import jsonschema
import yaml

HERE = pathlib.Path(__file__).resolve().parent
CHART = HERE.parent.parent / "charts" / "ai-runtime-security" / "helm"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())

CONTROLLER = {"enabled": True, "manager": "https://manager.example:8443", "cluster": "East_1",
              "apiKeySecret": {"name": "bartizan-key"}, "fingerprint": "ab" * 32, "labels": "custom",
              "labelFilters": ["shop:tier=*"], "selectors": ["web:*:all:app in (web, api)"]}

# The values of each platform and mode, as somebody would write them.
CASES = {
    "native": {"endpoints": "10.0.2.10, 10.0.2.11", "fwtrustcidr": "10.0.2.0/24"},
    "gke": {"deployTo": "gke", "endpoints": "10.2.0.5", "passiprange": "10.52.0.0/14,10.56.0.0/20", "clusterid": 2048},
    "eks": {"deployTo": "eks", "endpoints1": "10.0.1.21", "endpoints1zone": "us-east-1a", "endpoints2": "10.0.2.21",
            "endpoints2zone": "us-east-1b", "endpoints3": "10.0.3.21", "endpoints3zone": "us-east-1c",
            "cniimage": "registry.example/pan-cni@sha256:" + "0" * 64},
    "aks": {"deployTo": "aks", "endpoints": "10.1.0.4", "overrideMtu": 1400, "inspect": "all", "failureMode": "open",
            "controller": CONTROLLER},
    "openshift": {"deployTo": "openshift", "endpoints": "10.3.0.4",
                  "openshift": {"appNamespaces": ["shop", "pay"]}},
    "elsewhere": {"endpoints": "10.0.2.10", "namespace": "bartizan", "nodeSelector": {"pool": "apps"}, "crds": False,
                  "pluginUser": False, "healthCheck": {"protocol": "http", "port": 80, "path": "/unauth/php/health.php"}},
    "daemonset": {"firewall": {"mode": "daemonset"}, "clusterid": 7},
    "daemonset-managed": {"firewall": {"mode": "daemonset", "manager": "manager.example:8443",
                                       "authKeySecret": {"name": "bartizan-auth-key"}}},
    "service": {"firewall": {"mode": "service", "sessionsMax": 4194304, "setForwarding": True,
                             "autoscaling": {"min": 3, "max": 9}}},
}


class Refused(Exception):
    """What an installation was refused for."""


def merge(below, above):
    """Values over values, as Helm lays them."""
    result = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merge(result[key], value) if both else value
    return result


def values(over):
    """The chart's own values with others on top."""
    return merge(yaml.safe_load((CHART / "values.yaml").read_text()), over)


def render(over, kube="1.36.0", notes=False, objects=()):
    """The objects of an installation, or its notes; checks the values first, as Helm does."""
    wrong = sorted(error.message for error in jsonschema.Draft7Validator(SCHEMA).iter_errors(values(over)))
    if wrong:
        raise Refused("\n".join(wrong))
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "values.yaml"
        path.write_text(json.dumps(over))
        command = [os.environ["HELM_RENDER"], "-n", "kube-system", "-f", str(path), "--kube-version", kube]
        for number, one in enumerate(objects):
            at = pathlib.Path(folder) / f"object-{number}"
            at.write_text(json.dumps(one))
            command += ["--object", str(at)]
        ended = subprocess.run(command + ["--notes"] * notes + ["ai-runtime-security", str(CHART)],
                               capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Refused(ended.stderr)
    if notes:
        return ended.stdout
    return [one for one in yaml.safe_load_all(ended.stdout) if one]


def find(objects, kind, name):
    """The only object of that kind and name."""
    found = [one for one in objects if one["kind"] == kind and one["metadata"]["name"] == name]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]
