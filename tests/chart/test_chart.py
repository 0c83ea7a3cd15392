"""Are the chart's objects those that the documents name, and does it refuse what it should?"""

import base64
import json
import pathlib
import ssl
import subprocess
import sys
import tempfile
import unittest

import jsonschema
import kubernetes_validate
import yaml

from support import CASES, CHART, HERE, SCHEMA, Refused, find, render, values

VERSIONS = [f"1.{minor}" for minor in range(30, 37)]
# The schemas have no custom resources, and the scan knows none.
CUSTOM = {"NetworkAttachmentDefinition"}


def container(pod):
    """The first container of a workload."""
    return pod["spec"]["template"]["spec"]["containers"][0]


def shake(client, server, host):
    """A TLS handshake in memory, as a client that knows the authority does it."""
    pipes = [ssl.MemoryBIO() for _ in range(4)]
    ends = [client.wrap_bio(pipes[0], pipes[1], server_hostname=host), server.wrap_bio(pipes[2], pipes[3], server_side=True)]
    for _ in range(4):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                pass
            pipes[2].write(pipes[1].read())
            pipes[0].write(pipes[3].read())
    assert ends[0].version() and ends[0].getpeercert()


def configuration(objects):
    """What the plugin is configured with."""
    return json.loads(find(objects, "ConfigMap", "pan-cni-config")["data"]["cni_network_config"])


class Objects(unittest.TestCase):
    """What an installation is made of."""

    def test_every_platform_fits_the_schemas_of_the_versions_that_are_supported(self):
        for name, over in CASES.items():
            for version in VERSIONS:
                for one in render(over, f"{version}.0"):
                    with self.subTest(case=name, version=version, kind=one["kind"]):
                        if one["kind"] not in CUSTOM:
                            kubernetes_validate.validate(one, version, strict=True)

    def test_the_chart_is_the_one_of_the_verification_step(self):
        about = yaml.safe_load((CHART / "Chart.yaml").read_text())
        self.assertEqual(f"{about['name']}-{about['version']} {about['appVersion']}", "ai-runtime-security-0.1.0 11.2.2")
        self.assertEqual((CHART.parent.name, CHART.name), ("ai-runtime-security", "helm"))

    def test_what_the_verification_steps_look_for_is_there(self):
        objects = render(CASES["native"])
        for kind, name in [("DaemonSet", "pan-cni"), ("ServiceAccount", "pan-cni-sa"), ("Service", "pan-cni-sa"),
                           ("Secret", "pan-plugin-user-secret"), ("Service", "pan-plugin-user-secret"),
                           ("Service", "pan-ngfw-svc"), ("EndpointSlice", "pan-ngfw-svc-endpoints"),
                           ("CustomResourceDefinition", "portinfos.paloaltonetworks.com"),
                           ("CustomResourceDefinition", "subnetinfos.paloaltonetworks.com")]:
            one = find(objects, kind, name)
            if kind != "CustomResourceDefinition":
                self.assertEqual(one["metadata"]["namespace"], "kube-system")
        for name in ["pan-cni-sa", "pan-plugin-user-secret"]:
            service = find(objects, "Service", name)["spec"]
            self.assertEqual((service["type"], service["ports"][0]["port"]), ("ClusterIP", 443))
        port = find(objects, "Service", "pan-ngfw-svc")["spec"]["ports"][0]
        self.assertEqual((port["port"], port["protocol"]), (6080, "UDP"))

    def test_each_zone_has_its_endpoint_which_says_that_it_is_ready(self):
        piece = find(render(CASES["eks"]), "EndpointSlice", "pan-ngfw-svc-endpoints")
        self.assertEqual(piece["apiVersion"], "discovery.k8s.io/v1")
        self.assertEqual(piece["metadata"]["labels"]["kubernetes.io/service-name"], "pan-ngfw-svc")
        self.assertEqual(piece["ports"], [{"name": "vxlan", "port": 6080, "protocol": "UDP"}])
        expected = [("10.0.1.21", "us-east-1a"), ("10.0.2.21", "us-east-1b"), ("10.0.3.21", "us-east-1c")]
        self.assertEqual([(one["addresses"][0], one["zone"]) for one in piece["endpoints"]], expected)
        for one in piece["endpoints"]:
            self.assertEqual(one["conditions"], {"ready": True, "serving": True, "terminating": False})
            self.assertEqual(one["hints"], {"forZones": [{"name": one["zone"]}]})

    def test_an_old_cluster_gets_the_versions_it_knows(self):
        old = find(render(CASES["eks"], "1.20.2"), "EndpointSlice", "pan-ngfw-svc-endpoints")
        self.assertEqual(old["apiVersion"], "discovery.k8s.io/v1beta1")
        self.assertEqual(old["endpoints"][0]["topology"], {"topology.kubernetes.io/zone": "us-east-1a"})
        scaler = find(render(CASES["service"], "1.20.2"), "HorizontalPodAutoscaler", "bartizan-firewall")
        self.assertEqual(scaler["apiVersion"], "autoscaling/v2beta2")
        with self.assertRaisesRegex(Refused, "1.19.0"):
            render(CASES["eks"], "1.19.0")

    def test_endpoints_are_one_address_or_several(self):
        piece = find(render(CASES["native"]), "EndpointSlice", "pan-ngfw-svc-endpoints")
        self.assertEqual([one["addresses"] for one in piece["endpoints"]], [["10.0.2.10"], ["10.0.2.11"]])
        self.assertNotIn("zone", piece["endpoints"][0])

    def test_the_plugin_is_told_what_the_values_say(self):
        told = configuration(render(CASES["aks"]))
        self.assertEqual((told["type"], told["name"], told["mode"], told["cloud"]), ("pan-cni", "pan-cni", "service", "aks"))
        self.assertEqual((told["inspect"], told["failure_mode"], told["override_mtu"]), ("all", "open", "1400"))
        self.assertEqual((told["dpservicename"], told["dpservicenamespace"]), ("pan-ngfw-svc", "kube-system"))
        told = configuration(render(CASES["gke"]))
        self.assertEqual((told["traffic_object_id"], told["firewall"]), ("2048", ["pan-fw"]))
        self.assertEqual((told["inspect"], told["failure_mode"], told["override_mtu"]), ("annotated", "closed", ""))
        self.assertEqual((told["health_check_port"], told.get("health_check_path")), ("443", None))
        self.assertEqual(told["passiprange"], "10.52.0.0/14,10.56.0.0/20")
        self.assertEqual(told["kubernetes"]["cni_bin_dir"], "/home/kubernetes/bin")
        told = configuration(render(CASES["elsewhere"]))
        self.assertEqual((told["health_check_port"], told["health_check_path"]), ("80", "/unauth/php/health.php"))
        self.assertEqual(told["kubernetes"]["security_namespaces"], ["bartizan"])

    def test_the_node_agent_runs_on_all_nodes_that_are_selected(self):
        spec = find(render(CASES["elsewhere"]), "DaemonSet", "pan-cni")["spec"]["template"]["spec"]
        self.assertEqual(spec["nodeSelector"], {"kubernetes.io/os": "linux", "pool": "apps"})
        self.assertEqual(spec["tolerations"], [{"operator": "Exists"}])
        spec = find(render(CASES["native"]), "DaemonSet", "pan-cni")["spec"]
        self.assertEqual(spec["updateStrategy"]["rollingUpdate"], {"maxUnavailable": "100%"})
        self.assertEqual(spec["template"]["metadata"]["annotations"]["paloaltonetworks.com/app"], "pan-cni")

    def test_images_and_namespace_are_those_of_the_values(self):
        self.assertEqual(container(find(render(CASES["eks"]), "DaemonSet", "pan-cni"))["image"], CASES["eks"]["cniimage"])
        for one in render(CASES["elsewhere"]):
            self.assertEqual(one["metadata"].get("namespace", "bartizan"), "bartizan", one["kind"])
        kinds = {one["kind"] for one in render(CASES["elsewhere"])}
        self.assertFalse(kinds & {"CustomResourceDefinition", "Secret"})

    def test_only_openshift_is_privileged(self):
        for name, over in CASES.items():
            pod = container(find(render(over), "DaemonSet", "pan-cni"))["securityContext"]
            with self.subTest(case=name):
                self.assertEqual(pod.get("privileged", False), name == "openshift")
                if name != "openshift":
                    self.assertEqual(pod["capabilities"], {"drop": ["ALL"], "add": ["BPF", "DAC_OVERRIDE", "NET_ADMIN"]})

    def test_openshift_has_what_multus_needs(self):
        objects = render(CASES["openshift"])
        places = [one["metadata"]["namespace"] for one in objects if one["kind"] == "NetworkAttachmentDefinition"]
        self.assertEqual(places, ["shop", "pay"])
        agent = container(find(objects, "DaemonSet", "pan-cni"))
        env = {one["name"]: one.get("value") for one in agent["env"]}
        self.assertEqual((env["CHAINED_CNI_PLUGIN"], env["CNI_NET_DIR"], env["CNI_BIN_DIR"]),
                         ("false", "/etc/cni/multus/net.d", "/var/lib/cni/bin"))
        self.assertEqual(configuration(objects)["cloudcni"], "openshift")
        rules = find(objects, "Role", "pan-cni-role")["rules"]
        self.assertIn("securitycontextconstraints", [name for rule in rules for name in rule["resources"]])

    def test_nobody_may_change_pods_or_read_secrets(self):
        for name, over in CASES.items():
            for role in [one for one in render(over) if one["kind"] in ("ClusterRole", "Role")]:
                for rule in role["rules"]:
                    with self.subTest(case=name, role=role["metadata"]["name"], rule=rule):
                        words = rule["verbs"] + rule["resources"] + rule["apiGroups"]
                        self.assertNotIn("*", words)
                        self.assertNotIn("secrets", rule["resources"])
                        if "pods" in rule["resources"]:
                            self.assertLessEqual(set(rule["verbs"]), {"get", "list", "watch"})

    def test_the_controller_has_its_flags_and_no_rights_on_its_node(self):
        objects = render(CASES["aks"])
        pod = container(find(objects, "Deployment", "bartizan-controller"))
        self.assertEqual(pod["command"] + pod["args"], [
            "bartizan", "controller", "--manager=https://manager.example:8443",
            "--api-key-file=/etc/bartizan/key/key", "--fingerprint=" + "ab" * 32, "--cluster=East_1", "--cluster-id=1",
            "--labels=custom", "--label=shop:tier=*", "--selector=web:*:all:app in (web, api)", "--ttl=900",
            "--lease=kube-system/bartizan-controller-east-1", "--listen=0.0.0.0:9405", "--webhook-listen=0.0.0.0:9443",
            "--webhook-certificate=/etc/bartizan/webhook/tls.crt", "--webhook-key=/etc/bartizan/webhook/tls.key"])
        self.assertEqual((pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["capabilities"]),
                         (True, {"drop": ["ALL"]}))
        lease = find(objects, "Role", "bartizan-controller")["rules"][1]
        self.assertEqual(lease["resourceNames"], ["bartizan-controller-east-1"])
        self.assertNotIn("Deployment", {one["kind"] for one in render(CASES["native"])})

    def test_the_state_of_policies_is_printed_and_only_the_controller_writes_it(self):
        objects = render(CASES["aks"])
        for plural, scope, short in [("firewallpolicystates", "Namespaced", "fps"),
                                     ("clusterfirewallpolicystates", "Cluster", "cfps")]:
            spec = find(objects, "CustomResourceDefinition", f"{plural}.bartizan.io")["spec"]
            self.assertEqual((spec["scope"], spec["names"]["shortNames"]), (scope, [short]))
            version = spec["versions"][0]
            self.assertEqual(version["subresources"], {"status": {}})
            self.assertEqual([one["name"] for one in version["additionalPrinterColumns"] if not one.get("priority")],
                             ["Translated", "Committed", "Enforced", "Rules", "Incident", "Age"])
        rules = find(objects, "ClusterRole", "bartizan-controller")["rules"]
        may = {(name, verb) for rule in rules for name in rule["resources"] for verb in rule["verbs"]}
        self.assertLessEqual({("networkpolicies", "watch"), ("clusternetworkpolicies", "list"), ("events", "create"),
                              ("firewallpolicystates", "create"), ("firewallpolicystates/status", "patch")}, may)
        changed = {name for name, verb in may if verb not in ("get", "list", "watch")}
        self.assertEqual(changed, {"events"} | {name for name, _ in may if "policystates" in name})
        names = {one["metadata"]["name"] for one in render(CASES["native"])}
        self.assertFalse({name for name in names if name.endswith("bartizan.io")})

    def test_the_webhook_has_a_certificate_that_stays(self):
        objects = render(CASES["aks"])
        secret = find(objects, "Secret", "bartizan-controller-webhook")
        hook = find(objects, "ValidatingWebhookConfiguration", "bartizan-controller")["webhooks"][0]
        self.assertEqual(hook["clientConfig"]["caBundle"], secret["data"]["ca.crt"])
        self.assertEqual((hook["failurePolicy"], hook["sideEffects"], hook["timeoutSeconds"]), ("Ignore", "None", 5))
        for name in ("ca.crt", "tls.crt"):
            self.assertIn(b"BEGIN CERTIFICATE", base64.b64decode(secret["data"][name]))
        with tempfile.TemporaryDirectory() as folder:
            for name, text in secret["data"].items():
                (pathlib.Path(folder) / name).write_bytes(base64.b64decode(text))
            known = ssl.create_default_context(cafile=f"{folder}/ca.crt")
            server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            server.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
            shake(known, server, "bartizan-controller-webhook.kube-system.svc")
        service = find(objects, "Service", "bartizan-controller-webhook")["spec"]
        pod = container(find(objects, "Deployment", "bartizan-controller"))
        self.assertIn(service["ports"][0]["targetPort"], [port["name"] for port in pod["ports"]])
        again = render(CASES["aks"], objects=[secret])
        self.assertEqual(find(again, "Secret", "bartizan-controller-webhook")["data"], secret["data"])
        self.assertNotEqual(find(render(CASES["aks"]), "Secret", "bartizan-controller-webhook")["data"], secret["data"])

    def test_the_webhook_may_have_another_certificate_or_not_be_there(self):
        own = {"certSecret": "mine", "caBundle": "QQ==", "failurePolicy": "Fail", "namespaceSelector": {"matchLabels": {"a": "b"}}}
        objects = render({**CASES["aks"], "controller": {**CASES["aks"]["controller"], "webhook": own}})
        hook = find(objects, "ValidatingWebhookConfiguration", "bartizan-controller")["webhooks"][0]
        self.assertEqual((hook["failurePolicy"], hook["clientConfig"]["caBundle"]), ("Fail", "QQ=="))
        self.assertEqual(hook["namespaceSelector"], {"matchLabels": {"a": "b"}})
        self.assertFalse([one for one in objects if one["kind"] == "Secret" and "webhook" in one["metadata"]["name"]])
        volumes = find(objects, "Deployment", "bartizan-controller")["spec"]["template"]["spec"]["volumes"]
        self.assertIn("mine", [one["secret"]["secretName"] for one in volumes])
        objects = render({**CASES["aks"], "controller": {**CASES["aks"]["controller"], "webhook": {"enabled": False}}})
        self.assertFalse({"ValidatingWebhookConfiguration"} & {one["kind"] for one in objects})
        pod = container(find(objects, "Deployment", "bartizan-controller"))
        self.assertFalse([word for word in pod["args"] if "webhook" in word])

    def test_firewalls_in_the_cluster_are_found_by_their_pods(self):
        for mode, kind in [("daemonset", "DaemonSet"), ("service", "Deployment")]:
            objects = render(CASES[mode])
            workload = find(objects, kind, "bartizan-firewall")
            service = find(objects, "Service", "pan-ngfw-svc")["spec"]
            labels = workload["spec"]["template"]["metadata"]["labels"]
            self.assertLessEqual(service["selector"].items(), labels.items())
            self.assertFalse([one for one in objects if one["kind"] == "EndpointSlice"])
            self.assertEqual(workload["spec"]["selector"]["matchLabels"], service["selector"])
            self.assertEqual(container(workload)["args"][0], "--config=/etc/bartizan/firewall.xml")
        self.assertIn("--sessions-max=4194304", container(find(objects, "Deployment", "bartizan-firewall"))["args"])
        scaler = find(objects, "HorizontalPodAutoscaler", "bartizan-firewall")["spec"]
        self.assertEqual((scaler["minReplicas"], scaler["maxReplicas"]), (3, 9))
        self.assertNotIn("replicas", find(objects, "Deployment", "bartizan-firewall")["spec"])

    def test_a_managed_firewall_enrols_and_keeps_its_number(self):
        objects = render(CASES["daemonset-managed"])
        spec = find(objects, "DaemonSet", "bartizan-firewall")["spec"]["template"]["spec"]
        self.assertEqual(spec["containers"][0]["args"][0], "--manager=manager.example:8443")
        self.assertEqual(spec["containers"][0]["env"][0]["valueFrom"]["secretKeyRef"]["name"], "bartizan-auth-key")
        self.assertEqual(spec["volumes"][0]["hostPath"]["path"], "/var/lib/bartizan-firewall")
        self.assertFalse([one for one in objects if one["metadata"]["name"] == "bartizan-firewall" and one["kind"] == "ConfigMap"])

    def test_a_configuration_of_ones_own_is_taken_and_changes_restart_the_firewalls(self):
        own = {"firewall": {"mode": "service", "config": "<config>\n  <mine/>\n</config>\n"}}
        first, second = render(own), render(CASES["service"])
        self.assertEqual(find(first, "ConfigMap", "bartizan-firewall")["data"]["firewall.xml"].strip(),
                         own["firewall"]["config"].strip())
        sums = [find(objects, "Deployment", "bartizan-firewall")["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
                for objects in (first, second)]
        self.assertNotEqual(*sums)

    def test_the_ranges_of_the_cluster_are_in_the_configuration(self):
        ranges = {"firewall": {"mode": "daemonset", "clusterCidr": "10.96.0.0/16, 10.244.0.0/16"}}
        text = find(render(ranges), "ConfigMap", "bartizan-firewall")["data"]["firewall.xml"]
        self.assertIn("<cluster-cidr><member>10.96.0.0/16</member><member>10.244.0.0/16</member></cluster-cidr>", text)
        text = find(render(CASES["daemonset"]), "ConfigMap", "bartizan-firewall")["data"]["firewall.xml"]
        self.assertNotIn("cluster-cidr", text)

    def test_the_notes_name_the_firewalls_and_the_next_step(self):
        notes = render(CASES["eks"], notes=True)
        self.assertIn("Firewalls: 10.0.1.21 (us-east-1a), 10.0.2.21 (us-east-1b), 10.0.3.21 (us-east-1c).", notes)
        self.assertIn("kubectl annotate namespace default paloaltonetworks.com/firewall=pan-fw", notes)
        self.assertIn("traffic object with cluster-id 1", notes)


class Refusals(unittest.TestCase):
    """What no installation is made of."""

    def refused(self, over, pattern, **more):
        with self.subTest(over=over):
            with self.assertRaisesRegex(Refused, pattern):
                render(over, **more)

    def test_the_schema_refuses_bad_values(self):
        good = {"endpoints": "10.0.0.1"}
        for over, pattern in [({"clusterid": 0}, "minimum of 1"), ({"clusterid": 2049}, "maximum of 2048"),
                              ({"clusterid": "1"}, "integer"), ({"deployTo": "autopilot"}, "not one of"),
                              ({"clusterId": 1}, "clusterId"), ({"endpoint": "10.0.0.1"}, "'endpoint'"),
                              ({"endpoints0": "10.0.0.1"}, "endpoints0"), ({"endpoints": "firewall.example"}, "does not match"),
                              ({"endpoints": "10.0.0.1,,"}, "does not match"), ({"endpoints1": "10.0.0.256"}, "does not match"),
                              ({"fwtrustcidr": "10.0.0.0/33"}, "does not match"), ({"failureMode": "fail"}, "not one of"),
                              ({"cniimage": ""}, "non-empty|too short"), ({"firewall": {"mode": "vm"}}, "not one of"),
                              ({"controller": {"cluster": "a" * 21}}, "does not match"), ({"controller": {"urls": 1}}, "unexpected"),
                              ({"healthCheck": {"port": 70000}}, "maximum"), ({"namespace": "Kube"}, "does not match")]:
            self.refused({**good, **over}, pattern)

    def test_a_letter_says_what_the_schema_cannot(self):
        zones = {"endpoints1": "10.0.0.1", "endpoints1zone": "a"}
        for over, pattern in [({}, "No firewall is named"),
                              ({**zones, "endpoints2zone": "b"}, "`endpoints2zone` names the zone b, but `endpoints2` is empty"),
                              ({**zones, "firewall": {"clusterCidr": "10.0.0.0/8"}}, "write the ranges into `cluster-cidr`"),
                              ({**zones, "endpoints7zone": "b"}, "there is no `endpoints7`"),
                              ({**zones, "endpoints2": "10.0.0.1", "endpoints2zone": "b"}, "both are 10.0.0.1"),
                              ({"endpoints": "10.0.0.1,10.0.0.1"}, "twice"),
                              ({**zones, "firewall": {"mode": "service"}}, "remove the endpoints"),
                              ({"firewall": {"mode": "service", "manager": "m:1"}}, "authKeySecret"),
                              ({"firewall": {"mode": "service", "manager": "m:1", "config": "<a/>"}}, "Remove one"),
                              ({"firewall": {"mode": "service", "autoscaling": {"min": 9}}}, "more than `max`"),
                              ({**zones, "controller": {"enabled": True}}, "not `controller.manager`"),
                              ({**zones, "controller": {"enabled": True, "manager": "https://m:1", "cluster": "c"}}, "apiKeySecret"),
                              ({**zones, "controller": {**CASES["aks"]["controller"], "webhook": {"caBundle": "QQ=="}}}, "certSecret"),
                              ({**zones, "controller": {**CASES["aks"]["controller"], "webhook": {"certSecret": "a"}}}, "caBundle"),
                              ({**zones, "controller": {**CASES["aks"]["controller"], "labels": "all"}}, "labelFilters")]:
            self.refused(over, pattern)

    def test_gke_autopilot_is_refused_with_the_reason(self):
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "gk3-apps-default-pool-1"}}
        self.refused(CASES["gke"], "GKE Autopilot.*\n.*Use a GKE Standard cluster", objects=[node])
        node["metadata"]["name"] = "gke-apps-default-pool-1"
        self.assertTrue(render(CASES["gke"], objects=[node]))

    def test_the_schema_knows_every_value_and_the_values_fit_it(self):
        jsonschema.Draft7Validator.check_schema(SCHEMA)
        given, known = values({}), dict(SCHEMA["properties"])
        for key, value in given.items():
            if key.startswith("endpoints") and key != "endpoints":
                continue
            self.assertIn(key, known)
            inner = known[key].get("properties", {})
            if isinstance(value, dict) and inner:
                self.assertEqual(set(value), set(inner), key)


class Scan(unittest.TestCase):
    """What a static scan says."""

    def scan(self, framework, folder):
        """A scan's report."""
        checkov = pathlib.Path(sys.executable).parent / "checkov"
        ended = subprocess.run([checkov, "--skip-download", "--quiet", "--compact", "--framework", framework, "--directory", folder,
                                "--output", "json"], capture_output=True, text=True, check=False)
        report = json.loads(ended.stdout)
        self.assertEqual(report["summary"]["parsing_errors"], 0)
        return report

    def test_every_finding_is_explained_and_every_explanation_is_needed(self):
        explained = {}
        for line in (HERE / "scan.txt").read_text().splitlines():
            if line and not line.startswith("#"):
                check, where, why = line.split(None, 2)
                explained[check, where] = why
        with tempfile.TemporaryDirectory() as folder:
            for name, over in CASES.items():
                text = yaml.safe_dump_all(one for one in render(over) if one["kind"] not in CUSTOM)
                (pathlib.Path(folder) / f"{name}.yaml").write_text(text)
            report = self.scan("kubernetes", folder)
        self.assertGreater(report["summary"]["passed"], 1000)
        images = self.scan("dockerfile", HERE.parent.parent / "images")
        self.assertGreater(images["summary"]["passed"], 20)
        findings = [(one, one["resource"].split(".")) for one in report["results"]["failed_checks"]]
        findings += [(one, ["Dockerfile", "", one["file_path"].split("/")[1]]) for one in images["results"]["failed_checks"]]
        left, used = set(), set()
        for finding, (kind, _, name, *_) in findings:
            places = [(finding["check_id"], f"{kind}/{name}"), (finding["check_id"], "*")]
            known = [place for place in places if place in explained]
            used.update(known[:1])
            if not known:
                left.add(f"{finding['check_id']} {kind}/{name}: {finding['check_name']}")
        self.assertEqual(left, set())
        self.assertEqual(set(explained) - used, set(), "explained, but not found")


if __name__ == "__main__":
    unittest.main()
