"""Takes from a process what a reader of files does not need; for good, and before it reads.

Three walls, each of which holds where the others are not there:

- the kernel's limits: memory, processor time, no file may grow, no file may be opened
- Linux: a seccomp filter that knows only the calls of a program that computes. Opening a file or a
  socket, starting a program or a process: all answered with EPERM, also to root
- the reader itself, which loads tensors and runs nothing (`ml.exchange.unpickling`)
"""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import struct
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_SET_DUMPABLE = 38, 22, 4
_SECCOMP_MODE_FILTER = 2

# linux/audit.h, and the calls of each machine by the tables of its kernel (asm/unistd.h): what C,
# Python and torch use to compute, to keep memory, to read and write what is open, and to end.
_MACHINES = {
    "x86_64": (
        0xC000003E,
        {
            "read write close fstat lseek mmap mprotect munmap brk": (0, 1, 3, 5, 8, 9, 10, 11, 12),
            "rt_sigaction rt_sigprocmask rt_sigreturn pread64 writev": (13, 14, 15, 17, 20),
            "sched_yield mremap madvise nanosleep getpid exit": (24, 25, 28, 35, 39, 60),
            "gettimeofday getrlimit getrusage sysinfo gettid": (96, 97, 98, 99, 186),
            "futex sched_getaffinity clock_gettime clock_getres": (202, 204, 228, 229),
            "clock_nanosleep exit_group getcpu getrandom sigaltstack": (230, 231, 309, 318, 131),
        },
    ),
    "aarch64": (
        0xC00000B7,
        {
            "close lseek read write writev pread64 fstat": (57, 62, 63, 64, 66, 67, 80),
            "exit exit_group futex nanosleep clock_gettime": (93, 94, 98, 101, 113),
            "clock_getres clock_nanosleep sched_getaffinity sched_yield": (114, 115, 123, 124),
            "sigaltstack rt_sigaction rt_sigprocmask rt_sigreturn": (132, 134, 135, 139),
            "getrlimit getrusage getcpu gettimeofday getpid gettid": (163, 165, 168, 169, 172, 178),
            "sysinfo brk munmap mremap mmap mprotect": (179, 214, 215, 216, 222, 226),
            "madvise getrandom": (233, 278),
        },
    ),
}

_X32 = 0x40000000
"""Calls of the x32 kind on x86_64 have this bit; they would pass by the table."""


def confine(memory_bytes: int, cpu_seconds: int) -> bool:
    """Let this process do nothing but compute from now on; whether all walls stand.

    ``memory_bytes`` are what it may take beyond what it has. Import before this whatever will be
    needed. Without seccomp (another system or machine) the limits alone hold.
    """
    _limit(resource.RLIMIT_AS, _address_space() + memory_bytes)
    _limit(resource.RLIMIT_CPU, cpu_seconds)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    # Descriptors that are open stay; 0 is the lowest that a new one could have.
    _limit(resource.RLIMIT_NOFILE, 0)
    with suppress(AttributeError):
        _limit(resource.RLIMIT_NPROC, 0)
    return _filter_calls()


def _limit(kind: int, most: int) -> None:
    # macOS refuses some of them; the others hold all the same.
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(kind)
        if hard != resource.RLIM_INFINITY:
            most = min(most, hard)
        resource.setrlimit(kind, (most, most))


def _address_space() -> int:
    """Bytes that this process has mapped; 0 where nobody tells."""
    with suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        return pages * resource.getpagesize()
    return 4 * 2**30


def _filter_calls() -> bool:
    machine = _MACHINES.get(platform.machine())
    if sys.platform != "linux" or machine is None or sys.maxsize < 2**32:
        return False
    architecture, calls = machine
    allowed = sorted(number for numbers in calls.values() for number in numbers)
    program = _program(architecture, allowed)

    class SockFprog(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    code = ctypes.create_string_buffer(program, len(program))
    told = SockFprog(len(program) // 8, ctypes.cast(code, ctypes.c_void_p))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    # Nobody of the same user may look into it, or steer it.
    prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    done: int = prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(told), 0, 0)
    return done == 0


def _program(architecture: int, allowed: list[int]) -> bytes:
    """A filter in classic BPF (linux/filter.h, linux/seccomp.h): allowed calls pass, all others
    fail with EPERM; of another machine's calls the process dies."""
    load, equal, at_least, answer = 0x20, 0x15, 0x35, 0x06
    kill, refuse, allow = 0x80000000, 0x00050000 | errno.EPERM, 0x7FFF0000
    steps: list[tuple[int, int, int, int]] = [
        (load, 0, 0, 4),  # seccomp_data.arch
        (equal, 1, 0, architecture),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),  # seccomp_data.nr
        (at_least, len(allowed), 0, _X32),
    ]
    for place, number in enumerate(allowed):
        steps.append((equal, len(allowed) - place, 0, number))
    steps += [(answer, 0, 0, refuse), (answer, 0, 0, allow)]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)
