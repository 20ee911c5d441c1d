"""What a process that opens hostile documents can no longer do."""

from __future__ import annotations

import ctypes
import errno
import resource
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000  # linux/sched.h
_CLONE_NEWNET: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_REFUSED: Final = (
    # No other connection than the one to the daemon that is there already.
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"),
    # No other program, and no hand on another process.
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("kill", "tkill", "tgkill", "pidfd_open", "pidfd_getfd", "pidfd_send_signal"),
    # Nothing that widens what a process may see, or reaches into the kernel's newest parts.
    *("mount", "umount2", "pivot_root", "chroot", "unshare", "setns", "open_by_handle_at"),
    *("keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd"),
    *("io_uring_setup", "io_uring_enter", "io_uring_register", "memfd_create", "symlink", "link"),
    *("symlinkat", "linkat", "mknod", "mknodat", "setxattr", "chmod", "fchmodat", "chown"),
)
"""System calls that drawing a document never needs; EPERM for whoever tries one."""


def limit(what: int, value: int) -> None:
    """Lower a resource limit (getrlimit(2)), for good, to `value` or what is less already."""
    hard = resource.getrlimit(what)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(what, (value, value))


def leave_network() -> bool:
    """Move this process into an empty network namespace; False where that is not allowed."""
    libc = ctypes.CDLL(None, use_errno=True)
    # With a user namespace of its own an ordinary user may do it, and root loses its powers.
    attempts = (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET)
    return any(libc.unshare(flags) == 0 for flags in attempts)


def limit_system_calls() -> bool:
    """Refuse _REFUSED and new processes, for good, by seccomp(2); False where that cannot be.

    A list of what is refused, not of what is allowed: what the C library and Python call
    differs from one release to the next, and a kiosk that no longer prints after an upgrade
    has failed too. Threads that begin later are confined as well.
    """
    try:
        import pyseccomp

        rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
        for name in _REFUSED:
            rules.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
        # The C library takes clone where there is no clone3; its flags can be looked at.
        rules.add_rule(pyseccomp.ERRNO(errno.ENOSYS), "clone3")
        process = pyseccomp.Arg(0, pyseccomp.MASKED_EQ, _CLONE_THREAD, 0)
        rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "clone", process)
        rules.load()
    except (OSError, RuntimeError):  # no library, no seccomp in this kernel
        return False
    return True
