"""What people do with pan-os-python, against a manager: connect, build, commit, look, undo.

    panos_session.py PORT PASSWORD
"""

import sys

from panos import errors
from panos.device import Vsys
from panos.firewall import Firewall
from panos.network import EthernetInterface, StaticRoute, VirtualRouter, Zone
from panos.objects import AddressGroup, AddressObject, ServiceObject, Tag
from panos.panorama import (
    DeviceGroup,
    Panorama,
    PanoramaCommit,
    PanoramaCommitAll,
    PanoramaDeviceGroupHierarchy,
    Template,
    TemplateStack,
)
from panos.policies import NatRule, PostRulebase, PreRulebase, SecurityRule

port, password = int(sys.argv[1]), sys.argv[2]


def check(condition, message):
    if not condition:
        raise SystemExit("not as expected: %s" % message)


def committed(result):
    check(result and result["success"], "commit: %r" % result)
    return result


panorama = Panorama("127.0.0.1", "admin", password, port=port)
info = panorama.refresh_system_info()
check(info.version == "11.2.3", info)
check(info.platform == "Panorama", info)

wrong = Panorama("127.0.0.1", "admin", "wrong", port=port)
try:
    wrong.refresh_system_info()
except errors.PanURLError as error:
    check("403" in str(error), error)
else:
    raise SystemExit("a wrong password was accepted")

# Objects and rules in a device group.
group = panorama.add(DeviceGroup("branch"))
group.create()
group.add(AddressObject("web", "10.1.1.10", tag=["app"])).create()
group.add(AddressObject("net", "10.1.0.0/16")).create()
group.add(AddressObject("site", "example.com", type="fqdn")).create()
group.add(Tag("app", Tag.color_code("red"))).create()
group.add(ServiceObject("tcp-8080", "tcp", destination_port="8080")).create()
group.add(AddressGroup("all", static_value=["web", "net"])).create()
rules = group.add(PreRulebase())
for number in range(3):
    rules.add(
        SecurityRule(
            "rule-%d" % number,
            fromzone=["trust"],
            tozone=["untrust"],
            source=["all"],
            destination=["any"],
            application=["any"],
            service=["tcp-8080"],
            action="allow",
            log_end=True,
        )
    ).create()
rules.children[2].move("top")
rules.children[0].opstate.audit_comment.update("for the shop")
check(rules.children[0].opstate.audit_comment.current() == "for the shop", "audit comment")
group.add(PostRulebase()).add(
    SecurityRule("last", fromzone=["any"], tozone=["any"], source=["any"], destination=["any"],
                 application=["any"], service=["any"], action="deny")
).create()
rules.add(
    NatRule("out", fromzone=["trust"], tozone=["untrust"], source=["any"], destination=["any"], service="any",
            source_translation_type="dynamic-ip-and-port", source_translation_address_type="interface-address",
            source_translation_interface="ethernet1/2")
).create()

fresh = Panorama("127.0.0.1", api_key=panorama.api_key, port=port)
again = fresh.add(DeviceGroup("branch"))
names = [rule.name for rule in SecurityRule.refreshall(again.add(PreRulebase()))]
check(names == ["rule-2", "rule-0", "rule-1"], names)
objects = {item.name: item for item in AddressObject.refreshall(again)}
check(sorted(objects) == ["net", "site", "web"], objects)
check(objects["site"].type == "fqdn", objects["site"].type)
check(objects["web"].tag == ["app"], objects["web"].tag)

# A choice has one branch; apply replaces, delete removes, rename keeps the place.
site = group.find("site", AddressObject)
site.type, site.value = "ip-netmask", "192.0.2.1"
site.apply()
site.refresh()
check(site.value == "192.0.2.1", site.value)
site.rename("server")
group.find("server", AddressObject).delete()
remaining = [item.name for item in AddressObject.refreshall(again)]
check(remaining == ["web", "net"], remaining)

# Bulk: many objects in one request.
crowd = panorama.add(DeviceGroup("crowd"))
crowd.create()
bulk = [crowd.add(AddressObject("bulk-%03d" % number, "10.2.%d.1" % number)) for number in range(200)]
bulk[0].create_similar()
check(len(AddressObject.refreshall(crowd, add=False, name_only=True)) == 200, "bulk")
bulk[0].delete_similar()
check(len(AddressObject.refreshall(crowd, add=False, name_only=True)) == 0, "bulk delete")

# Templates and a stack.
template = panorama.add(Template("net"))
template.create()
interfaces = [
    template.add(EthernetInterface("ethernet1/1", mode="layer3", ip=("10.1.0.1/16",))),
    template.add(EthernetInterface("ethernet1/2", mode="layer3", ip=("203.0.113.2/24",))),
]
vsys = template.add(Vsys("vsys1"))
vsys.create()
for interface, zone in zip(interfaces, ("trust", "untrust")):
    interface.create()
    interface.set_vsys("vsys1", update=True)
    vsys.add(Zone(zone, mode="layer3", interface=[interface.name])).create()
router = template.add(VirtualRouter("default", interface=["ethernet1/1", "ethernet1/2"]))
router.create()
router.add(StaticRoute("default", "0.0.0.0/0", nexthop="203.0.113.1", interface="ethernet1/2")).create()
stack = panorama.add(TemplateStack("stack", templates=["net"]))
stack.create()
check([zone.name for zone in Zone.refreshall(vsys)] == ["trust", "untrust"], "zones")

# Hierarchy.
child = panorama.add(DeviceGroup("branch-berlin"))
child.create()
check(PanoramaDeviceGroupHierarchy(panorama).fetch()["branch-berlin"] is None, "hierarchy")
panorama.op(
    "<request><move-dg><entry name='branch-berlin'><new-parent-dg>branch</new-parent-dg></entry></move-dg></request>",
    cmd_xml=False,
)
check(PanoramaDeviceGroupHierarchy(panorama).fetch()["branch-berlin"] == "branch", "hierarchy after move")

# Commit.
check(panorama.pending_changes(), "pending changes")
committed(panorama.commit(cmd=PanoramaCommit(description="by pan-os-python"), sync=True))
history = rules.children[0].opstate.audit_comment.history()
check([(line.admin, line.comment) for line in history] == [("admin", "for the shop")], history)
check(history[0].config_version > 1, history[0].config_version)
check(not panorama.pending_changes(), "no pending changes")
check(panorama.commit(sync=True) is None, "nothing to commit")

# What cannot be right is refused with its place, and the commit says so.
group.add(AddressGroup("broken", static_value=["nobody"])).create()
result = panorama.commit(sync=True)
check(result and not result["success"], result)
check(any("nobody" in message for message in result["messages"]), result["messages"])
panorama.op("<revert><config/></revert>", cmd_xml=False)
check(not panorama.pending_changes(), "reverted")

# Devices that never came are reported, not waited for.
group.add(Firewall(serial="BZT000000000001")).create()
committed(panorama.commit(sync=True))
check(panorama.refresh_devices(expand_vsys=False) is not None, "devices")
push = PanoramaCommitAll("device group", "branch", include_template=True)
result = panorama.commit(cmd=push, sync=True, sync_all=True)
check(result and not result["success"], result)
check("BZT000000000001" in str(result["devices"]), result)

# Locks, and a commit of one administrator's changes.
panorama.add_config_lock(comment="moving house")
check(panorama.check_config_locks(), "config lock")
try:
    panorama.add_config_lock()
except errors.PanLockError:
    pass
else:
    raise SystemExit("a lock was taken twice")
panorama.remove_config_lock()
check(not panorama.check_config_locks(), "config lock removed")
panorama.add_commit_lock(comment="release day")
check(panorama.check_commit_locks(), "commit lock")
panorama.remove_commit_lock()
group.add(AddressObject("late", "10.9.9.9")).create()
check(panorama.commit(cmd=PanoramaCommit(admins=["nobody"]), sync=True) is None, "nothing of nobody")
mine = PanoramaCommit(description="mine", admins=["admin"], device_groups=["branch"])
committed(panorama.commit(cmd=mine, sync=True))
check(not panorama.pending_changes(), "all of it was mine")

print("ok")
