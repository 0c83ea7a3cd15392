"""Do the programs take what the chart gives them?"""

import json
import os
import pathlib
import subprocess
import unittest

from support import CASES, find, render

BARTIZAN = pathlib.Path(os.environ["BARTIZAN"])


class Plugin(unittest.TestCase):
    """bartizan-cni."""

    def test_the_plugin_is_content_with_the_configuration_of_every_platform(self):
        for name, over in CASES.items():
            told = find(render(over), "ConfigMap", "pan-cni-config")["data"]["cni_network_config"]
            for version in ("0.4.0", "1.0.0", "1.1.0"):
                # As the runtime hands it on: the list's version, the path that the node agent wrote.
                config = {**json.loads(told.replace("__KUBECONFIG_FILEPATH__", "/etc/cni/net.d/kubeconfig")), "cniVersion": version}
                ended = subprocess.run([BARTIZAN.parent / "bartizan-cni"], input=json.dumps(config), capture_output=True, text=True,
                                       check=False, env={"CNI_COMMAND": "STATUS", "CNI_PATH": "/opt/cni/bin"})
                with self.subTest(case=name, version=version):
                    self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))

    def test_a_configuration_that_cannot_be_is_told(self):
        told = find(render(CASES["native"]), "ConfigMap", "pan-cni-config")["data"]["cni_network_config"]
        config = {**json.loads(told), "traffic_object_id": "2049"}
        ended = subprocess.run([BARTIZAN.parent / "bartizan-cni"], input=json.dumps(config), capture_output=True, text=True, check=False,
                               env={"CNI_COMMAND": "STATUS"})
        self.assertNotEqual(ended.returncode, 0)
        self.assertIn("2049 is not a cluster id from 1 to 2048", ended.stdout)

    def test_the_node_agent_knows_its_variables(self):
        """It goes as far as the folders, which only a node has."""
        pod = find(render(CASES["eks"]), "DaemonSet", "pan-cni")["spec"]["template"]["spec"]["containers"][0]
        told = find(render(CASES["eks"]), "ConfigMap", "pan-cni-config")["data"]["cni_network_config"]
        env = {one["name"]: one.get("value", "node-1") for one in pod["env"]}
        env.update(CNI_NETWORK_CONFIG=told, KUBERNETES_SERVICE_HOST="127.0.0.1", KUBERNETES_SERVICE_PORT="1")
        ended = subprocess.run([BARTIZAN.parent / "bartizan-cni", *pod["lifecycle"]["preStop"]["exec"]["command"][1:]],
                               capture_output=True, text=True, check=False, env=env)
        # An API server that is away means that the DaemonSet is not being removed: nothing is done, and nothing is wrong.
        self.assertEqual((ended.returncode, ended.stdout, ended.stderr), (0, "", ""))
        env.pop("MY_NODE_NAME")
        ended = subprocess.run([BARTIZAN.parent / "bartizan-cni", "uninstall"], capture_output=True, text=True, check=False, env=env)
        self.assertIn("`MY_NODE_NAME` is missing", ended.stderr)


class Controller(unittest.TestCase):
    """bartizan controller."""

    def test_the_controller_takes_the_charts_arguments(self):
        for mine, over in (("fingerprint", CASES["aks"]["controller"]),
                           ("ca", {**CASES["aks"]["controller"], "fingerprint": "", "caSecret": {"name": "bartizan-ca"}})):
            objects = render({**CASES["aks"], "controller": over})
            pod = find(objects, "Deployment", "bartizan-controller")["spec"]["template"]["spec"]["containers"][0]
            ended = subprocess.run([BARTIZAN, *pod["command"][1:], *pod["args"]], capture_output=True, text=True, check=False,
                                   env={"POD_NAME": "bartizan-controller-0", "KUBECONFIG": "/nowhere"}, timeout=60)
            with self.subTest(mine):
                # Not the command line is wrong (2): there is no cluster here, and no file with an authority.
                self.assertEqual(ended.returncode, 1, ended.stderr)
                self.assertIn("/etc/bartizan/ca/ca.pem" if mine == "ca" else "/nowhere", ended.stderr)


if __name__ == "__main__":
    unittest.main()
