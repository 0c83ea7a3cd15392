"""Manager and firewall outside of the cluster: how are they started, configured and asked?"""

import json
import os
import re
import subprocess
import urllib.parse

from lab import FIREWALL, HOSTS, INTERNET, MANAGER, PODS, PROGRAMS, PUBLIC, RUN, SERVICES, at, wait

PASSWORD = "a-long-password-of-the-lab"
BARTIZAN = f"{PROGRAMS}/bartizan"
LOCAL = "/config/devices/entry[@name='localhost.localdomain']"
DATA = RUN / "manager"


class Outside:
    """Both processes."""

    def __init__(self):
        self.processes = {}
        self.key = None
        self.serial = None

    def spawn(self, name, *words, **env):
        """Starts a process in the namespace of the firewall, with its log in the state folder."""
        with (RUN / f"{name}.log").open("a") as log:
            self.processes[name] = subprocess.Popen(["nsenter", "--net=/run/netns/k8s-fw", BARTIZAN, *map(str, words)],
                                                    stdout=log, stderr=log, env={**os.environ, **env})

    def stop(self, name):
        """Ends a process at once, as a crash does."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()

    def close(self):
        """Ends both."""
        for name in list(self.processes):
            self.stop(name)

    def api(self, **parameters):
        """A request of the XML API."""
        body = urllib.parse.urlencode(parameters)
        headers = ["-H", f"X-PAN-KEY: {self.key}"] if self.key else []
        answer = at("fw", "curl", "-sSk", "--max-time", "60", *headers, f"https://{MANAGER}:8443/api/", "--data-binary", "@-",
                    stdin=body)
        if 'status="success"' not in answer:
            raise AssertionError(f"{parameters}: {answer}")
        return answer

    def put(self, place, element):
        """Sets something in the candidate."""
        self.api(type="config", action="set", xpath=place, element=element)

    def ask(self, *words):
        """A verb of the manager, as JSON."""
        env = {"BARTIZAN_SERVER": f"https://{MANAGER}:8443", "BARTIZAN_CA": str(DATA / "pki" / "ca.pem"), "BARTIZAN_KEY": self.key}
        return json.loads(at("fw", BARTIZAN, *words, "-o", "json", env=env))

    def firewall(self):
        """Starts the firewall, again too."""
        self.spawn("firewall", "firewall", "--manager", f"{MANAGER}:8443", "--port", "ethernet1/1=eth1", "--port",
                   "ethernet1/2=eth2", "--state-dir", RUN / "firewall", "--workers", "1", BARTIZAN_AUTH_KEY=self.auth_key)

    def start(self):
        """Starts manager and firewall, and waits until the one knows the other."""
        self.spawn("manager", "manager", "--data-dir", DATA, "--listen", f"{MANAGER}:8443", BARTIZAN_ADMIN_PASSWORD=PASSWORD)
        answer = wait("the manager", lambda: self.api(type="keygen", user="admin", password=PASSWORD))
        self.key = re.search(r"<key>(.*?)</key>", answer)[1]
        command = "<request><bootstrap><vm-auth-key><generate><lifetime>24</lifetime></generate></vm-auth-key></bootstrap></request>"
        self.auth_key = re.search(r"VM auth key (\S+) generated", self.api(type="op", cmd=command))[1]
        self.firewall()
        self.serial = wait("the firewall enrols", lambda: self.ask("devices")["devices"][0]["serial"])

    def commit(self):
        """Commits, pushes and waits for both."""
        self.ask("commit", "--wait")
        self.ask("push", "--wait")

    def configure(self, cluster, cluster_id, pod_ranges, web):
        """The whole configuration. `pod_ranges` are node addresses by the range of their pods, `web` is a pod that the
        internet reaches."""
        # The port of the web pod, 8080, is the same on the outside.
        template = f"{LOCAL}/template/entry[@name='lab']/config/devices/entry[@name='localhost.localdomain']"
        routes = "".join(f"<entry name='r{number}'><destination>{cidr}</destination><interface>ethernet1/1</interface>"
                         f"<nexthop><ip-address>{node}</ip-address></nexthop></entry>"
                         for number, (cidr, node) in enumerate(pod_ranges.items()))
        self.put("/config/mgt-config/devices", f"<entry name='{self.serial}'/>")
        self.put(f"{template}/network", f"""
            <profiles><interface-management-profile><entry name="health"><ping>yes</ping><https>yes</https></entry>
            </interface-management-profile></profiles>
            <interface><ethernet>
              <entry name="ethernet1/1"><layer3><ip><entry name="{FIREWALL}/24"/></ip>
                <interface-management-profile>health</interface-management-profile></layer3></entry>
              <entry name="ethernet1/2"><layer3><ip><entry name="{PUBLIC}/24"/></ip></layer3></entry>
            </ethernet></interface>
            <logical-router><entry name="lr"><vrf><entry name="default">
              <interface><member>ethernet1/1</member><member>ethernet1/2</member></interface>
              <routing-table><ip><static-route>{routes}</static-route></ip></routing-table>
            </entry></vrf></entry></logical-router>""")
        self.put(f"{template}/vsys/entry[@name='vsys1']", f"""
            <import><network><interface><member>ethernet1/1</member><member>ethernet1/2</member></interface></network></import>
            <zone><entry name="nodes"><network><layer3><member>ethernet1/1</member></layer3></network></entry>
              <entry name="internet"><network><layer3><member>ethernet1/2</member></layer3></network></entry>
              <entry name="pods"><network><layer3/></network></entry></zone>
            <traffic-object><entry name="{cluster}"><k8s-cluster><cluster-id>{cluster_id}</cluster-id>
              <cluster-cidr><member>{SERVICES}</member><member>{PODS}</member><member>{HOSTS}</member></cluster-cidr>
              <network><logical-router>lr</logical-router><zone-ingress>pods</zone-ingress>
                <interface><member>ethernet1/1</member></interface></network></k8s-cluster></entry></traffic-object>""")
        self.put(f"{LOCAL}/template-stack/entry[@name='lab']",
                 f"<templates><member>lab</member></templates><devices><entry name='{self.serial}'/></devices>")
        self.policy(cluster, web)
        self.commit()

    def policy(self, cluster, web):
        """Rules by tags, address translation, and who hears of the cluster's tags."""
        group = f"{LOCAL}/device-group/entry[@name='lab']"
        any_of = "".join(f"<{name}><member>any</member></{name}>" for name in ("destination", "application", "service"))

        def rule(name, zone, source, action):
            return (f"<entry name='{name}'><from><member>{zone}</member></from><to><member>any</member></to><source><member>"
                    f"{source}</member></source>{any_of}<action>{action}</action><log-end>yes</log-end></entry>")

        self.put(group, f"<devices><entry name='{self.serial}'/></devices>")
        groups = "".join(f"<entry name='{name}'><dynamic><filter>'k8s.cl_{cluster}.ns_{name}'</filter></dynamic></entry>"
                         for name in ("shop", "pay"))
        self.put(f"{group}/address-group", groups)
        self.put(f"{group}/pre-rulebase/security/rules", rule("of-shop", "pods", "shop", "allow") + rule("of-pay", "pods", "pay", "allow")
                 + rule("from-internet", "internet", INTERNET, "allow") + rule("from-nodes", "nodes", "any", "allow")
                 + rule("to-pods", "pods", "any", "deny"))

        def nat(name, zones, destination, service, translation):
            return (f"<entry name='{name}'><from><member>{zones[0]}</member></from><to><member>{zones[1]}</member></to>"
                    f"<source><member>any</member></source><destination><member>{destination}</member></destination>"
                    f"<service>{service}</service>{translation}</entry>")

        def by(interface):
            return (f"<source-translation><dynamic-ip-and-port><interface-address><interface>{interface}</interface>"
                    "</interface-address></dynamic-ip-and-port></source-translation>")

        self.put(f"{group}/pre-rulebase/nat/rules",
                 nat("internet", ("pods", "internet"), "any", "any", by("ethernet1/2"))
                 + nat("inbound", ("internet", "internet"), PUBLIC, "any",
                       f"<destination-translation><translated-address>{web}</translated-address></destination-translation>"))
        plugin = f"{LOCAL}/plugins/kubernetes"
        self.put(f"{plugin}/setup/notify-group/entry[@name='lab']", "<device-group><member>lab</member></device-group>")
        self.put(f"{plugin}/monitoring-definition/entry[@name='lab']",
                 f"<cluster>{cluster}</cluster><notify-group>lab</notify-group><enable>yes</enable>")

    def automate(self, cluster):
        """NetworkPolicies become rules, at once."""
        rules = f"{LOCAL}/device-group/entry[@name='lab']/pre-rulebase/security/rules"
        any_of = "".join(f"<{name}><member>any</member></{name}>" for name in ("source", "application", "service"))
        # What a pod sends to a service is decided where it arrives: at the pod behind it.
        self.put(f"{rules}/entry[@name='services']",
                 f"<from><member>pods</member></from><to><member>pods</member></to>{any_of}"
                 f"<destination><member>{SERVICES}</member></destination><action>allow</action>")
        self.api(type="config", action="move", xpath=f"{rules}/entry[@name='services']", where="top")
        self.put(f"{LOCAL}/plugins/kubernetes/policy-automation/entry[@name='{cluster}']",
                 "<device-group>lab</device-group><zone><member>pods</member></zone><place><after>services</after></place>"
                 f"<pod-cidr><member>{PODS}</member></pod-cidr><auto-commit>yes</auto-commit>")
        self.commit()

    def rule(self, policy):
        """The rules that a policy became, as the device group has them."""
        xpath = f"{LOCAL}/device-group/entry[@name='lab']/pre-rulebase/security/rules"
        rules = re.findall(r"<entry .*?</entry>", self.api(type="config", action="show", xpath=xpath), re.S)
        return [rule for rule in rules if policy in rule]

    def sessions(self):
        """Sessions of the firewall, as it shows them."""
        return at("fw", BARTIZAN, "show", "session", "all", "--socket", RUN / "firewall" / "control.sock")

    def traffic(self, query):
        """Lines of the traffic log."""
        return [line["fields"] for line in self.ask("logs", "traffic", "-q", query, "-n", "100")["lines"]]
