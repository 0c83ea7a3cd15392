"""What people do with pan-python's panxapi.py, against a manager: every kind of request, from the command
line.

    panxapi_session.py PORT PASSWORD
"""

import os
import re
import subprocess
import sys
import tempfile

port, password = sys.argv[1], sys.argv[2]
PROGRAM = os.path.join(os.path.dirname(sys.executable), "panxapi.py")
ADDRESSES = "/config/shared/address"
folder = tempfile.TemporaryDirectory()
asked = []


def run(*words, key=None, fails=False):
    """Standard output and error of panxapi.py; a refusal is one only where it is expected."""
    login = ["-K", key] if key else ["-l", "admin:" + password]
    command = [sys.executable, PROGRAM, "-h", "127.0.0.1", "-P", port, *login, *words]
    asked[:] = words
    done = subprocess.run(command, cwd=folder.name, capture_output=True, text=True, timeout=120)
    said = done.stdout + done.stderr
    if (done.returncode != 0) != fails:
        raise SystemExit("%s: exit %d\n%s" % (" ".join(words), done.returncode, said))
    return said


def check(said, *parts):
    for part in parts:
        if part not in said:
            raise SystemExit("%s: `%s` is not in\n%s" % (" ".join(asked), part, said))


# A key, and a password that is wrong.
key = re.search(r'API key: +"([^"]+)"', run("-k")).group(1)
wrong = subprocess.run(
    [sys.executable, PROGRAM, "-h", "127.0.0.1", "-P", port, "-l", "admin:wrong", "-k"], capture_output=True, text=True
)
check(wrong.stderr, "403")
assert wrong.returncode != 0


def api(*words, fails=False):
    return run(*words, key=key, fails=fails)


# The configuration: set, edit, get, rename, clone, move, delete, several at once.
api("-S", "<fqdn>web.example</fqdn>", ADDRESSES + "/entry[@name='web']")
api("-S", "<ip-netmask>10.0.0.1</ip-netmask>", ADDRESSES + "/entry[@name='web']")
got = api("-gx", ADDRESSES)
check(got, "10.0.0.1")
assert "web.example" not in got, got
api("-e", "<entry name='web'><fqdn>new.example</fqdn></entry>", ADDRESSES + "/entry[@name='web']")
api("--clone", "--src", ADDRESSES + "/entry[@name='web']", "--dst", "copy", ADDRESSES)
api("--rename", "--dst", "renamed", ADDRESSES + "/entry[@name='copy']")
api("--move", "top", ADDRESSES + "/entry[@name='renamed']")
got = api("-gxr", ADDRESSES)
assert got.index("renamed") < got.index("web"), got
api("-d", ADDRESSES + "/entry[@name='renamed']")
check(api("-gx", ADDRESSES + "/entry[@name='renamed']"), "code=\"7\"")
multi = "<multi-config>%s</multi-config>" % "".join(
    "<set id='%d' xpath=\"%s/entry[@name='m%d']\"><ip-netmask>10.1.0.%d</ip-netmask></set>" % (n, ADDRESSES, n, n)
    for n in range(1, 4)
)
check(api("-x", "--strict", "no", "-M", multi), "success")
check(api("-gx", ADDRESSES), "new.example", "10.1.0.1", "10.1.0.3")
check(api("-S", "<x", ADDRESSES, fails=True), "cannot be read")
check(api("-g", "/config/[", fails=True), "error")
check(
    api("-S", "<disable-override>maybe</disable-override>", ADDRESSES + "/entry[@name='web']", fails=True),
    "'maybe' is not 'yes' or 'no'",
)
check(api("-sx", ADDRESSES, fails=True), "No such node")

# Validation, a partial and a whole commit, each waited for; then there is nothing to commit.
check(api("-x", "-C", "", "--validate", "--sync"), "<result>OK</result>")
check(api("-x", "-C", "<commit><partial><admin><member>admin</member></admin></partial></commit>", "--sync"), "<result>OK</result>")
check(api("-sx", ADDRESSES), "new.example")
api("-S", "<description>later</description>", ADDRESSES + "/entry[@name='web']")
check(api("-x", "-C", "<commit><description>by panxapi</description></commit>", "--sync"), "<result>OK</result>")
check(api("-C", "", "--sync"), "There are no changes to commit")
api("-S", "<static><member>nobody</member></static>", "/config/shared/address-group/entry[@name='bad']")
check(api("-x", "-C", "", "--sync"), "<result>FAIL</result>", "nobody")
api("-o", "<revert><config/></revert>")

# Device groups; a push to nobody.
api("-S", "<description>branches</description>", "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='branch']")
check(api("-x", "-C", "", "--sync"), "<result>OK</result>")
pushed = subprocess.run(
    [sys.executable, PROGRAM, "-h", "127.0.0.1", "-P", port, "-K", key, "-x", "-A", "", "--group", "branch", "--sync"],
    capture_output=True, text=True, timeout=120,
)
check(pushed.stdout + pushed.stderr, "branch")

# A group overrides what it inherits, and nothing else.
BRANCH = "/config/devices/entry[@name='localhost.localdomain']/device-group/entry[@name='branch']/address"
api("--override", "<entry name='web'><fqdn>branch.example</fqdn></entry>", BRANCH)
check(api("-gx", BRANCH), "branch.example")
check(
    api("--override", "<entry name='lost'><fqdn>x.example</fqdn></entry>", BRANCH, fails=True),
    "Object cannot be overridden",
)
api("-d", BRANCH + "/entry[@name='web']")

# Operational commands, from XML and from words.
check(api("-xo", "<show><system><info/></system></show>"), "<sw-version>11.2.3</sw-version>", "Panorama")
check(api("-Xxo", "show jobs all"), "<type>Commit</type>")
check(api("-xo", "<show><nonsense/></show>", fails=True), "invalid client cli")
check(api("-xo", "<show><config><diff/></config></show>"), "success")
check(api("-xo", "<show><session><all/></session></show>", "--serial", "BZT000000000001", fails=True), "not connected")

# Logs are asked for by a job; a filter that is wrong says where.
check(api("-x", "--log", "config", "--nlogs", "5"), "<cmd>set</cmd>", "<admin>admin</admin>")
check(api("-x", "--log", "config", "--filter", "( cmd eq commit )"), "by panxapi")
assert "<cmd>set</cmd>" not in api("-x", "--log", "config", "--filter", "( cmd eq commit )")
check(api("-x", "--log", "traffic", "--filter", "( addr.src in nowhere )", fails=True), "nowhere")

# A report is a job too, with its time in it.
report = api("-x", "--report", "dynamic", "--name", "top-applications-summary", "--ad-hoc", "period=last-hour&topn=5")
check(report, 'name="Top applications"', 'reportname="top-applications-summary"')
epochs = re.findall(r'(?:start|end)-epoch="(\d+)"', report)
assert int(epochs[1]) - int(epochs[0]) == 3599, report

# Tags that no firewall is named for are kept by the manager, for all.
tags = "<uid-message><type>update</type><payload><register><entry ip='10.0.0.1'><tag><member>x</member></tag></entry></register></payload></uid-message>"
check(api("-x", "-U", tags), '<response status="success">')
registered = api("-x", "-o", "<show><object><registered-ip><all/></registered-ip></object></show>")
check(registered, "10.0.0.1")
check(registered, "<member>x</member>")

# The configuration as a file, out and in again.
api("--export", "configuration", "--dst", "saved.xml")
with open(os.path.join(folder.name, "saved.xml")) as file:
    saved = file.read()
check(saved, "new.example")
with open(os.path.join(folder.name, "again.xml"), "w") as file:
    file.write(saved.replace("new.example", "imported.example"))
check(api("-x", "--import", "configuration", "--file", "again.xml"), "again.xml saved")
api("-o", "<load><config><from>again.xml</from></config></load>")
check(api("-gx", ADDRESSES), "imported.example")

print("ok")
