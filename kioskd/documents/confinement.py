"""What a process gives up for good before it opens something hostile.

Network, files and system calls are taken away by three means of the kernel that do not
depend on each other. Each says whether the kernel here has it; none raises.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

_CLONE_NEWUSER: Final = 0x10000000  # linux/sched.h
_CLONE_NEWNET: Final = 0x40000000
_CLONE_THREAD: Final = 0x00010000
_PR_SET_NO_NEW_PRIVS: Final = 38  # linux/prctl.h

_LANDLOCK_CREATE: Final = 444  # the same on every architecture, asm-generic/unistd.h
_LANDLOCK_ADD: Final = 445
_LANDLOCK_RESTRICT: Final = 446
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH: Final = 1  # LANDLOCK_RULE_PATH_BENEATH
_READ: Final = 1 << 2 | 1 << 3  # READ_FILE, READ_DIR, linux/landlock.h
_READ_FILE: Final = 1 << 2
_WRITE: Final = 1 << 1 | 1 << 5 | 1 << 8  # WRITE_FILE, REMOVE_FILE, MAKE_REG
_TRUNCATE: Final = 1 << 14
_ACCESSES: Final = ((1, 13), (2, 14), (3, 15), (5, 16))
"""From which version of Landlock on how many kinds of access it knows."""

_SYSTEM: Final = ("/usr", "/lib", "/lib64", "/etc/fonts", "/etc/ld.so.cache")
"""Libraries and fonts."""

_FORBIDDEN: Final = (
    *("socket", "socketpair", "connect", "bind", "listen", "accept", "accept4"),
    *("execve", "execveat", "fork", "vfork", "ptrace", "process_vm_readv", "process_vm_writev"),
    *("kill", "tkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd"),
    *("pidfd_send_signal", "kcmp", "process_madvise"),
    *("mount", "umount2", "pivot_root", "chroot", "move_mount", "open_tree", "fsopen"),
    *("mount_setattr", "unshare", "setns", "open_by_handle_at", "name_to_handle_at"),
    *("chmod", "fchmod", "fchmodat", "chown", "fchown", "lchown", "fchownat", "setxattr"),
    *("lsetxattr", "fsetxattr", "symlink", "symlinkat", "link", "linkat", "mknod", "mknodat"),
    *("shmget", "shmat", "msgget", "semget", "mq_open", "userfaultfd", "perf_event_open"),
    *("bpf", "io_uring_setup", "io_uring_enter", "io_uring_register", "fanotify_init"),
    *("keyctl", "add_key", "request_key", "init_module", "finit_module", "kexec_load"),
    *("setuid", "setgid", "setresuid", "setresgid", "setreuid", "setregid", "setgroups"),
    *("personality", "reboot", "swapon", "swapoff", "syslog", "acct", "quotactl"),
)
"""A list of what is forbidden, not of what is allowed: what PDFium and the C library call
changes from version to version, and a page that is not printed for that is no safety."""


class _Ruleset(ctypes.Structure):
    _fields_ = (("files", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"  # what _pack_ means, said aloud, as newer Pythons ask
    _fields_ = (("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def leave_network() -> bool:
    """Move this process into an empty network namespace; False where that is not allowed."""
    libc = _libc()
    # With a user namespace of its own an ordinary user may do it, and root loses its powers.
    attempts = (_CLONE_NEWUSER | _CLONE_NEWNET, _CLONE_NEWNET)
    return any(libc.unshare(flags) == 0 for flags in attempts)


def has_landlock() -> bool:
    """Tell whether this kernel lets a process give up files (Linux 5.13 and later, if built in)."""
    return _landlock_version() >= 1


def _landlock_version() -> int:
    return int(_libc().syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), _VERSION))


def keep_only_files(readable: Path, writable: Path) -> bool:
    """Give up every file but the file `readable`, the folder `writable`, libraries and fonts.

    Holds for this thread and those it starts later: call it before there are others.
    """
    version = _landlock_version()
    if version < 1:
        return False
    libc = _libc()
    kinds = max(count for since, count in _ACCESSES if version >= since)
    every = (1 << kinds) - 1
    rules = _Ruleset(every)
    ruleset = libc.syscall(
        _LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(ctypes.sizeof(rules)), 0
    )
    if ruleset < 0:
        return False
    try:
        done = [_allow(libc, ruleset, path, _READ) for path in _program_files()]
        done.append(_allow(libc, ruleset, readable, _READ_FILE))
        done.append(_allow(libc, ruleset, writable, (_READ | _WRITE | _TRUNCATE) & every))
        if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            return False
        return all(done) and libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _program_files() -> Iterable[Path]:
    ours = {sys.prefix, sys.base_prefix, str(Path(__file__).parents[2])}
    # The parts of sys.path that are folders of code; the working folder is none.
    ours.update(one for one in sys.path if one and one != str(Path.cwd()))
    return [path for one in (*_SYSTEM, *sorted(ours)) if (path := Path(one)).exists()]


def _allow(libc: ctypes.CDLL, ruleset: int, path: Path, access: int) -> bool:
    try:
        folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        rule = _PathBeneath(access if path.is_dir() else access & ~(1 << 3), folder)
        return bool(libc.syscall(_LANDLOCK_ADD, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0) == 0)
    finally:
        os.close(folder)


def has_seccomp() -> bool:
    """Tell whether libseccomp is there, which `forbid_calls` needs."""
    try:
        import pyseccomp  # noqa: F401
    except (ImportError, OSError, RuntimeError):
        return False
    return True


def forbid_calls() -> bool:
    """Make system calls that no rasteriser needs fail with EPERM: new sockets, programs,
    processes, other processes' memory, mounts, rights. Threads may still be started.
    """
    if not has_seccomp():
        return False
    import pyseccomp as seccomp

    refuse = seccomp.ERRNO(errno.EPERM)
    own = os.getpid()
    try:
        rules = seccomp.SyscallFilter(seccomp.ALLOW)
        for name in _FORBIDDEN:
            _add(rules, refuse, name)
        # The C library falls back to clone, whose flags can be seen; clone3's lie in memory.
        _add(rules, seccomp.ERRNO(errno.ENOSYS), "clone3")
        thread = seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0)
        rules.add_rule(refuse, "clone", thread)
        rules.add_rule(refuse, "tgkill", seccomp.Arg(0, seccomp.NE, own))  # abort() is its own
        rules.add_rule(refuse, "prlimit64", seccomp.Arg(0, seccomp.NE, 0))
        rules.load()
    except (OSError, ValueError, RuntimeError):
        return False
    return True


def _add(rules: object, action: int, name: str) -> None:
    try:
        rules.add_rule(action, name)  # type: ignore[attr-defined]
    except (OSError, ValueError, RuntimeError):
        return  # not a call of this architecture, or of this libseccomp
