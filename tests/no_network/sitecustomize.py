"""Put this folder on PYTHONPATH and that Python, with its children, reaches this machine only.

Every connection, datagram or name look-up that would leave the machine raises OSError; loopback
and Unix sockets work, which is what Jupyter kernels need. Python imports the file by its name,
and only one of that name: so a record of opened files, where it is wanted, begins here too.
"""

import errno
import ipaddress
import os
import socket

_LOCAL_NAMES = {"", "localhost", "localhost.localdomain", "ip6-localhost"}


def _is_local(host):
    if host is None:
        return True
    host = host.decode() if isinstance(host, (bytes, bytearray)) else str(host)
    if host.lower() in _LOCAL_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _check(host):
    if not _is_local(host):
        raise OSError(errno.ENETUNREACH, f"network access is blocked in this run ({host!r})")


def _guard_method(name):
    original = getattr(socket.socket, name)

    def guarded(self, *args):
        # The address comes last: connect(address), sendto(data, [flags,] address). On a Unix
        # socket it is a path, not a tuple, and stays on this machine.
        if args and isinstance(args[-1], tuple):
            _check(args[-1][0])
        return original(self, *args)

    guarded.__name__, guarded.__doc__ = name, original.__doc__
    setattr(socket.socket, name, guarded)


def _guard_function(name):
    original = getattr(socket, name)

    def guarded(host, *args, **kwargs):
        _check(host)
        return original(host, *args, **kwargs)

    guarded.__name__, guarded.__doc__ = name, original.__doc__
    setattr(socket, name, guarded)


for _name in ("connect", "connect_ex", "sendto", "sendmsg"):
    if hasattr(socket.socket, _name):  # sendmsg does not exist on Windows
        _guard_method(_name)
for _name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex"):
    _guard_function(_name)

if "NETINV_OPENED_LOG" in os.environ:
    import opened_files  # noqa: F401
