"""Network selection: which networks a pod asks for, and with what wishes (NPWG 4.1).

Pure: text in, elements out. The error texts are those that operators know from the original.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cni.core import names, request
from cni.core.errors import CniError, invalid
from cni.core.load import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cni.core.types import Json
    from meta.conf import Selection

_PARSE = "parsePodNetworkAnnotation"
_NAME = f"{_PARSE}: parsePodNetworkObjectName"
_ADDRESS_BYTES = (6, 8, 20)  # EUI-48, EUI-64, IP over InfiniBand: what Go's ParseMAC takes
_HEX = frozenset("0123456789abcdefABCDEF")
_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")


def parse(annotation: str, default_namespace: str = "") -> list[Selection]:
    """The elements of an annotation in its short (`ns/name@if,...`) or its JSON form.

    Raises CniError 7 with the original's text.
    """
    if not annotation:
        raise invalid(f'{_PARSE}: pod annotation does not have "network" as key')
    if any(c in '[{"' for c in annotation):
        elements = _parse_json(annotation)
    else:
        elements = [_parse_item(item.strip()) for item in annotation.split(",")]
    check(elements)
    return [
        each if each.namespace else each.model_copy(update={"namespace": default_namespace})
        for each in elements
    ]


def check(elements: Iterable[Selection]) -> None:
    """Raises CniError 7 for an address that is none."""
    for element in elements:
        if element.mac and not is_hardware_address(element.mac):
            raise invalid(f"{_PARSE}: failed to mac: address {element.mac}: invalid MAC address")
        guid = element.infiniband_guid
        if guid and not is_hardware_address(guid):
            raise invalid(
                f"{_PARSE}: failed to validate infiniband GUID: address {guid}: invalid MAC address"
            )
        for ip in element.ips:
            _check_ip(ip)
        for gateway in element.default_route or ():
            if "/" in gateway or not _is_ip(gateway):
                raise invalid(f'"default-route": failed to parse IP address "{gateway}"')


def ifname(element: Selection) -> str:
    """The interface name it asks for, by the current or by the old key; empty when any will do."""
    return element.interface or element.interface_request


def runtime_config(element: Selection) -> Json:
    """Its wishes as capability arguments (CNI conventions, "Dynamic Plugin specific fields")."""
    wishes: Json = {
        "portMappings": [_port_mapping(each) for each in element.port_mappings],
        "ips": list(element.ips),
        "mac": element.mac,
        "infinibandGUID": element.infiniband_guid,
        "deviceID": element.device_id,
    }
    if element.bandwidth is not None:
        wishes["bandwidth"] = {
            "ingressRate": element.bandwidth.ingress_rate,
            "ingressBurst": element.bandwidth.ingress_burst,
            "egressRate": element.bandwidth.egress_rate,
            "egressBurst": element.bandwidth.egress_burst,
        }
    return {key: value for key, value in wishes.items() if value}


def is_hardware_address(text: str) -> bool:
    """Whether Go's ParseMAC takes it: pairs by `:` or `-`, or groups of four by `.`."""
    for separator, width in ((":", 2), ("-", 2), (".", 4)):
        groups = text.split(separator)
        if len(groups) * width // 2 in _ADDRESS_BYTES and all(
            len(group) == width and _HEX.issuperset(group) for group in groups
        ):
            return True
    return False


def _parse_json(annotation: str) -> list[Selection]:
    where = f"{_PARSE}: failed to parse pod Network Attachment Selection Annotation JSON format"
    try:
        value: Any = request.parse_json(annotation)
    except (ValueError, RecursionError) as error:
        raise invalid(f"{where}: {error}") from None
    if not isinstance(value, list):
        raise invalid(f"{where}: a list of objects is expected, got {type(value).__name__}")
    elements = []
    for index, each in enumerate(value):
        if not isinstance(each, dict):
            raise invalid(
                f"{where}: element {index} must be an object, got {json.dumps(each)[:100]}"
            )
        try:
            elements.append(load("meta.conf:Selection", each, str(index)))
        except CniError as error:
            raise error.within(where) from None
    return elements


def _parse_item(item: str) -> Selection:
    """One `[namespace/]name[@interface]`."""
    namespace, slash, name = item.partition("/")
    if not slash:
        namespace, name = "", item
    if "/" in name:
        raise invalid(f"{_NAME}: Invalid network object (failed at '/')")
    name, _, interface = name.partition("@")
    if "@" in interface:
        raise invalid(f"{_NAME}: Invalid network object (failed at '@')")
    namespace, name, interface = namespace.strip(), name.strip(), interface.strip()
    for part in (namespace, name):
        if part and not _is_label(part):
            raise invalid(
                f"{_NAME}: Failed to parse: one or more items did not match comma-delimited format"
                " (must consist of lower case alphanumeric characters). Must start and end with an"
                f" alphanumeric character), mismatch @ '{part}'"
            )
    if interface and names.ifname_fault(interface):
        raise invalid(
            f"{_NAME}: Failed to parse interface name: must be less than 15 chars and not contain"
            f" '/' or spaces. interface name '{interface}'"
        )
    found: Selection = load(
        "meta.conf:Selection", {"name": name, "namespace": namespace, "interface": interface}
    )
    return found


def _is_label(text: str) -> bool:
    """`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`, the DNS label of Kubernetes."""
    return text[0] in _LABEL and text[-1] in _LABEL and (_LABEL | {"-"}).issuperset(text)


def _check_ip(text: str) -> None:
    address, slash, prefix = text.partition("/")
    if not slash:
        if not _is_ip(address):
            raise invalid(f'failed to parse IP address "{text}"')
    elif (
        not _is_ip(address)
        or not (prefix.isascii() and prefix.isdigit() and len(prefix) <= 3)
        or int(prefix) > (128 if ":" in address else 32)
    ):
        raise invalid(f'failed to parse CIDR "{text}": invalid CIDR address: {text}')


def _is_ip(text: str) -> bool:
    import ipaddress  # 3 ms, for those only who ask for addresses

    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # Go's ParseIP has no zones


def _port_mapping(mapping: Any) -> Json:
    out: Json = {"hostPort": mapping.host_port, "containerPort": mapping.container_port}
    if mapping.protocol:
        out["protocol"] = mapping.protocol
    if mapping.host_ip:
        out["hostIP"] = mapping.host_ip
    return out
