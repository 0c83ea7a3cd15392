"""What people do with pan-python's panxapi.py at a firewall's own address.

    panxapi_firewall.py PORT PASSWORD
"""

import os
import re
import subprocess
import sys
import tempfile

port, password = sys.argv[1], sys.argv[2]
PROGRAM = os.path.join(os.path.dirname(sys.executable), "panxapi.py")
ADDRESSES = "/config/devices/entry/vsys/entry[@name='vsys1']/address"
folder = tempfile.TemporaryDirectory()
login = ["-l", "admin:" + password]


def api(*words, fails=False):
    command = [sys.executable, PROGRAM, "-h", "127.0.0.1", "-P", port, *login, *words]
    done = subprocess.run(command, cwd=folder.name, capture_output=True, text=True, timeout=60)
    said = done.stdout + done.stderr
    if (done.returncode != 0) != fails:
        raise SystemExit("%s: exit %d\n%s" % (" ".join(words), done.returncode, said))
    return said


def check(said, *parts):
    for part in parts:
        if part not in said:
            raise SystemExit("`%s` is not in\n%s" % (part, said))


key = re.search(r'API key: +"([^"]+)"', api("-k")).group(1)
login[:] = ["-K", key]

check(api("-xo", "<show><system><info/></system></show>"), "<model>PA-VM</model>", "<family>vm</family>")
api("-S", "<fqdn>web.example</fqdn>", ADDRESSES + "/entry[@name='web']")
check(api("-gx", ADDRESSES), "web.example")
check(api("-sx", ADDRESSES, fails=True), "No such node")
check(api("-x", "-C", "", "--validate", "--sync"), "<result>OK</result>")
check(api("-x", "-C", "<commit><description>by panxapi</description></commit>", "--sync"), "<result>OK</result>")
check(api("-sx", ADDRESSES), "web.example")
check(api("-C", "", "--sync"), "There are no changes to commit")
api("-S", "<static><member>nobody</member></static>", ADDRESSES + "-group/entry[@name='bad']")
check(api("-x", "-C", "", "--sync"), "<result>FAIL</result>", "nobody")
api("-o", "<revert><config/></revert>")

# Certificates of a firewall are shared; what nobody forwards here is told.
generate = "<certificate-name>web</certificate-name><name>web.example</name>"
check(api("-xo", "<request><certificate><generate>%s</generate></certificate></request>" % generate), "Successfully")
check(api("-xgx", "/config/shared/certificate/entry[@name='web']"), "<private-key>-AQ==")
out = "<from><member>any</member></from><to><member>any</member></to><source><member>any</member></source>"
out += "<destination><member>any</member></destination><application><member>any</member></application>"
out += "<service><member>any</member></service><action>deny</action><log-setting>siem</log-setting>"
api("-S", out, ADDRESSES.replace("/address", "/rulebase/security/rules/entry[@name='logged']"))
check(api("-x", "-C", "", "--validate", "--sync"), "`log-setting` is stored but not enforced")
api("-o", "<revert><config/></revert>")

# There is nothing to push to.
check(api("-x", "-A", "", fails=True), "commit-all unexpected here")
check(api("-xo", "<show><devices><all/></devices></show>", fails=True), "invalid client cli")
check(api("-xo", "<show><clock/></show>", "--serial", "BZT000000000001", fails=True), "not connected")

register = (
    "<uid-message><type>update</type><payload><register><entry ip='10.0.0.1'><tag><member>x</member></tag></entry>"
    "</register></payload></uid-message>"
)
check(api("-x", "-U", register), "uid-response")
check(api("-Xxo", 'show object registered-ip ip "10.0.0.1"'), "<member>x</member>")
nonsense = register.replace("10.0.0.1", "nowhere")
check(api("-x", "-U", nonsense, fails=True), "nowhere")

check(api("-x", "--log", "config", "--filter", "( cmd eq commit )"), "by panxapi")
api("--export", "configuration", "--dst", "saved.xml")
with open(os.path.join(folder.name, "saved.xml")) as file:
    saved = file.read()
check(saved, "web.example")
with open(os.path.join(folder.name, "again.xml"), "w") as file:
    file.write(saved.replace("web.example", "imported.example"))
check(api("-x", "--import", "configuration", "--file", "again.xml"), "again.xml saved")
api("-o", "<load><config><from>again.xml</from></config></load>")
check(api("-x", "-C", "", "--sync"), "<result>OK</result>")
check(api("-xo", "<show><config><effective-running/></config></show>"), "imported.example")

print("ok")
