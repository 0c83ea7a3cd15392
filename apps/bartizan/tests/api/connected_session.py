"""What people do with pan-os-python at a connected firewall: through its Panorama, and at its own address.

    connected_session.py MANAGER PASSWORD SERIAL FIREWALL
"""

import sys

from panos import base, errors
from panos.firewall import Firewall
from panos.objects import AddressGroup, AddressObject, Tag
from panos.panorama import Panorama
from panos.policies import Rulebase, SecurityRule

manager, password, serial, own = sys.argv[1:5]
ANY = {"source": ["any"], "destination": ["any"], "application": ["any"], "service": ["any"]}


def check(condition, message):
    if not condition:
        raise SystemExit("not as expected: %s" % (message,))


def connect(place):
    host, port = place.split(":")
    return base.PanDevice.create_from_device(host, "admin", password, port=int(port))


def committed(result):
    check(result and result["success"] and result["result"] == "OK", "commit: %r" % (result,))


def text(device):
    return device.xapi.xml_document


panorama = connect(manager)
check(isinstance(panorama, Panorama), panorama)
found = panorama.refresh_devices(expand_vsys=False)
firewalls = [one for one in found if isinstance(one, Firewall)]
check([one.serial for one in firewalls] == [serial], found)
check(firewalls[0].state.connected, "the firewall is connected")

firewall = panorama.add(Firewall(serial=serial))
info = firewall.refresh_system_info()
check(info.platform == "PA-VM" and info.serial == serial and info.version == "11.2.3", info)

# The firewall's own configuration, with a job that is followed there.
firewall.add(Tag("blocked")).create()
firewall.add(AddressObject("web", "192.0.2.80")).create()
firewall.add(AddressGroup("bad", dynamic_value="'blocked'")).create()
rules = firewall.add(Rulebase())
rules.add(SecurityRule("own", fromzone=["trust"], tozone=["any"], action="deny", **dict(ANY, destination=["bad"]))).create()
committed(firewall.commit(sync=True))
check(firewall.commit(sync=True) is None, "there is nothing to commit")
firewall.op("show config effective-running")
for name in ("first", "own", "last"):
    check('<entry name="%s"' % name in text(firewall), text(firewall))
check("own" not in [rule.name for rule in SecurityRule.refreshall(panorama.add(Rulebase()))], "the manager has it not")

# Tags of one firewall, through its manager.
firewall.userid.register(["10.1.1.1", "10.1.1.2"], ["blocked"])
check(firewall.userid.get_registered_ip() == {"10.1.1.1": ["blocked"], "10.1.1.2": ["blocked"]}, "registered")
firewall.op('show object dynamic-address-group name "bad"')
check('name="10.1.1.2"' in text(firewall), text(firewall))
firewall.userid.unregister("10.1.1.1", "blocked")
check(firewall.userid.get_registered_ip() == {"10.1.1.2": ["blocked"]}, "unregistered")

# At its own address there is the same firewall.
direct = connect(own)
check(isinstance(direct, Firewall) and direct.refresh_system_info().serial == serial, direct)
check(direct.userid.get_registered_ip() == {"10.1.1.2": ["blocked"]}, "the same tags")
check("web" in [one.name for one in AddressObject.refreshall(direct)], "the same objects")
direct.xapi.log("config", nlogs=20, filter="( cmd eq set )")
check("<admin>admin</admin>" in text(direct) and "192.0.2.80" in text(direct), text(direct))
for device in (firewall, direct):
    device.op("show session info")
    check("<num-max>" in text(device), text(device))
    try:
        device.op("show devicegroups")
    except errors.PanDeviceError as error:
        check("invalid client cli" in str(error), error)
    else:
        raise SystemExit("a firewall has no device groups")

# Logs are asked of the manager; what the firewall was told is in its own.
panorama.xapi.log("config", nlogs=50, filter="( cmd eq commit )")
check(text(panorama).count("<cmd>commit</cmd>") >= 1, text(panorama))

lost = panorama.add(Firewall(serial="BZT000000000099"))
try:
    lost.refresh_system_info()
except errors.PanDeviceError as error:
    check("BZT000000000099 not connected" in str(error), error)
else:
    raise SystemExit("an unknown firewall answered")
print("ok")
