"""Hostile programs by what they try: name -> (source, verdicts that it may get). None of them may pass."""

from __future__ import annotations

from crestfall.core.types import Verdict as V

REFUSED = {V.RUNTIME_ERROR, V.VIOLATION, V.WRONG_ANSWER}
F = "\ndef f(x): return 0\n"


def swallowed(statement: str) -> str:
    """`statement` tried, its failure hidden, and a wrong answer given."""
    body = "\n".join(f"    {line}" for line in statement.split("\n"))
    return f"try:\n{body}\nexcept BaseException: pass\n{F}"


def leak(statement: str) -> str:
    """`statement` has to leave what it found in `found`: the program returns the i-th answer in it, if there is one."""
    return f"""
import re
found = ''
try:
{chr(10).join("    " + line for line in statement.split(chr(10)))}
except BaseException: pass
def f(x):
    answers = re.findall(r"answer-[0-9]+", str(found))
    return answers[x % len(answers)] if answers else 0
"""


RESOURCES = {
    "busy loop": ("while True: pass", {V.TIME_LIMIT}),
    "busy loop in a call": ("def f(x):\n    while True: pass", {V.TIME_LIMIT}),
    "sleep": ("import time\ntime.sleep(10**6)", {V.TIME_LIMIT}),
    "sleep that eats exceptions": (
        "import time\nwhile True:\n    try: time.sleep(60)\n    except BaseException: pass",
        {V.TIME_LIMIT},
    ),
    "signals ignored": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, lambda *a: None)\n"
        "    except BaseException: pass\nwhile True: pass",
        {V.TIME_LIMIT},
    ),
    "limits raised": (
        swallowed("import resource\nresource.setrlimit(resource.RLIMIT_CPU, (-1, -1))") + "\nwhile True: pass",
        {V.TIME_LIMIT},
    ),
    "clock patched": ("import time\ntime.time = time.monotonic = lambda: 0\nwhile True: pass", {V.TIME_LIMIT}),
    "huge list": ("x = [0] * 10**10" + F, {V.MEMORY_LIMIT}),
    "slow leak": ("x = []\nwhile True: x.append(bytes(1 << 20))" + F, {V.MEMORY_LIMIT}),
    "endless print": ("while True: print('x' * 1000)", {V.OUTPUT_LIMIT}),
    "endless print, errors eaten": (
        "while True:\n    try: print('x' * 1000)\n    except OSError: pass",
        {V.OUTPUT_LIMIT, V.TIME_LIMIT},
    ),
    "one large write": ("import os\nos.write(1, b'x' * (64 << 20))\nos.write(1, b'x')" + F, {V.OUTPUT_LIMIT}),
    # A gigabyte from a megabyte of memory: clearing more pages than that can cost a busy machine the CPU limit.
    "one write of a gigabyte": (
        "import os\nos.writev(1, [b'x' * (1 << 20)] * 1000)\nos.write(1, b'x')" + F,
        {V.OUTPUT_LIMIT},
    ),
    "deep recursion": ("def f(x): return f(x)", {V.RUNTIME_ERROR}),
    "deeper recursion": (
        "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x) + 1",
        {V.RUNTIME_ERROR, V.MEMORY_LIMIT, V.TIME_LIMIT},
    ),
    "segmentation fault": ("import ctypes\nctypes.string_at(0)" + F, {V.RUNTIME_ERROR}),
    "nested parentheses": ("(" * 100_000, {V.SYNTAX_ERROR, V.MEMORY_LIMIT}),
    "nested unary": ("-" * 100_000 + "1", {V.SYNTAX_ERROR, V.MEMORY_LIMIT, V.RUNTIME_ERROR}),
    "regex blow-up": ("import re\nre.match('(a+)+b', 'a' * 60)" + F, {V.TIME_LIMIT}),
    "power tower": ("x = 9 ** 9 ** 9" + F, {V.TIME_LIMIT, V.MEMORY_LIMIT}),
    "digits": ("x = str(1 << (1 << 22))" + F, {V.TIME_LIMIT, V.WRONG_ANSWER}),
    "threads": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        {V.RUNTIME_ERROR, V.MEMORY_LIMIT, V.TIME_LIMIT},
    ),
    "huge result": ("def f(x): return 'x' * (64 << 20)", {V.OUTPUT_LIMIT}),
    "huge integer": ("def f(x): return 1 << (64 << 20)", {V.OUTPUT_LIMIT}),
    "endless generator": ("def f(x):\n    while True: yield 1", {V.OUTPUT_LIMIT, V.TIME_LIMIT}),
    "shared references": (
        "def f(x):\n    v = [1]\n    for _ in range(60): v = [v, v]\n    return v",
        {V.OUTPUT_LIMIT, V.TIME_LIMIT},
    ),
    "colliding hashes": (
        "def f(x): return {k * (2**61 - 1) for k in range(1, 6000)}",
        {V.WRONG_ANSWER, V.OUTPUT_LIMIT, V.TIME_LIMIT},
    ),
    "cyclic result": ("def f(x):\n    v = []\n    v.append(v)\n    return v", {V.WRONG_ANSWER, V.RUNTIME_ERROR}),
    "deep result": (
        "def f(x):\n    v = []\n    for _ in range(100000): v = [v]\n    return v",
        {V.WRONG_ANSWER, V.RUNTIME_ERROR},
    ),
}

PROCESSES = {
    "fork bomb": ("import os\nwhile True: os.fork()", {V.VIOLATION, V.RUNTIME_ERROR}),
    "fork bomb, errors eaten": (
        "import os\nwhile True:\n    try: os.fork()\n    except BaseException: pass",
        {V.VIOLATION, V.TIME_LIMIT},
    ),
    "subprocess": ("import subprocess\nsubprocess.run(['true'])" + F, {V.VIOLATION, V.RUNTIME_ERROR}),
    "os.system": ("import os\nos.system('true')" + F, REFUSED),
    "execve": ("import os, sys\nos.execv('/usr/bin/env', ['env'])", {V.VIOLATION, V.RUNTIME_ERROR}),
    "multiprocessing": (
        "import multiprocessing as m\nm.Process(target=print).start()" + F,
        {V.WRONG_ANSWER},  # its processes are threads
    ),
    "kill the parent": ("import os\nos.kill(os.getppid(), 9)" + F, REFUSED),
    "kill everybody": ("import os\nos.kill(-1, 9)" + F, {V.VIOLATION}),
    "kill the group": ("import os\nos.killpg(0, 9)" + F, {V.VIOLATION}),
    "kill by pidfd": ("import os, signal\nsignal.pidfd_send_signal(os.pidfd_open(os.getppid()), 9)" + F, REFUSED),
    "kill by descriptor owner": (
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 10, 9)\nfcntl.fcntl(r, fcntl.F_SETOWN, os.getppid())" + F,
        REFUSED,
    ),
    "setsid": ("import os\nos.setsid()" + F, REFUSED),
    "ptrace": ("import ctypes, os\nctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0)" + F, REFUSED),
    "clone3": (
        "import ctypes\nassert ctypes.CDLL(None).syscall(435, 0, 0) != -1" + F,
        REFUSED,
    ),
    "unshare": ("import ctypes\nctypes.CDLL(None).unshare(0x10000000)" + F, {V.VIOLATION}),
    "io_uring": ("import ctypes\nctypes.CDLL(None).syscall(425, 1, 0)" + F, {V.VIOLATION}),
    "bpf": ("import ctypes\nctypes.CDLL(None).syscall(321, 0, 0, 0)" + F, {V.VIOLATION, V.WRONG_ANSWER}),
    "read the parent's memory": (
        "import ctypes, os\nctypes.CDLL(None).process_vm_readv(os.getppid(), 0, 0, 0, 0, 0)" + F,
        {V.VIOLATION},
    ),
    "mount": ("import ctypes\nctypes.CDLL(None).mount(b'x', b'/', b'tmpfs', 0, 0)" + F, {V.VIOLATION}),
}

NETWORK = {
    name: (f"import socket\n{code}" + F, {V.RUNTIME_ERROR})
    for name, code in {
        "tcp": "socket.create_connection(('127.0.0.1', 80), 1)",
        "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 53))",
        "dns": "socket.gethostbyname('example.org')",
        "unix": "socket.socket(socket.AF_UNIX).connect('/run/x')",
        "abstract": "socket.socket(socket.AF_UNIX).bind('\\0x')",
        "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
        "datagram pair": "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "listen": "socket.create_server(('127.0.0.1', 0))",
    }.items()
}

# Without Landlock a listing may succeed: it shows the directories that lead to Python's own files, and nothing of the
# host. Where no file system bounds what is written, who writes too much is stopped.
FILES = {
    name: (
        code + F,
        {V.RUNTIME_ERROR} | ({V.WRONG_ANSWER} if "listdir" in code else {V.OUTPUT_LIMIT} if "fill" in name else set()),
    )
    for name, code in {
        "passwd": "open('/etc/passwd').read()",
        "home": "import os\nassert set(os.listdir('/root')) <= {'.pyenv'}",
        "root": "import os\nassert 'etc' not in os.listdir('/')",
        "own memory map": "open('/proc/self/maps').read()",
        "own environment": "open('/proc/self/environ').read()",
        "processes": "import os\nos.listdir('/proc')",
        "project": f"open({__file__!r}).read()",
        "write outside": "open('/usr/lib/crestfall-was-here', 'w')",
        "write beside": "open('../crestfall-was-here', 'w')",
        "shared memory": "open('/dev/shm/crestfall-was-here', 'w')",
        "device": "open('/dev/mem', 'rb').read(1)",
        "link": "import os\nos.symlink('/etc/passwd', 'l')\nopen('l').read()",
        "descriptor link": "open('/proc/self/fd/0/../../../etc/passwd').read()",
        "fill the disk": "for i in range(64): open(f'x{i}', 'wb').write(bytes(1 << 20))",
        "inodes": "for i in range(10**6): open(f'x{i}', 'w').close()",
        "truncate Python": "import os\nos.truncate(os.__file__, 0)",
        "change Python": "import os\nos.chmod(os.__file__, 0o1644)\nassert os.stat(os.__file__).st_mode & 0o1000",
    }.items()
}

FORGERIES = {
    "exit": ("import sys\nsys.exit(0)", {V.RUNTIME_ERROR}),
    "_exit": ("import os\nos._exit(0)", {V.RUNTIME_ERROR}),
    "_exit in a call": ("import os\ndef f(x): os._exit(0)", {V.RUNTIME_ERROR}),
    "SystemExit": ("def f(x): raise SystemExit", {V.RUNTIME_ERROR}),
    "equals everything": ("class A:\n    def __eq__(self, o): return True\ndef f(x): return A()", {V.WRONG_ANSWER}),
    "string that equals everything": (
        "class A(str):\n    def __eq__(self, o): return True\n    __hash__ = str.__hash__\ndef f(x): return A('x')",
        {V.WRONG_ANSWER},
    ),
    "metaclass": (
        "class M(type):\n    def __instancecheck__(c, o): return True\n    def __eq__(c, o): return True\n"
        "class A(metaclass=M): pass\ndef f(x): return A",
        {V.WRONG_ANSWER},
    ),
    "class lies": (
        "class A:\n    @property\n    def __class__(self): return str\n    def __str__(self): return 'x'\n"
        "def f(x): return A()",
        {V.WRONG_ANSWER},
    ),
    "builtins patched": (
        "import builtins\nbuiltins.all = builtins.any = builtins.isinstance = builtins.issubclass = lambda *a: True\n"
        "builtins.AssertionError = Exception\ndef f(x): return 0",
        REFUSED,
    ),
    "encoder patched": (
        "import sys\nfor name, m in list(sys.modules.items()):\n    if 'sandbox' in name:\n"
        "        for k in list(vars(m)):\n            if callable(getattr(m, k)) and k[0] != '_':\n"
        "                setattr(m, k, lambda *a, **k: True)\ndef f(x): return 0",
        {V.RUNTIME_ERROR, V.WRONG_ANSWER, V.VIOLATION},
    ),
    "says passed": ("import os\nos.write(3, b'[\"passed\"]\\n')" + F, {V.VIOLATION}),
    "writes to every descriptor": (
        "import os\nfor fd in range(3, 1024):\n    try: os.write(fd, b'passed\\n')\n    except OSError: pass" + F,
        {V.VIOLATION},
    ),
    "half a message": ("import os\ndef f(x):\n    os.write(3, b'[\"v\",')\n    os._exit(0)", REFUSED),
    "nested message": ("import os\nos.write(3, b'[' * 500000 + b'\\n')" + F, {V.VIOLATION, V.OUTPUT_LIMIT}),
    "broken tags": ('import os\nos.write(3, b\'["v",{"i":{}}]\\n\')' + F, {V.VIOLATION}),
    "unknown tags": ('import os\nos.write(3, b\'["v",{"n":"os.system","v":1}]\\n\')' + F, {V.VIOLATION}),
    "endless message": ("import os\nwhile True: os.write(3, b'x' * 65536)", {V.OUTPUT_LIMIT, V.VIOLATION}),
    "descriptors closed": ("import os\nos.closerange(0, 1024)" + F, REFUSED),
    "channel to stdout": ("import os\nos.dup2(3, 1)\nprint('passed')" + F, {V.VIOLATION, V.WRONG_ANSWER}),
    "acts at exit": (
        "import atexit, os\natexit.register(lambda: os.write(3, b'x'))\ndef f(x): return 0",
        {V.WRONG_ANSWER},
    ),
}

LEAKS = {
    name: (leak(code), {V.WRONG_ANSWER, V.TIME_LIMIT, V.MEMORY_LIMIT, V.RUNTIME_ERROR, V.VIOLATION, V.OUTPUT_LIMIT})
    for name, code in {
        "frames": "import sys\nframe = sys._getframe()\nwhile frame:\n    found += repr(frame.f_locals)\n    frame = frame.f_back",  # noqa: E501
        "gc": "import gc\nfound = repr([o for o in gc.get_objects() if isinstance(o, (list, tuple, dict))])",
        "modules": "import sys\nfound = repr([vars(m) for m in sys.modules.values()])",
        "own memory": "found = open('/proc/self/mem', 'rb').read(1 << 20)",
        "parent's memory": "import os\nfound = open(f'/proc/{os.getppid()}/mem', 'rb').read(1 << 20)",
        "command lines": "import os\nfound = [open(f'/proc/{p}/cmdline').read() for p in os.listdir('/proc') if p.isdigit()]",  # noqa: E501
        "descriptors": (
            "import os\nfor fd in range(1024):\n    try:\n        os.set_blocking(fd, False)\n"
            "        found += os.read(fd, 1 << 20).decode('latin1')\n    except OSError: pass"
        ),
        "scratch": "import os\nfound = [open(n).read() for n in os.listdir('.')]",
        "environment": "import os\nfound = repr(os.environ)",
        "heap": ("import ctypes\nfound = ctypes.string_at(id(found), 1 << 16).decode('latin1')"),
    }.items()
}

SOURCES = {
    "null bytes": ("def f(x):\0 return 0", {V.SYNTAX_ERROR}),
    "surrogates": ("x = '\ud800'" + F, {V.SYNTAX_ERROR, V.WRONG_ANSWER}),
    "tabs and spaces": ("def f(x):\n\tif x:\n        return 1", {V.SYNTAX_ERROR}),
    "bom": ("\ufeffdef f(x): return 0", {V.WRONG_ANSWER}),  # as in a file: Python skips it
    "carriage returns": ("def f(x):\r\n    return 0\r\n", {V.WRONG_ANSWER}),
    "odd output": (
        "print('\\0\\x1b[31m\\ud800' * 100 + '\\u202e')\ndef f(x): raise ValueError('\\x1b[2J\\ud800\\n\\0')",
        REFUSED,
    ),
    "odd result": ("def f(x): return '\\ud800\\x1b[2J\\0\\n\\u202e'", {V.WRONG_ANSWER}),
    "huge exception": ("def f(x): raise ValueError('x' * 10**7)", {V.RUNTIME_ERROR}),
    "exception that cannot be printed": (
        "class E(Exception):\n    def __str__(self): raise self\ndef f(x): raise E",
        {V.RUNTIME_ERROR},
    ),
    "import torch": ("import torch" + F, {V.RUNTIME_ERROR}),
}


def raw(line: str) -> str:
    """A program that writes `line` to the grader's channel and goes on."""
    return f"import os\nview = memoryview({line} + b'\\n')\nwhile view: view = view[os.write(3, view):]" + F


# Values, signals, files and messages that broke a part of the grader itself. None of them may be its fault (`infra`).
GRADER = {
    "signalling NaN": (
        "from decimal import Decimal\ndef f(x): return Decimal('sNaN')",
        {V.WRONG_ANSWER},
    ),
    "huge int": ("def f(x): return 10**400", {V.WRONG_ANSWER}),
    "huge key": ("def f(x): return {10**5000: 1}", {V.WRONG_ANSWER}),
    "infinity": ("def f(x): return float('inf')", {V.WRONG_ANSWER}),
    "real-time signal": ("import os\nos.kill(os.getpid(), 40)" + F, {V.RUNTIME_ERROR}),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)" + F, {V.TIME_LIMIT}),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)" + F, {V.RUNTIME_ERROR}),
    "array that nobody sends": (raw("""b'["v",{"n":"ndarray","v":[1,2]}]'"""), {V.VIOLATION}),
    "fraction of text": (raw("""b'["v",{"n":"Fraction","v":["1e999999999"]}]'"""), {V.VIOLATION}),
    "fraction of nothing": (raw("""b'["v",{"n":"Fraction","v":[1,0]}]'"""), {V.VIOLATION}),
    "decimal of a list": (raw("""b'["v",{"n":"Decimal","v":[1]}]'"""), {V.VIOLATION}),
    "range of floats": (raw("""b'["v",{"n":"range","v":[1.5,2]}]'"""), {V.VIOLATION}),
    "unhashable in a set": (raw("""b'["v",{"s":[[1]]}]'"""), {V.VIOLATION}),
    "reference to nothing": (raw("""b'["v",{"r":1e999,"k":[],"it":0}]'"""), {V.VIOLATION}),
    "two values": (raw("""b'["v",1,2,3]'"""), {V.VIOLATION, V.WRONG_ANSWER}),
    "many empty sets": (raw("""b'["v",[' + b','.join([b'{"s":[]}'] * 100000) + b']]'"""), {V.WRONG_ANSWER}),
    "folder closed": ("import os\nos.chmod('.', 0)" + F, REFUSED),
    "folder above closed": ("import os\nos.chmod('..', 0)" + F, REFUSED),
    "folder below closed": (
        "import os\nos.mkdir('d')\nopen('d/x', 'w').close()\nos.chmod('d', 0)" + F,
        REFUSED,
    ),
    "long paths": (
        "import os\nfor _ in range(20):\n    os.mkdir('a' * 255)\n    os.chdir('a' * 255)\nopen('x', 'w').close()" + F,
        REFUSED,
    ),
    "deep folders": ("import os\nfor _ in range(900):\n    os.mkdir('a')\n    os.chdir('a')" + F, REFUSED),
    "folder moved": (
        "import os\nos.mkdir('d')\nos.rename(os.getcwd(), '../elsewhere')" + F,
        REFUSED,
    ),
    "compile bomb": (
        "\n".join(" " * i + "try: f\n" + " " * i + "finally:" for i in range(20)) + "\n" + " " * 20 + "a=1;b=2;c=3",
        {V.MEMORY_LIMIT, V.TIME_LIMIT, V.SYNTAX_ERROR},
    ),
    "naps": (
        "import time\ndef f(x):\n    while True:\n        t = time.thread_time()\n"
        "        while time.thread_time() - t < 0.022: pass\n        time.sleep(0.1)",
        {V.TIME_LIMIT},
    ),
}

# What a program may hold beyond its address space, and beyond its life.
HOLDS = {
    "memory files": ("import os\nfds = [os.memfd_create('x') for _ in range(100)]" + F, {V.RUNTIME_ERROR}),
    "large pipes": ("import fcntl, os\nfcntl.fcntl(os.pipe()[1], 1031, 1 << 20)" + F, {V.RUNTIME_ERROR}),
    "small threads": (
        "import _thread\n_thread.stack_size(32768)\nlock = _thread.allocate_lock()\nlock.acquire()\nn = 0\n"
        "try:\n    while n < 1000:\n        _thread.start_new_thread(lock.acquire, ())\n        n += 1\n"
        "except RuntimeError: pass\nassert n < 300, n" + F,
        {V.WRONG_ANSWER},
    ),
    "outlives its parent": (
        "import ctypes, os\nassert ctypes.CDLL(None).prctl(1, 0) == 0" + F,
        {V.RUNTIME_ERROR},
    ),
    "can be dumped": ("import ctypes\nassert ctypes.CDLL(None).prctl(4, 1) == 0" + F, {V.RUNTIME_ERROR}),
}

PACKAGES = """
import glob, os, sys
found = []
for base in {os.path.dirname(os.__file__), '/usr/lib/python3', '/lib/python3', '/usr/local/lib'}:
    for place in glob.glob(base + '/*-packages') + glob.glob(base + '/python*/*-packages'):
        for name in os.listdir(place) if os.access(place, os.R_OK) else []:
            try:
                with open(place + '/' + name, 'rb') as file: found.append(file.read(10))
            except OSError: pass
assert not found, len(found)
"""
FILES["installed packages"] = (PACKAGES + F, {V.WRONG_ANSWER, V.RUNTIME_ERROR})
FILES["null device changed"] = ("import os\nos.chmod('/dev/null', 0o600)" + F, REFUSED)
FILES["null device touched"] = ("import os\nos.utime('/dev/null')" + F, REFUSED)

CATALOGUE = {
    f"{group}: {name}": entry
    for group, programs in {
        "resources": RESOURCES,
        "processes": PROCESSES,
        "network": NETWORK,
        "files": FILES,
        "forgeries": FORGERIES,
        "leaks": LEAKS,
        "sources": SOURCES,
        "grader": GRADER,
        "holds": HOLDS,
    }.items()
    for name, entry in programs.items()
}
