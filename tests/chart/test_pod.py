"""Does a firewall in a pod inspect a tunnel, with the data port that the chart sets up and its own configuration?

Three hosts in network namespaces on one bridge: a pod with the kernel's VXLAN device, the firewall's pod, a server. The
bridge is a strict one: it drops what a host sends under another's address, as many CNI plugins do.
"""

import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from support import find, render

POD, FIREWALL, SERVER = "10.9.0.2", "10.9.0.3", "10.9.0.4"
BARTIZAN = os.environ["BARTIZAN"]


class Host:
    """A network namespace, in a user namespace unless this is root's."""

    def __init__(self):
        rights = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        self.holder = subprocess.Popen(["unshare", *rights, "--net", "--", "sh", "-c", "echo up; exec sleep 300"],
                                       stdout=subprocess.PIPE, text=True)
        self.holder.stdout.readline()

    def enter(self):
        """The words before a command that runs there."""
        rights = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        return ["nsenter", "--target", str(self.holder.pid), *rights, "--net", "--"]

    def run(self, *words, check=True, text=None):
        """Runs a command there and gives what it said."""
        ended = subprocess.run([*self.enter(), *words], input=text, capture_output=True, text=True, check=False, timeout=60)
        if check and ended.returncode:
            raise AssertionError(f"{words}: {ended.stdout}{ended.stderr}")
        return ended.stdout

    def close(self):
        """Ends it with all that is in it."""
        self.holder.send_signal(signal.SIGKILL)
        self.holder.wait()
        self.holder.stdout.close()


class Pod(unittest.TestCase):
    """A firewall of `firewall.mode: service`."""

    def setUp(self):
        self.cluster = Host()
        self.addCleanup(self.cluster.close)
        self.cluster.run("ip", "link", "add", "br0", "type", "bridge")
        self.cluster.run("ip", "link", "set", "br0", "up")
        self.pod, self.firewall, self.server = (self.host(address) for address in (POD, FIREWALL, SERVER))

    def host(self, address):
        """A host on the bridge, which may use its own address only."""
        host, port = Host(), f"p{address.rsplit('.', 1)[1]}"
        self.addCleanup(host.close)
        self.cluster.run("ip", "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", str(host.holder.pid))
        self.cluster.run("ip", "link", "set", port, "master", "br0", "up")
        self.cluster.run("nft", "-f", "-", text=f"""
            add table netdev strict
            add chain netdev strict {port} {{ type filter hook ingress device {port} priority 0; }}
            add rule netdev strict {port} ip saddr != {address} counter drop
        """)
        for words in (["link", "set", "lo", "up"], ["address", "add", f"{address}/24", "dev", "eth0"], ["link", "set", "eth0", "up"]):
            host.run("ip", *words)
        return host

    def serve(self, host, *words, log=subprocess.DEVNULL):
        """Runs something there until the test ends."""
        process = subprocess.Popen([*host.enter(), *words], stderr=log)
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)

    def start(self, objects, folder):
        """What the pod's containers run, with the arguments of the chart."""
        spec = find(objects, "Deployment", "bartizan-firewall")["spec"]["template"]["spec"]
        for name in ("all", "default"):
            self.firewall.run("sysctl", "-qw", f"net.ipv4.conf.{name}.rp_filter=0", "net.ipv4.ip_forward=1")
        self.firewall.run(*spec["initContainers"][0]["command"])
        self.firewall.run(*spec["initContainers"][0]["command"])  # a restarted pod runs it again
        configuration = pathlib.Path(folder) / "firewall.xml"
        configuration.write_text(find(objects, "ConfigMap", "bartizan-firewall")["data"]["firewall.xml"])
        container = spec["containers"][0]
        words = [word.replace("/etc/bartizan/firewall.xml", str(configuration)) for word in container["args"]]
        with (pathlib.Path(folder) / "log").open("w") as log:
            self.serve(self.firewall, BARTIZAN, "firewall", *words, "--state-dir", f"{folder}/state", log=log)
        self.control = f"{folder}/state/control.sock"
        question = [BARTIZAN, *container["readinessProbe"]["exec"]["command"][1:], "--socket", self.control]
        for _ in range(100):
            if subprocess.run(question, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.1)
        raise AssertionError((pathlib.Path(folder) / "log").read_text())

    def tunnel(self, cluster_id):
        """The pod's way to the server goes through the tunnel."""
        mac = json.loads(self.pod.run("ip", "-json", "link", "show", "dev", "eth0"))[0]["address"]
        self.pod.run("ip", "link", "add", "vxlan0", "address", mac, "mtu", "1450", "type", "vxlan", "id", str(cluster_id),
                     "remote", FIREWALL, "dstport", "6080", "srcport", "6080", "6081", "dev", "eth0")
        self.pod.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.vxlan0.rp_filter=0")
        self.pod.run("ip", "link", "set", "vxlan0", "up")
        self.pod.run("ip", "route", "add", f"{SERVER}/32", "dev", "vxlan0", "src", POD)

    def test_a_tunnel_is_inspected_and_leaves_under_the_firewalls_address(self):
        over = {"firewall": {"mode": "service"}, "clusterid": 7}
        with tempfile.TemporaryDirectory() as folder:
            self.start(render(over), folder)
            self.tunnel(7)
            serve = "import http.server as h\n" \
                "class A(h.BaseHTTPRequestHandler):\n" \
                "  def do_GET(s):\n" \
                "    s.send_response(200); s.end_headers(); s.wfile.write(s.client_address[0].encode()*20000)\n" \
                "h.HTTPServer(('', 8080), A).serve_forever()"
            self.serve(self.server, sys.executable, "-c", serve)
            seen = self.pod.run("curl", "-sS", "--retry", "20", "--retry-delay", "1", "--retry-connrefused", "--max-time",
                                "30", f"http://{SERVER}:8080/")
            self.assertEqual(seen, FIREWALL * 20000)
            sessions = subprocess.run([BARTIZAN, "show", "session", "all", "--socket", self.control],
                                      capture_output=True, text=True, check=True).stdout
            self.assertIn(POD, sessions)
            self.assertIn("inspect-all", sessions)
            # The health check that node agents make.
            self.assertIn("healthy", self.server.run("curl", "-skS", "--max-time", "5", f"https://{FIREWALL}/"))


if __name__ == "__main__":
    unittest.main()
