"""Is the archive that stands for an image one that a runtime imports?"""

import hashlib
import io
import json
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "image-archive"


def archive(folder, name):
    """An image with a program that has libraries."""
    out = pathlib.Path(folder) / name
    subprocess.run([SCRIPT, out, "bartizan/test:1", "--file", "/bin/sh=/usr/local/bin/shell", "--link", "bin/sh=../usr/local/bin/shell",
                    "--user", "65532", "--", "/bin/sh", "-c"], check=True)
    return out.read_bytes()


class Archive(unittest.TestCase):
    """scripts/image-archive."""

    def test_names_digests_and_libraries_are_right_and_bytes_are_the_same_again(self):
        with tempfile.TemporaryDirectory() as folder:
            content = archive(folder, "one.tar")
            self.assertEqual(content, archive(folder, "two.tar"))
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            files = {member.name: tar.extractfile(member).read() for member in tar.getmembers()}
        manifest = json.loads(files["manifest.json"])[0]
        self.assertEqual(manifest["RepoTags"], ["bartizan/test:1"])
        config, layer = files[manifest["Config"]], files[manifest["Layers"][0]]
        self.assertEqual(manifest["Config"], hashlib.sha256(config).hexdigest() + ".json")
        about = json.loads(config)
        self.assertEqual(about["rootfs"]["diff_ids"], ["sha256:" + hashlib.sha256(layer).hexdigest()])
        self.assertEqual((about["config"]["Entrypoint"], about["config"]["User"]), (["/bin/sh", "-c"], "65532"))
        with tarfile.open(fileobj=io.BytesIO(layer)) as tar:
            members = {member.name: member for member in tar.getmembers()}
        self.assertTrue(members["usr/local/bin/shell"].mode & 0o111)
        self.assertEqual(members["bin/sh"].linkname, "../usr/local/bin/shell")
        self.assertTrue([name for name in members if name.rsplit("/", 1)[-1].startswith("libc.so")])

    def test_a_list_of_parts_has_what_is_linked_and_nothing_of_the_tests(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder) / "parts.json"
            subprocess.run([sys.executable, SCRIPT.parent / "parts-list", "bartizan-cni", out], check=True, cwd=SCRIPT.parents[1])
            bom = json.loads(out.read_text())
        self.assertEqual((bom["bomFormat"], bom["metadata"]["component"]["name"]), ("CycloneDX", "bartizan-cni"))
        names = {part["name"] for part in bom["components"]}
        self.assertLessEqual({"anyhow", "rustls", "serde_json"}, names)
        self.assertFalse(names & {"tempfile", "expect-test", "tokio", "hyper"})
        for part in bom["components"]:
            if not part["name"].startswith("bartizan-"):
                self.assertTrue(part["licenses"] and part["purl"].startswith("pkg:cargo/"), part["name"])


if __name__ == "__main__":
    unittest.main()
