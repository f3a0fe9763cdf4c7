"""Which addresses belong to the public internet.

From the IANA registries of special-purpose addresses (RFC 6890, as of 2026-11), since
`ipaddress.is_global` has changed its mind between Python's versions. Where an IPv6 address
stands for an IPv4 one, that one counts.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

_NOT_PUBLIC_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this host (RFC 791)
        "10.0.0.0/8",  # private (RFC 1918), as are 172.16/12 and 192.168/16
        "100.64.0.0/10",  # shared by a provider's customers (RFC 6598)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds keep their secrets at 169.254.169.254
        "172.16.0.0/12",
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation, as are 198.51.100/24 and 203.0.113/24
        "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        "192.168.0.0/16",
        "198.18.0.0/15",  # benchmarks (RFC 2544)
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and the broadcast address
    )
)
# Only this is global unicast so far (RFC 4291 §2.4), but for
_GLOBAL_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments, Teredo and benchmarks among them
        "2001:db8::/32",  # documentation, as is 3fff::/20
        "2002::/16",  # 6to4, deprecated; stands for any IPv4 address
        "3fff::/20",
    )
)
# These stand for the IPv4 address in their last 32 bits: as sockets write it, and as
# IPv6-only networks reach IPv4 (RFC 6052).
_CARRIERS = (IPv6Network("::ffff:0:0/96"), IPv6Network("64:ff9b::/96"))


def meant(text: str) -> IPv4Address | IPv6Address:
    """The address that a text, as a socket writes it, stands for."""
    address = ip_address(text.partition("%")[0])
    if any(address in carrier for carrier in _CARRIERS):
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def is_public(text: str) -> bool:
    """True if an address, as a socket writes it, belongs to the public internet."""
    address = meant(text)
    if isinstance(address, IPv6Address):
        return _is_public_6(address)
    return not any(address in network for network in _NOT_PUBLIC_4)


def _is_public_6(address: IPv6Address) -> bool:
    is_special = any(address in network for network in _NOT_PUBLIC_6)
    return address in _GLOBAL_6 and not is_special
