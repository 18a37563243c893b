"""The machine as QEMU's options: two SR-IOV cards, a NUMA node for each, and their cables.

    pf0 (0000:21:00.0, node 0, seven VFs) ======== wire0
    pf1 (0000:41:00.0, node 1, seven VFs) ======== wire1

The wires are network devices of the same guest, without SR-IOV: what passes there has left the
card. An IOMMU is emulated, so that vfio-pci takes a VF.
"""

from __future__ import annotations

import os

CARDS = 2
MEMORY = 1024  #: MiB; what the guest writes is held in it


def accelerator() -> str:
    """kvm where the host has hardware for it: Debian's kernel runs in no other kind of KVM."""
    hardware = any(os.path.isdir(f"/sys/module/{name}") for name in ("kvm_intel", "kvm_amd"))
    return "kvm" if hardware and os.access("/dev/kvm", os.R_OK | os.W_OK) else "tcg"


def kernel_command_line(accelerator: str) -> str:
    line = (
        "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic nokaslr mitigations=off audit=0"
        " apparmor=0 nowatchdog random.trust_cpu=on net.ifnames=0 intel_iommu=on iommu=pt"
    )
    if accelerator == "tcg":
        # On a busy host an emulated processor may misjudge the frequency of its counter, several
        # times over, and with that the guest's clock.
        line += " clocksource=hpet tsc=reliable no_timer_check"
    return line


def options(accelerator: str) -> list[str]:
    """Processor, memory, cards.

    One processor: an emulated one more makes it all slower, and QEMU less reliable.
    """
    words = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-smp", "1"]
    board = "q35,usb=off,vmport=off,smm=off"
    if accelerator == "kvm":
        words += ["-M", f"{board},kernel-irqchip=split", "-accel", "kvm", "-cpu", "host"]
    else:
        words += ["-M", board, "-accel", "tcg,tb-size=512", "-cpu", "max,la57=off"]
    words += ["-m", str(MEMORY), "-device", "intel-iommu,intremap=on,caching-mode=on"]
    for node in range(CARDS):
        words += ["-object", f"memory-backend-ram,id=mem{node},size={MEMORY // CARDS}M"]
        words += ["-numa", f"node,nodeid={node},memdev=mem{node}" + (",cpus=0" if not node else "")]
    for card in range(CARDS):
        words += _card(card)
    return words


def _card(index: int) -> list[str]:
    bus = f"id=bus{index},bus=pcie.0,bus_nr={0x20 * (index + 1)},numa_node={index}"
    port = f"id=port{index},bus=bus{index},chassis={index + 1},slot={index}"
    mac = f"mac=52:54:00:01:00:{index:02x}"
    wire_mac = f"mac=52:54:00:02:00:{index:02x}"
    return [
        "-device", f"pxb-pcie,{bus}",
        "-device", f"pcie-root-port,{port}",
        "-netdev", f"hubport,id=pf{index},hubid={index}",
        "-netdev", f"hubport,id=wire{index},hubid={index}",
        "-device", f"igb,bus=port{index},netdev=pf{index},romfile=,{mac}",
        "-device", f"virtio-net-pci,bus=pcie.0,netdev=wire{index},romfile=,{wire_mac}",
    ]  # fmt: skip


def directory(tag: str, path: str) -> list[str]:
    """A directory of the host that the guest can mount, and not write on."""
    where = f"local,id={tag},path={path.replace(',', ',,')}"
    return [
        "-fsdev", f"{where},security_model=none,multidevs=remap,readonly=on",
        "-device", f"virtio-9p-pci,bus=pcie.0,fsdev={tag},mount_tag={tag}",
    ]  # fmt: skip
