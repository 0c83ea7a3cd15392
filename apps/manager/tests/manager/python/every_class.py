"""The whole life of every class of pan-os-python, at every place it can have in a configuration.

    every_class.py [HOST:]PORT PASSWORD [SERIAL]

The port is a manager's, or a firewall's own; with a serial number it is the firewall of that number, asked through the
manager.

Each is created, refreshed, compared, applied, updated, renamed, moved and deleted, whether this version
enforces it or not. Every failure is printed, not the first.
"""

import inspect
import re
import sys
import xml.etree.ElementTree as ET

from panos import base, device, firewall, ha, network, objects, panorama, plugins, policies

MODULES = {
    "device": device, "firewall": firewall, "ha": ha, "network": network, "objects": objects,
    "panorama": panorama, "plugins": plugins, "policies": policies,
}
# Not parts of a configuration, or the places themselves. `InternalDnsMatch`, with what stands below it, cannot be sent
# at all: it is an entry that the client gives no name.
SKIPPED = {
    "InternalDnsMatch", "PrimaryInternalDNSServer", "SecondaryInternalDNSServer", "Firewall", "Panorama",
    "DeviceGroup", "Template", "TemplateStack", "Rulebase", "PreRulebase", "PostRulebase",
}
# What a class needs to be meaningful, by parameter.
GIVEN = {
    "Administrator": {"superuser": True},
    "TemplateVariable": {"variable_type": "ip-netmask", "value": "10.0.0.1/24"},
    "AddressObject": {"value": "10.0.0.1"},
    "AuthenticationRule": {"timeout": "60"},
    "CertificateProfile": {"username_field": "subject", "username_field_value": "common-name", "use_crl": "yes", "use_ocsp": "yes"},
    "LogForwardingProfileMatchListAction": {"action_type": "tagging", "action": "add-tag"},
    "PolicyBasedForwarding": {"active_active_device_binding": "both"},
    "EthernetInterface": {"link_speed": "auto", "link_duplex": "auto", "link_state": "auto"},
    "BgpDampeningProfile": {"cutoff": "1.25", "reuse": "0.5"},
    "SecurityRule": {"action": "allow", "type": "universal"},
    "SnmpV3Server": {"auth_password": "at least 8", "priv_password": "at least 8"},
    "SystemSettings": {"timezone": "UTC"},
    "Tag": {"color": "color1"},
}
# Template stacks hold what templates hold; a few say that they do.
IN_STACK = {
    "EthernetInterface", "Zone", "VirtualRouter", "StaticRoute", "SystemSettings", "TemplateVariable", "AddressObject",
}
# Parameters that stand for the other branch of a choice, or that only the server gives.
LEFT_OUT = {
    "uuid", "dynamic_value", "enable_dhcp", "create_dhcp_default_route", "dhcp_default_route_metric", "group",
    "destination_dynamic_translated_address", "destination_dynamic_translated_port",
    "destination_dynamic_translated_distribution", "superuser_read_only", "panorama_admin", "device_admin",
    "device_admin_read_only", "vsys", "vsys_read_only", "role_profile", "vsys_device", "vsys_read_only_device",
    "lifetime_minutes", "lifetime_hours", "lifetime_days", "lifesize_mb", "lifesize_gb", "lifesize_tb", "ah_authentication",
    "number_protocol", "tcp_local_port", "tcp_remote_port", "udp_local_port", "udp_remote_port",
}
# Numbers that 7 is out of range for.
NUMBERS = {
    "mtu": 1500, "retry_interval": 60, "login_count": 3, "risk": 3, "nat_traversal_keep_alive": 20, "lifetime_seconds": 3600,
    "ipv4_mss_adjust": 100, "ipv6_mss_adjust": 100,
}
# Elements whose text is sealed.
SEALED = {
    "authpwd", "bind-password", "password", "private-key", "privpwd", "secret", "secure-proxy-password",
    "uninstall-password",
}
SECRETS = re.compile("(<(?:%s|pre-shared-key><key)>)([^<]+)<" % "|".join(sorted(SEALED)))
# The client finds these again only below their interface.
BELOW_AN_INTERFACE = {"Layer2Subinterface", "Layer3Subinterface"}
# The client does not read back what stands below the address family, so the XML is looked at instead.
AFI = {"RoutingProfileBgpAddressFamily", "RoutingProfileBgpFiltering", "RoutingProfileBgpRedistribution"}
NAMES = {
    "EthernetInterface": "ethernet1/%d", "AggregateInterface": "ae%d", "LoopbackInterface": "loopback.%d",
    "TunnelInterface": "tunnel.%d", "VlanInterface": "vlan.%d", "Layer3Subinterface": "ethernet1/1.%d",
    "Layer2Subinterface": "ethernet1/1.%d", "Vsys": "vsys1%d", "TemplateVariable": "$variable%d",
    "IPv6Address": "2001:db8::%d", "Arp": "10.0.0.%d", "BgpPolicyAddressPrefix": "10.%d.0.0/16",
}

place, password = sys.argv[1], sys.argv[2]
host, port = place.split(":") if ":" in place else ("127.0.0.1", place)
failures, counts = [], {}


def children_of(kind):
    for name in getattr(kind, "CHILDTYPES", ()):
        module, _, what = name.partition(".")
        yield getattr(MODULES[module], what)


def chains(root):
    """The shortest way from a root to each class below it."""
    found, queue = {}, [(root, ())]
    while queue:
        kind, way = queue.pop(0)
        for child in children_of(kind):
            if child.__name__ in BELOW_AN_INTERFACE and not issubclass(kind, network.PhysicalInterface):
                continue
            if child in found or child.__name__ in ("Firewall", "DeviceGroup", "Template", "TemplateStack"):
                continue
            found[child] = way + (child,)
            queue.append((child, way + (child,)))
    return found


def value_for(name, path):
    if path.values:
        return path.values[0]
    if path.vartype == "int" and name.startswith("ad_"):
        return 100
    if path.vartype == "int" and name in NUMBERS:
        return NUMBERS[name]
    return {"member": ["one", "two"], "entry": ["one", "two"], "int": 7, "yesno": True, "exist": True, "bool": True}.get(
        path.vartype, "text"
    )


def left_out(name):
    return name in LEFT_OUT or name.startswith("dhcp_")


def holds(condition, chosen):
    for name, wanted in (condition or {}).items():
        wanted = wanted if isinstance(wanted, (list, tuple)) else [wanted]
        if chosen.get(name) not in wanted:
            return False
    return True


def fill(item):
    """Gives every parameter that can have one a value; one branch of each choice."""
    version = item.retrieve_panos_version()
    chosen = dict(GIVEN.get(type(item).__name__, {}))
    paths = [(param, param._get_versioned_value(version)) for param in getattr(item, "_params", ())]
    for _ in paths:
        for param, path in paths:
            if path is None or param.name == "afi" or param.name in chosen or path.exclude or left_out(param.name):
                continue
            if holds(path.condition, chosen):
                chosen[param.name] = value_for(param.name, path)
    for name, value in chosen.items():
        setattr(item, name, value)
    return item


def new(kind, number=1):
    pattern = NAMES.get(kind.__name__)
    if kind.NAME is None:
        item = kind()
        if kind.SUFFIX == base.ENTRY:
            item.name = "%s-%d" % (kind.__name__[:20].lower(), number)
        return item
    item = kind(pattern % number if pattern else "%s-%d" % (kind.__name__[:20].lower(), number))
    if kind.__name__ in AFI:
        item.afi = "ipv4"
    return item


def text_of(item):
    return ET.tostring(item.element(True, True), encoding="unicode")


def read_back(parent, kind, item):
    if kind.__name__ in AFI:
        manager.xapi.get(item.xpath())
        return ET.tostring(manager.xapi.element_root.find("result/entry"), encoding="unicode")
    again = parent.add(new(kind))
    again.refresh()
    parent.children.remove(again)
    return text_of(again)


def masked(text, where):
    """Secrets come back sealed; the client takes the mark off the front."""
    for found in SECRETS.finditer(text):
        if where is not None and found.group(2) in ("text", "at least 8"):
            failures.append("%s: a secret is in clear: %s" % (where, found.group(0)))
    return SECRETS.sub(r"\1sealed<", text)


def life(parent, kind, where):
    item = parent.add(fill(new(kind)))
    for action in (item.create, item.apply):
        action()
        before, after = text_of(item), read_back(parent, kind, item)
        if masked(before, None) != masked(after, where):
            failures.append("%s: %s, then read:\n  %s\n  %s" % (where, action.__name__, before, after))
    updated(item, where)
    if kind.NAME is not None and kind.SUFFIX == base.ENTRY:
        renamed(parent, item, kind, where)
    item.delete()


def updated(item, where):
    for param in getattr(item, "_params", ()):
        path = param._get_versioned_value(item.retrieve_panos_version())
        if path is not None and path.path and path.path.split("/")[-1] in SEALED:
            continue
        plain = path is not None and not path.values and path.vartype is None and path.path and "{" not in path.path
        if plain and param.value == "text":
            param.value = "changed"
            item.update(param.name)
            manager.xapi.get(item.xpath())
            found = ET.tostring(manager.xapi.element_root, encoding="unicode")
            if ">changed<" not in found:
                failures.append("%s: update of %s left %s" % (where, param.name, found))
            counts["updated"] = counts.get("updated", 0) + 1
            return


def renamed(parent, item, kind, where):
    other = parent.add(fill(new(kind, 2)))
    other.create()
    if hasattr(other, "move"):
        other.move("top")
        names = [found.uid for found in kind.refreshall(parent, add=False)]
        if names[:1] != [other.uid]:
            failures.append("%s: moved to the top: %r" % (where, names))
    other.delete()
    name = getattr(new(kind, 3), "uid")
    item.rename(name)
    names = [found.uid for found in kind.refreshall(parent, add=False)]
    if name not in names:
        failures.append("%s: renamed to %s, found %r" % (where, name, names))


def of_manager():
    """Shared, a device group, a template and a stack."""
    yield "shared", manager, panorama.Panorama
    group = manager.add(panorama.DeviceGroup("everything"))
    group.create()
    group.add(objects.AddressObject("one", "192.0.2.1")).create()
    manager.add(objects.AddressObject("one", "192.0.2.1")).create()
    template = manager.add(panorama.Template("everything"))
    template.create()
    stack = manager.add(panorama.TemplateStack("everything-stack", templates=["everything"]))
    stack.create()
    yield "device group", group, panorama.DeviceGroup
    yield "template", template, panorama.Template
    yield "template stack", stack, panorama.TemplateStack


manager = base.PanDevice.create_from_device(host, "admin", password, port=int(port))
if len(sys.argv) > 3:
    manager = manager.add(firewall.Firewall(serial=sys.argv[3]))
info = manager.refresh_system_info()
if isinstance(manager, firewall.Firewall):
    if info.platform != "PA-VM" or (len(sys.argv) > 3 and info.serial != sys.argv[3]):
        failures.append("the firewall says it is %r" % (info,))
    manager.add(objects.AddressObject("one", "192.0.2.1")).create()
    roots = [("firewall", manager, firewall.Firewall)]
else:
    roots = list(of_manager())

seen = set()
for place, root, root_kind in roots:
    for kind, chain in sorted(chains(root_kind).items(), key=lambda pair: pair[0].__name__):
        if kind.__name__ in SKIPPED or not hasattr(kind, "_setup"):
            continue
        if place == "template stack" and kind.__name__ not in IN_STACK:
            continue
        where = "%s / %s" % (place, " / ".join(step.__name__ for step in chain))
        parent, made = root, []
        try:
            for step in chain[:-1]:
                above = parent.add(fill(new(step)) if step.__name__ not in SKIPPED else step())
                if step.__name__ not in SKIPPED:
                    above.create()
                    made.append(above)
                parent = above
            life(parent, kind, where)
            seen.add(kind.__name__)
            counts[place] = counts.get(place, 0) + 1
        except Exception as error:  # noqa: BLE001
            failures.append("%s: %s: %s" % (where, type(error).__name__, error))
        for above in reversed(made):
            try:
                above.delete()
            except Exception as error:  # noqa: BLE001
                failures.append("%s: delete of %s: %s" % (where, type(above).__name__, error))
        root.children = [child for child in root.children if type(child).__name__ in ("AddressObject", "DeviceGroup", "Template", "TemplateStack")]

every = {
    name
    for module in MODULES.values()
    for name, kind in inspect.getmembers(module, inspect.isclass)
    if issubclass(kind, base.VersionedPanObject) and kind.__module__ == module.__name__
}
# The places themselves, bases of other classes, and what only a firewall's own address has.
elsewhere = SKIPPED | {
    "AdvancedRoutingEngine", "BgpPolicyFilter", "BgpPolicyRule", "DNSServerBase", "Dhcp", "DhcpRelay",
    "DhcpRelayIpv6Address", "Interface", "PhysicalInterface", "RedistributionProfileBase", "Subinterface",
}
if isinstance(manager, firewall.Firewall):
    # What only a manager has; everything that can stand below a firewall was tried.
    every &= {kind.__name__ for kind in chains(firewall.Firewall)}
for name in sorted(every - seen - elsewhere):
    failures.append("%s was not tried" % name)
if counts.get("updated", 0) < 100:
    failures.append("only %d updates were tried" % counts.get("updated", 0))
print("classes lived:", len(seen), counts)
for failure in failures:
    print("FAILED", failure)
print("ok" if not failures else "%d failures" % len(failures))
