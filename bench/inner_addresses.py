"""Addresses inside a service's own network, in many spellings."""

from __future__ import annotations

_IPV4 = (
    "127.0.0.1", "127.8.9.10", "0.0.0.0",  # noqa: S104  (refused)
    "10.0.0.7", "10.255.255.254", "172.16.0.1", "172.31.255.254",
    "192.168.0.1", "192.168.255.254", "169.254.169.254", "169.254.170.2", "100.64.0.1", "100.100.100.200",
    "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1",
    "239.255.255.250", "240.0.0.1", "255.255.255.255",
)  # fmt: skip
_IPV6 = (
    "::1", "::", "fe80::1", "fe80::1%25eth0", "fc00::1", "fd00:ec2::254", "ff02::1", "fec0::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::", "2001:0:7f00:1::1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:7", "::ffff:127.0.0.1", "::ffff:10.0.0.7",
    "::ffff:169.254.169.254", "::ffff:0:127.0.0.1", "::127.0.0.1", "100::1",
)  # fmt: skip
_NUMBERS = (
    "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "127.0.1", "017700000001", "127.0.0.1.",
    "0x7f.0x0.0x0.0x1", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376", "167772167", "0x0a.0.0.7",
    "00000010.0.0.7", "0", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
    "\u2460\u2461\u2466.0.0.1",
)  # fmt: skip
_WHOLE = (
    "http://user@10.0.0.7/a.wav", "http://93.184.216.34@127.0.0.1/a.wav", "http://127.0.0.1:22/a.wav",
    "http://127.0.0.1:5432/a.wav", "http://93.184.216.34:22/a.wav", "https://127.0.0.1/a.wav",
    "https://[::1]/a.wav", "http://localhost/a.wav", "http://LOCALHOST./a.wav", "file:///etc/passwd",
    "ftp://127.0.0.1/a.wav", "gopher://127.0.0.1/", "http:///127.0.0.1/a.wav", "http:127.0.0.1/a.wav",
    "http:\\\\127.0.0.1\\a.wav",
)  # fmt: skip

REDIRECTIONS = (
    "http://127.0.0.1/a.wav", "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "file:///etc/passwd",
    "http://localhost:22/",
)  # fmt: skip
"""Addresses that a redirection leads to."""

INNER_ADDRESSES = (
    *(f"http://{host}/a.wav" for host in (*_IPV4, *_NUMBERS)),
    *(f"http://[{host}]/a.wav" for host in _IPV6),
    *_WHOLE,
)
"""Addresses that a caller may name."""
