"""What people do with pan-os-python at a firewall that nobody manages, one stage at a time.

    firewall_session.py PORT PASSWORD STAGE
"""

import sys
import time

from panos import base, errors
from panos.device import Administrator, SystemSettings
from panos.firewall import Firewall
from panos.network import EthernetInterface, StaticRoute, VirtualRouter, Zone
from panos.objects import AddressGroup, AddressObject, ServiceObject, Tag
from panos.policies import NatRule, Rulebase, SecurityRule

port, password = int(sys.argv[1]), sys.argv[2]
ANY = {"source": ["any"], "destination": ["any"], "application": ["any"], "service": ["any"]}


def check(condition, message):
    if not condition:
        raise SystemExit("not as expected: %s" % (message,))


def committed(result):
    check(result and result["success"] and result["result"] == "OK", "commit: %r" % (result,))
    return result


def text(xapi):
    return xapi.xml_document


def build():
    check(isinstance(firewall, Firewall), firewall)
    info = firewall.refresh_system_info()
    check(info.version == "11.2.3" and info.platform == "PA-VM" and info.serial, info)
    for number, (zone, address) in enumerate([("trust", "10.0.1.1/24"), ("untrust", "203.0.113.1/24")], 1):
        interface = firewall.add(EthernetInterface("ethernet1/%d" % number, "layer3", ip=[address]))
        interface.create()
        interface.set_zone(zone, mode="layer3", refresh=True, update=True, running_config=False)
    router = firewall.add(VirtualRouter("default", interface=["ethernet1/1", "ethernet1/2"]))
    router.create()
    router.add(StaticRoute("out", "198.51.100.0/24", nexthop="203.0.113.2")).create()
    rules = firewall.add(Rulebase())
    firewall.add(AddressObject("inside", "10.0.1.0/24")).create()
    firewall.add(ServiceObject("web", "tcp", destination_port="80")).create()
    rules.add(
        SecurityRule("allow-web", fromzone=["trust"], tozone=["untrust"], action="allow", log_start=True, log_end=True,
                     **dict(ANY, source=["inside"], service=["web"]))
    ).create()
    rules.add(
        NatRule("out", fromzone=["trust"], tozone=["untrust"], source=["inside"], destination=["any"], service="any",
                source_translation_type="dynamic-ip-and-port", source_translation_address_type="interface-address",
                source_translation_interface="ethernet1/2")
    ).create()
    check(firewall.pending_changes(), "there are changes")
    committed(firewall.commit(sync=True))
    check(firewall.commit(sync=True) is None, "there is nothing to commit")
    check(not firewall.pending_changes(), "nothing is pending")


def look():
    def op(command, part):
        firewall.op(command)
        check(part in text(firewall.xapi), "%s: %s" % (command, text(firewall.xapi)))

    op("show session info", "<num-max>")
    op("show routing route", "198.51.100.0/24")
    op('show interface "ethernet1/1"', "trust")
    op("show counter global", "<name>rx-packets</name>")
    op("show config running", "allow-web")
    op("show config effective-running", "allow-web")
    op("show config pushed-shared-policy", "No shared policy pushed to device")
    op("show jobs all", "<type>Commit</type>")
    op("show arp all", "203.0.113.2")
    op("check pending-changes", "no")
    op("show clock", "UTC")
    for command in ["show devicegroups", "show nonsense"]:
        try:
            firewall.op(command)
        except errors.PanDeviceError as error:
            check("invalid client cli" in str(error), error)
        else:
            raise SystemExit("%s was answered" % command)
    deadline = time.time() + 10
    while True:
        firewall.xapi.log("traffic", nlogs=10, filter="(addr.dst in 203.0.113.2) and (rule eq allow-web)")
        entries = firewall.xapi.element_result.findall("log/logs/entry")
        if entries or time.time() > deadline:
            break
        time.sleep(0.1)
    check(entries, text(firewall.xapi))
    entry = entries[0]
    found = [entry.findtext(name) for name in ("src", "natsrc", "dport", "from", "to", "serial")]
    serial = firewall.refresh_system_info().serial
    check(found == ["10.0.1.10", "203.0.113.1", "80", "trust", "untrust", serial], found)
    firewall.xapi.log("config", nlogs=50, filter="( cmd eq commit )")
    check("<admin>admin</admin>" in text(firewall.xapi), text(firewall.xapi))


def tag():
    firewall.add(Tag("blocked")).create()
    firewall.add(AddressGroup("bad", dynamic_value="'blocked'")).create()
    rules = firewall.add(Rulebase())
    rule = rules.add(SecurityRule("no-bad", fromzone=["any"], tozone=["any"], action="drop", **dict(ANY, destination=["bad"])))
    rule.create()
    rule.move("top")
    committed(firewall.commit(sync=True))
    firewall.userid.register("203.0.113.2", ["blocked", "other"])
    # Once more is no mistake.
    firewall.userid.register("203.0.113.2", "blocked")
    check(set(firewall.userid.get_registered_ip()["203.0.113.2"]) == {"blocked", "other"}, "registered")
    check(firewall.userid.get_registered_ip(tags="other") == {"203.0.113.2": ["other"]}, "by tag")
    firewall.op('show object dynamic-address-group name "bad"')
    check('name="203.0.113.2" type="registered-ip"' in text(firewall.xapi), text(firewall.xapi))


def untag():
    firewall.userid.unregister("203.0.113.2", "blocked")
    firewall.userid.unregister("203.0.113.2", "never")
    check(firewall.userid.get_registered_ip() == {"203.0.113.2": ["other"]}, "unregistered")
    firewall.userid.clear_registered_ip()
    check(firewall.userid.get_registered_ip() == {}, "cleared")


def tag_for_a_second():
    message = (
        "<uid-message><version>2.0</version><type>update</type><payload><register><entry ip='203.0.113.2' persistent='0'>"
        "<tag><member timeout='1'>blocked</member></tag></entry></register></payload></uid-message>"
    )
    firewall.xapi.user_id(cmd=message)
    firewall.op("show object registered-ip all")
    check('persistent="0"><tag><member timeout="' in text(firewall.xapi), text(firewall.xapi))


def refuse():
    rules = firewall.add(Rulebase())
    for name in ("one", "two"):
        rules.add(SecurityRule(name, fromzone=["nowhere-" + name], tozone=["any"], action="deny", **ANY)).create()
    result = firewall.commit(sync=True, exception=False)
    check(result["result"] == "FAIL", result)
    messages = "\n".join(result["messages"])
    for part in ("nowhere-one", "nowhere-two", "no zone"):
        check(part in messages, messages)
    firewall.op("<revert><config></config></revert>", cmd_xml=False)
    check(not firewall.pending_changes(), "reverted")


def two_administrators():
    firewall.op("<request><password-hash><password>other-secret</password></password-hash></request>", cmd_xml=False)
    phash = firewall.xapi.element_root.findtext("result/phash")
    firewall.add(Administrator("second", superuser=True, password_hash=phash)).create()
    committed(firewall.commit(sync=True))
    second = base.PanDevice.create_from_device("127.0.0.1", "second", "other-secret", port=port)
    firewall.add_config_lock("mine")
    try:
        second.add(AddressObject("late", "10.9.9.9")).create()
    except errors.PanDeviceError as error:
        check("Configuration is locked by admin" in str(error), error)
    else:
        raise SystemExit("the lock was not held")
    firewall.remove_config_lock()
    second.add(AddressObject("of-second", "10.9.9.9")).create()
    firewall.add(AddressObject("of-admin", "10.9.9.8")).create()
    committed(second.commit(sync=True, admins=["second"]))
    second.op("show config running")
    running = text(second.xapi)
    check("of-second" in running and "of-admin" not in running, "only one's own edits")
    committed(firewall.commit(sync=True))


def remember():
    firewall.op("show config versions")
    check(text(firewall.xapi).count("<version>") >= 5, text(firewall.xapi))
    firewall.op("show jobs all")
    check(text(firewall.xapi).count("<result>OK</result>") >= 4, text(firewall.xapi))
    names = {found.name for found in AddressObject.refreshall(firewall)}
    check({"inside", "of-second", "of-admin"} <= names, names)
    firewall.add(SystemSettings(hostname="edge")).create()
    committed(firewall.commit(sync=True))
    firewall.op("show system info")
    check("<hostname>edge</hostname>" in text(firewall.xapi), "renamed")


firewall = base.PanDevice.create_from_device("127.0.0.1", "admin", password, port=port)
globals()[sys.argv[3]]()
print("ok")
