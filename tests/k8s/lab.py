"""How does the cluster of the test come up, and how is it asked?

The nodes are network namespaces on one file system, so what the chart mounts from a node's root is a folder of the
cluster's state here, with the node's name in it (`for_lab`). Manager and firewall are on the nodes' network, in a
namespace of their own, and so is the internet behind the firewall.
"""

import json
import os
import pathlib
import subprocess
import sys
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS, PROGRAMS = pathlib.Path(os.environ["K8S_TOOLS"]), pathlib.Path(os.environ["PROGRAMS"])
RUN = pathlib.Path(os.environ.get("K8S_RUN", "/tmp/bartizan-k8s"))
NODES = ["n1", "n2"]
MANAGER, FIREWALL = "10.250.0.50", "10.250.0.100"
PUBLIC, INTERNET = "203.0.113.1", "203.0.113.10"
SERVICES, PODS, HOSTS = "10.96.0.0/16", "10.244.0.0/16", "10.250.0.0/24"
MAPS = RUN / "bpf"
CHART = ROOT / "charts" / "ai-runtime-security" / "helm"

sys.path.insert(0, str(ROOT / "tests" / "chart"))


def run(*words, check=True, stdin=None, env=None, timeout=600):
    """Runs a command and gives its output; what it said is in the failure."""
    ended = subprocess.run([str(word) for word in words], input=stdin, capture_output=True, text=True, check=False,
                           timeout=timeout, env={**os.environ, **(env or {})})
    if check and ended.returncode:
        raise AssertionError(f"{words} ended with {ended.returncode}:\n{ended.stdout}{ended.stderr}")
    return ended.stdout


def wait(what, question, seconds=60, pause=0.2):
    """Waits until a question is answered by something true, and gives that; a failure tells the last reason."""
    end, last = time.monotonic() + seconds, None
    while time.monotonic() < end:
        try:
            answer = question()
            if answer:
                return answer
        except (AssertionError, KeyError, ValueError, IndexError) as error:
            last = error
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {seconds} s: {last}")


def at(host, *words, **more):
    """Runs a command in a host's network namespace."""
    return run("nsenter", f"--net=/run/netns/k8s-{host}", *words, **more)


def kubectl(*words, **more):
    """Asks the cluster."""
    return run("kubectl", "--cache-dir", RUN / "kubectl", "--kubeconfig", RUN / "admin-local.conf",
               "--request-timeout=60s", *words, **more)


def get(*words):
    """Objects of the cluster, as JSON."""
    return json.loads(kubectl("get", *words, "-o", "json"))


def archive(name, *words):
    """An image's archive."""
    path = RUN / "images" / f"{name}.tar"
    path.parent.mkdir(parents=True, exist_ok=True)
    run(ROOT / "scripts" / "image-archive", path, *words)
    return path


def images():
    """All images of the lab, and the one that Kubernetes' own tests start."""
    busybox = ["--file", "/bin/busybox=/bin/busybox"]
    for tool in ["sh", "cat", "echo", "ip", "sed", "sleep", "httpd", "mkdir", "chmod", "true"]:
        busybox += ["--link", f"bin/{tool}=busybox"]
    agnhost = pathlib.Path(os.environ["K8S_BIN"]) / "agnhost"
    tests = [archive("agnhost", "k8s.gcr.io/e2e-test-images/agnhost:2.21", "--file", f"{agnhost}=/agnhost", "--file",
                     "/bin/busybox=/bin/busybox", "--link", "bin/sh=busybox", "--link", "bin/seq=busybox", "--link",
                     "bin/sleep=busybox", "--", "/agnhost")] if agnhost.exists() else []
    return tests + [
        archive("pause", "lab.local/pause:1", "--file", "/bin/busybox=/bin/busybox", "--", "/bin/busybox", "sleep", "100000000"),
        archive("host", "lab.local/host:1", *busybox, "--file", "/usr/bin/curl=/usr/bin/curl", "--", "/bin/sh"),
        archive("pan-cni", "lab.local/pan-cni:1", "--file", f"{PROGRAMS}/bartizan-cni=/bartizan-cni", "--", "/bartizan-cni"),
        # Debian's programs, as in the image of images/bartizan: busybox's shell would take its own `ip`.
        archive("bartizan", "lab.local/bartizan:1", "--file", f"{PROGRAMS}/bartizan=/usr/local/bin/bartizan",
                *(word for path in ("/bin/sh", "/bin/cat", "/bin/sed", "/sbin/ip", "/usr/sbin/nft")
                  for word in ("--file", f"{path}={path}")), "--user", "65532", "--", "bartizan"),
    ]


def tool(*words):
    """Runs the script that has the cluster."""
    env = {"K8S_RUN": str(RUN), "IMAGES": " ".join(str(path) for path in images()) if words[0] == "up" else ""}
    return run(TOOLS / "k8s-lab.sh", *words, env=env)


def link(host, name, peer_host, peer):
    """A cable between two hosts."""
    run("ip", "link", "add", name, "netns", f"k8s-{host}", "type", "veth", "peer", "name", peer, "netns", f"k8s-{peer_host}")
    at(host, "ip", "link", "set", name, "up")
    at(peer_host, "ip", "link", "set", peer, "up")


def outside():
    """The hosts outside of the cluster: one for manager and firewall, the internet."""
    for host in ("fw", "inet"):
        run("ip", "netns", "add", f"k8s-{host}")
        at(host, "ip", "link", "set", "lo", "up")
    for device, peer in (("eth0", "vfw0"), ("eth1", "vfw1")):
        link("fw", device, "cp", peer)
        at("cp", "ip", "link", "set", peer, "master", "br0")
    link("fw", "eth2", "inet", "eth0")
    at("fw", "ip", "address", "add", f"{MANAGER}/24", "dev", "eth0")
    at("fw", "ip", "route", "add", "default", "via", "10.250.0.1")
    # Answers for eth0 come out of eth0 only, also for the firewall's devices beside it.
    at("fw", "sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1", "net.ipv4.ip_forward=0")
    at("inet", "ip", "address", "add", f"{INTERNET}/24", "dev", "eth0")
    # Plugin and node agent meet there. Not in /sys/fs/bpf: it is the machine's, and need not be a shared mount here.
    MAPS.mkdir(parents=True, exist_ok=True)
    run("mount", "-t", "bpf", "bpf", MAPS)


def outside_down():
    """Removes them with all that runs there."""
    for host in ("fw", "inet"):
        for process in run("ip", "netns", "pids", f"k8s-{host}", check=False).split():
            run("kill", "-9", process, check=False)
        run("ip", "netns", "del", f"k8s-{host}", check=False)
    run("umount", MAPS, check=False)


def for_lab(objects):
    """The chart's objects for nodes that share a file system, and a runtime that is older than CAP_BPF."""
    place = f"{RUN}/node-$(MY_NODE_NAME)"
    config = next(one for one in objects if one["metadata"]["name"] == "pan-cni-config")
    config = json.loads(config["data"]["cni_network_config"])
    config.update(appinfo_dir=f"{place}/pan-appinfo", state_dir=f"{place}/pan-cni", bpf_dir=f"{MAPS}/$(MY_NODE_NAME)")
    config["kubernetes"]["cni_bin_dir"] = f"{place}/cnibin"
    values = {"HOST_CNI_NET_DIR": f"{place}/cni", "CNI_NET_DIR": f"{place}/cni", "HOST_CNI_BIN_DIR": f"{place}/cnibin",
              "CNI_BIN_DIR": f"{place}/cnibin", "CNI_NETWORK_CONFIG": json.dumps(config)}
    for one in objects:
        if one["kind"] == "DaemonSet" and one["metadata"]["name"] == "pan-cni":
            spec = one["spec"]["template"]["spec"]
            spec["securityContext"] = {}
            container = spec["containers"][0]
            for number, variable in enumerate(container["env"]):
                if variable["name"] in values:
                    container["env"][number] = {"name": variable["name"], "value": values[variable["name"]]}
            # A variable knows those before it.
            container["env"].sort(key=lambda variable: variable["name"] != "MY_NODE_NAME")
            container["volumeMounts"] = [{"name": "lab", "mountPath": str(RUN)}]
            spec["volumes"] = [{"name": "lab", "hostPath": {"path": str(RUN)}}]
    return objects


def chart(values):
    """Renders the chart for this cluster."""
    # Its own import: it wants the renderer's path in the environment.
    from support import render  # pylint: disable=import-outside-toplevel
    version = json.loads(kubectl("get", "--raw", "/version"))["gitVersion"]
    return for_lab(render(values, version.lstrip("v").split("-")[0].split("+")[0]))


def apply(objects):
    """Has the cluster make objects."""
    kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(objects))


def delete(objects):
    """Has the cluster remove objects, and waits until they are gone."""
    kubectl("delete", "--ignore-not-found", "--wait", "--timeout=120s", "-f", "-", stdin=yaml.safe_dump_all(objects))
