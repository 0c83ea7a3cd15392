"""A real cluster with the chart: what the firewall sees, what it does not, and what is left when it goes.

The tests run in the order of their names, on one cluster.
"""

import json
import os
import pathlib
import socket
import subprocess
import time
import unittest

from lab import (FIREWALL, HOSTS, INTERNET, MANAGER, MAPS, NODES, PODS, PUBLIC, ROOT, RUN, SERVICES, apply, at, chart, delete, get, kubectl,
                 outside, outside_down, run, tool, wait)
from outside import BARTIZAN, DATA, Outside

CLUSTER, CLUSTER_ID = "lab", 7
ANNOTATED = {"paloaltonetworks.com/firewall": "pan-fw"}
# shop is annotated; pay, too, and stays open when firewalls are gone; plain is not, but one pod of it is.
PLACES = {"shop": ANNOTATED, "pay": {**ANNOTATED, "bartizan.io/failure-mode": "open"}, "plain": {}}
# What a web server says: from which address it was asked.
ANSWER = "mkdir -p /tmp/www/cgi-bin; printf '#!/bin/sh\\necho; echo $REMOTE_ADDR\\n' > /tmp/www/cgi-bin/who; " \
         "chmod +x /tmp/www/cgi-bin/who; echo up > /tmp/www/index.html; exec httpd -f -p 8080 -h /tmp/www"


def pod(place, name, node, annotations=None):
    """A pod with a web server, which its node probes."""
    return {"apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": place, "labels": {"app": name}, "annotations": annotations or {}},
            "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [{
                "name": "web", "image": "lab.local/host:1", "imagePullPolicy": "Never", "command": ["/bin/sh", "-c", ANSWER],
                "ports": [{"containerPort": 8080}],
                "readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1, "failureThreshold": 2},
                "livenessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 2, "failureThreshold": 5}}]}}


def policy(name, pods, ingress, labels=None):
    """A NetworkPolicy of the namespace `shop`."""
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": {"name": name, "namespace": "shop", "labels": labels or {}},
            "spec": {"podSelector": {"matchLabels": pods}, "policyTypes": ["Ingress"], "ingress": ingress}}


def state(place, name):
    """What became of a policy, by condition."""
    found = get("firewallpolicystates", "-n", place, name)
    return {one["type"]: one["status"] for one in found["status"]["conditions"]}


def address(place, name):
    """A pod's address."""
    return get("pod", "-n", place, name)["status"]["podIP"]


def restarts(place, name):
    """How often its node took it for dead."""
    return get("pod", "-n", place, name)["status"]["containerStatuses"][0]["restartCount"]


def fetch(place, name, target, seconds=5, check=True):
    """What a pod gets from a web server: the address that the server saw."""
    return plain(kubectl("exec", "-n", place, name, "--", "curl", "-sS", "--max-time", str(seconds),
                         f"http://{target}/cgi-bin/who", check=check))


def plain(said):
    """The server listens for both families, and says an IPv4 address as `[::ffff:…]`."""
    return said.strip().strip("[]").removeprefix("::ffff:")


def ready(*names):
    """Waits until pods are ready, by the probes of their nodes."""
    for name in names:
        place, one = name.split("/")
        kubectl("wait", "-n", place, "--for=condition=Ready", f"pod/{one}", "--timeout=90s", "--request-timeout=0")


class Cluster(unittest.TestCase):
    """From nothing to nothing."""

    @classmethod
    def setUpClass(cls):
        cls.outside = Outside()
        RUN.mkdir(parents=True, exist_ok=True)
        outside_down()
        tool("wipe")
        try:
            tool("up", " ".join(NODES))
            outside()
            cls.outside.start()
        except BaseException:
            cls.tearDownClass()
            raise

    @classmethod
    def tearDownClass(cls):
        if os.environ.get("KEEP"):
            return
        cls.outside.close()
        outside_down()
        tool("wipe")

    def pods(self, *all_of):
        """Makes pods and waits for their probes."""
        apply([pod(*one) for one in all_of])
        ready(*(f"{one[0]}/{one[1]}" for one in all_of))

    def test_01_the_chart_installs(self):
        ranges = {node["spec"]["podCIDR"]: node["status"]["addresses"][0]["address"] for node in get("nodes")["items"]}
        kubectl("create", "secret", "generic", "-n", "kube-system", "bartizan-key", f"--from-literal=key={type(self).outside.key}")
        kubectl("create", "secret", "generic", "-n", "kube-system", "bartizan-ca", f"--from-file=ca.pem={DATA}/pki/ca.pem")
        values = {"endpoints": FIREWALL, "fwtrustcidr": f"{FIREWALL}/32", "clusterid": CLUSTER_ID,
                  "cniimage": "lab.local/pan-cni:1",
                  "controller": {"enabled": True, "image": "lab.local/bartizan:1", "replicas": 1, "cluster": CLUSTER,
                                 "manager": f"https://{MANAGER}:8443", "apiKeySecret": {"name": "bartizan-key"},
                                 "caSecret": {"name": "bartizan-ca"}}}
        type(self).objects = chart(values)
        began = time.monotonic()
        type(self).values = values
        apply(type(self).objects)
        kubectl("rollout", "status", "-n", "kube-system", "daemonset/pan-cni", "--timeout=120s", "--request-timeout=0")
        print(f"node agents ready after {time.monotonic() - began:.1f} s")
        kubectl("rollout", "status", "-n", "kube-system", "deployment/bartizan-controller", "--timeout=120s", "--request-timeout=0")
        self.assertEqual(len([one for one in get("pods", "-n", "kube-system")["items"]
                              if one["metadata"]["name"].startswith("pan-cni-")]), len(NODES))
        for place, annotations in PLACES.items():
            apply([{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": place, "annotations": annotations}}])
            wait("its service account", lambda: get("serviceaccount", "-n", place, "default"))
        # The pod that the internet reaches is there before the configuration, which names its address.
        apply([pod("shop", "a", "n1")])
        web = wait("an address", lambda: address("shop", "a"))
        type(self).outside.configure(CLUSTER, CLUSTER_ID, ranges, web)

    def test_02_probes_of_inspected_pods_are_green(self):
        self.pods(("shop", "a", "n1"), ("shop", "b", "n1"), ("shop", "c", "n2"), ("pay", "d", "n2"),
                  ("plain", "e", "n1"), ("plain", "f", "n2"), ("plain", "g", "n1", ANNOTATED))
        time.sleep(6)
        for place, name in [("shop", "a"), ("shop", "c"), ("pay", "d"), ("plain", "g")]:
            self.assertEqual(restarts(place, name), 0, name)
        apply([{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "c", "namespace": "shop"},
                "spec": {"selector": {"app": "c"}, "ports": [{"port": 80, "targetPort": 8080}]}}])

    def test_03_the_firewall_sees_inspected_pods_by_their_own_address(self):
        a, b, c = (address("shop", name) for name in "abc")
        d = address("pay", "d")
        wait("tags reach the firewall", lambda: fetch("shop", "a", f"{b}:8080"), 60)
        flows = [("same node", "shop", "a", f"{b}:8080", a), ("other node", "shop", "a", f"{c}:8080", a),
                 ("other namespace", "pay", "d", f"{a}:8080", d)]
        for what, place, name, target, source in flows:
            with self.subTest(what):
                self.assertEqual(fetch(place, name, target), source)
                self.assert_logged(source, target.split(":")[0], f"of-{place}")
        with self.subTest("service"):
            service = get("service", "-n", "shop", "c")["spec"]["clusterIP"]
            seen = wait("the service", lambda: fetch("shop", "a", service), 30)
            self.assertEqual(seen, a, "the pod behind it sees who asks")
            self.assert_logged(a, service, "of-shop")
        with self.subTest("internet"):
            server = self.internet_server()
            try:
                seen = wait("the internet", lambda: fetch("shop", "a", f"{INTERNET}:8080"), 30)
                self.assertEqual(seen, PUBLIC)
                self.assert_logged(a, INTERNET, "of-shop")
            finally:
                server.kill()
                server.wait()
        with self.subTest("from the internet"):
            seen = plain(at("inet", "curl", "-sS", "--max-time", "5", f"http://{PUBLIC}:8080/cgi-bin/who"))
            self.assertEqual(seen, INTERNET)
            self.assert_logged(INTERNET, PUBLIC, "from-internet")

    def internet_server(self):
        """A web server on the internet."""
        server = subprocess.Popen(["nsenter", "--net=/run/netns/k8s-inet", "busybox", "sh", "-c",
                                   ANSWER.replace("/tmp/www", f"{RUN}/www").replace("exec httpd", "exec busybox httpd")])
        wait("the server", lambda: at("inet", "curl", "-sS", f"http://{INTERNET}:8080/"))
        return server

    def assert_logged(self, source, destination, rule):
        """The firewall logged a flow with both addresses, the pods' zone or the internet's, the rule by its tag, the pod's
        tags, and the cluster's id: of what comes from the internet, once the pod's node has said whose it is."""
        query = f"( addr.src in {source} ) and ( addr.dst in {destination} ) and ( rule eq {rule} )"
        lines = wait(f"a log line: {query}", lambda: type(self).outside.traffic(query), 60)
        self.assertIn(lines[0]["from"], ("pods", "internet"))
        if source != INTERNET:
            self.assertEqual(lines[0]["k8s_cluster_id"], str(CLUSTER_ID))
            self.assertIn(f".ns_{rule.removeprefix('of-')}", lines[0]["src_tags"])

    def test_04_what_is_not_annotated_is_left_alone(self):
        e, f = address("plain", "e"), address("plain", "f")
        self.assertEqual(fetch("plain", "e", f"{f}:8080"), e)
        self.assertNotIn(e, type(self).outside.sessions())
        words = at("n1", "ip", "-o", "link")
        self.assertNotIn("vxlan", words)

    def test_05_coverage_and_doctor_say_so(self):
        for name in [("shop", "a"), ("shop", "b"), ("shop", "c"), ("pay", "d"), ("plain", "g")]:
            wait(f"{name} is told", lambda: self.coverage()[name]["inspected"], 30)
        by_name = self.coverage()
        self.assertFalse(by_name["plain", "e"]["inspected"])
        self.assertTrue(by_name["plain", "e"]["reason"])
        env = {"BARTIZAN_SERVER": f"https://{MANAGER}:8443", "BARTIZAN_CA": f"{DATA}/pki/ca.pem", "BARTIZAN_KEY": type(self).outside.key}
        # Both the cluster and the manager are reached from there.
        kubeconfig = (RUN / "admin-local.conf").read_text().replace("https://127.0.0.1:16443", "https://10.250.0.1:6443")
        (RUN / "admin-fw.conf").write_text(kubeconfig)
        walked = json.loads(at("fw", BARTIZAN, "k8s", "doctor", "shop/a", "--to", INTERNET, "--port", "8080", "-o", "json",
                               "--kubeconfig", RUN / "admin-fw.conf", env=env))
        self.assertEqual({(one["check"], one["state"]) for one in walked["checks"]},
                         {(check, "ok") for check in ("pod", "annotation", "plugin", "tunnel", "endpoint", "traffic object",
                                                      "zone", "rule", "services")})

    def coverage(self):
        """Pods by namespace and name."""
        listed = json.loads(run(BARTIZAN, "k8s", "coverage", "--all", "-o", "json", "--kubeconfig", RUN / "admin-local.conf", check=False))
        return {(one["namespace"], one["name"]): one for one in listed["pods"]}

    def test_06_a_firewall_that_is_gone_is_noticed_within_three_seconds(self):
        b, c, f = address("shop", "b"), address("shop", "c"), address("plain", "f")
        type(self).outside.stop("firewall")
        gone = time.monotonic()
        wait("open: it passes", lambda: fetch("pay", "d", f"{f}:8080", 1), 10, 0.1)
        print(f"open after {time.monotonic() - gone:.1f} s")
        self.assertLess(time.monotonic() - gone, 4, "three seconds, and what asking takes")
        self.assertEqual(fetch("shop", "a", f"{c}:8080", 1, check=False), "", "closed: nothing passes")
        self.assertEqual(fetch("shop", "a", f"{b}:8080", 2, check=False), "", "closed stays closed")
        ready("shop/a", "pay/d")
        type(self).outside.firewall()
        back = time.monotonic()
        wait("it passes again", lambda: fetch("shop", "a", f"{c}:8080", 2), 30)
        print(f"inspected again {time.monotonic() - back:.1f} s after the firewall's start")

    def test_07_a_policy_is_enforced_and_told(self):
        """The sample that denies all, a policy with a firewall's attributes, and none again."""
        b = address("shop", "b")
        fetch("shop", "a", f"{b}:8080")
        type(self).outside.automate(CLUSTER)
        wait("the rules of a cluster without policies", lambda: fetch("shop", "a", f"{b}:8080"))
        deny = policy("deny-all", {}, [])
        allow = policy("a-to-b", {"app": "b"}, [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}],
                                                 "ports": [{"port": 8080}]}], {"np.panw.com/vuln-protection": "strict"})
        for one, reached in ((deny, False), (allow, True)):
            name = one["metadata"]["name"]
            apply([one])
            began = time.monotonic()
            self.assertTrue(wait(f"{name} is enforced", lambda: state("shop", name)["Enforced"] == "True", 30, 0.05))
            print(f"{name}: told as enforced {time.monotonic() - began:.2f} s after kubectl apply returned")
            self.assertEqual(fetch("shop", "a", f"{b}:8080", 2, check=False) != "", reached)
        [rule] = type(self).outside.rule("shop/a-to-b")
        self.assertIn("<vulnerability><member>strict</member></vulnerability>", rule.replace("\n", ""))
        self.assertEqual(fetch("shop", "c", f"{b}:8080", 2, check=False), "", "c is nobody that b hears")
        print(kubectl("get", "firewallpolicystates", "-n", "shop"))
        delete([deny, allow])
        wait("nothing is refused any more", lambda: fetch("shop", "c", f"{b}:8080", 2), 30)
        self.assertEqual(type(self).outside.rule("shop/a-to-b"), [])

    def test_08_firewalls_run_in_the_cluster(self):
        """One on each node, then a deployment; neither has a manager, all is allowed and logged."""
        a, b, c = (address("shop", name) for name in "abc")
        f = address("plain", "f")
        for mode, workload, owner, more in (("daemonset", "daemonset", "DaemonSet", {"clusterCidr": f"{SERVICES},{PODS},{HOSTS}"}),
                                            ("service", "deployment", "ReplicaSet", {"autoscaling": {"min": 1, "max": 2}})):
            firewall = {"mode": mode, "image": "lab.local/bartizan:1", "setForwarding": True, **more}
            objects = chart({**type(self).values, "endpoints": "", "fwtrustcidr": "", "firewall": firewall})
            self.replace(objects)
            for one in (f"{workload}/bartizan-firewall", "daemonset/pan-cni"):
                kubectl("rollout", "status", "-n", "kube-system", one, "--timeout=120s", "--request-timeout=0")
            wait("firewalls of before end", lambda: {one["metadata"]["ownerReferences"][0]["kind"] for one in self.firewalls()} == {owner},
                 90)
            ready("shop/a", "shop/b", "shop/c")
            for what, target in (("same node", b), ("other node", c), ("not inspected", f)):
                with self.subTest(f"{mode}: {what}"):
                    seen = wait(f"{mode}: {what}", lambda: fetch("shop", "a", f"{target}:8080", 2), 60)
                    own = {one["status"]["podIP"] for one in self.firewalls()}
                    self.assertIn(seen, {a} if mode == "daemonset" else own)
                    wait("its session", lambda: any(a in line and target in line for line in self.seen()), 5)
        self.replace(chart(type(self).values))
        wait("firewalls of before end", lambda: not self.firewalls(), 90)
        kubectl("rollout", "status", "-n", "kube-system", "daemonset/pan-cni", "--timeout=120s", "--request-timeout=0")
        wait("it passes by the firewall outside again", lambda: fetch("shop", "a", f"{c}:8080", 2), 60)

    def replace(self, objects):
        """As an upgrade of the release does: what is no more in it goes."""
        names = {(one["kind"], one["metadata"]["name"]) for one in objects}
        gone = [one for one in type(self).objects if (one["kind"], one["metadata"]["name"]) not in names]
        apply(objects)
        if gone:
            delete(gone)
        type(self).objects = objects

    def firewalls(self):
        """The firewalls' pods."""
        return get("pods", "-n", "kube-system", "-l", "app.kubernetes.io/component=firewall")["items"]

    def seen(self):
        """Sessions of all firewalls in the cluster, a line each."""
        return [line for one in self.firewalls()
                for line in kubectl("exec", "-n", "kube-system", one["metadata"]["name"], "--", "bartizan", "show", "session",
                                    "all").splitlines()]

    @unittest.skipUnless((E2E := pathlib.Path(os.environ["K8S_BIN"]) / "e2e.test").exists(), "K8S_BIN has no e2e.test")
    def test_09_the_networkpolicy_cases_of_kubernetes_pass(self):
        """With every pod inspected but those of the system."""
        self.replace(chart({**type(self).values, "inspect": "all", "excludeNamespaces": ["kube-system", "plain"]}))
        kubectl("rollout", "status", "-n", "kube-system", "daemonset/pan-cni", "--timeout=120s", "--request-timeout=0")
        skip = []
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP).close()
        except OSError as error:
            print(f"without the cases whose pods speak SCTP, which this kernel does not: {error}")
            skip = ["--ginkgo.skip=SCTPConnectivity"]
        ended = subprocess.run([self.E2E, *skip, "--provider=local", f"--kubeconfig={RUN}/admin-local.conf", "--ginkgo.noColor",
                                "--minStartupPods=0", "--allowed-not-ready-nodes=1",
                                "--ginkgo.focus=" + os.environ.get("E2E_FOCUS", "NetworkPolicy between server and client")],
                               capture_output=True, text=True, check=False, timeout=3600)
        # Not with the cluster's state, which goes with it.
        log = ROOT / "target" / "e2e.log"
        log.parent.mkdir(exist_ok=True)
        log.write_text(ended.stdout + ended.stderr)
        print(*[line for line in ended.stdout.splitlines() if line.startswith(("Ran ", "PASS", "FAIL", "[Fail]"))], sep="\n")
        self.assertEqual(ended.returncode, 0, f"see {log}")

    def test_10_nothing_is_left(self):
        delete(type(self).objects)
        for node in NODES:
            folder = RUN / f"node-{node}"
            names = [path.name for path in (folder / "cni").iterdir()]
            self.assertEqual(names, ["10-lab.conflist"])
            plugins = json.loads((folder / "cni" / names[0]).read_text())["plugins"]
            self.assertEqual([one["type"] for one in plugins], ["bridge", "portmap"])
            self.assertFalse((folder / "cnibin" / "pan-cni").exists())
        self.pods(("shop", "h", "n1"))
        self.assertEqual(fetch("shop", "h", f"{address('plain', 'f')}:8080"), address("shop", "h"))
        for place in PLACES:
            kubectl("delete", "namespace", place, "--wait", "--timeout=120s", "--request-timeout=0")
        for node in NODES:
            self.assertFalse((MAPS / node).exists())
        left = kubectl("get", "all,endpointslices,configmaps,secrets,roles,rolebindings", "-n", "kube-system", "-o", "name")
        self.assertFalse([line for line in left.splitlines() if "pan-" in line or "bartizan-controller" in line], left)


if __name__ == "__main__":
    unittest.main()
