"""Ordinary ways to read two numbers from standard input and print their sum, as people and models write them."""

ADD = "print(int(input()) + int(input()))"

# name -> source; each prints 7 when it is run as `python main.py < in`, `in` being 3 and 4 on a line each.
PROGRAMS = {
    "print to stderr": "import sys\nprint('debug', file=sys.stderr)\n" + ADD,
    "SyntaxWarning": "if 1 is 2: pass\n" + ADD,
    "warnings": "import warnings\nwarnings.warn('old')\n" + ADD,
    "logging": "import logging\nlogging.basicConfig(level=logging.DEBUG)\nlogging.info('x')\n" + ADD,
    "print_exc": "import traceback\ntry: 1 / 0\nexcept Exception: traceback.print_exc()\n" + ADD,
    "unittest": "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n"
    "unittest.main(argv=['x'], exit=False)\n" + ADD,
    "argv": "import sys\nif len(sys.argv) > 1: sys.stdin = open(sys.argv[1])\n" + ADD,
    "argv is a list of one": "import sys\nassert len(sys.argv) == 1 and sys.argv[0].endswith('.py')\n" + ADD,
    "argparse": "import argparse\np = argparse.ArgumentParser()\np.parse_args()\n" + ADD,
    "fileinput": "import fileinput\nprint(sum(map(int, fileinput.input())))",
    "open(0)": "print(sum(map(int, open(0))))",
    "open /dev/stdin": "print(sum(map(int, open('/dev/stdin'))))",
    "open /dev/stdin after input": "a = input()\nprint(sum(map(int, open('/dev/stdin').read().split())))",
    "Path /dev/stdin": "import pathlib\nprint(sum(map(int, pathlib.Path('/dev/stdin').read_text().split())))",
    "open /dev/stdout": "with open('/dev/stdout', 'w') as f: print(int(input()) + int(input()), file=f)",
    "open /dev/fd": "print(sum(map(int, open('/dev/fd/0'))))",
    "devnull": "import os, sys\nkeep, sys.stdout = sys.stdout, open(os.devnull, 'w')\nprint('x')\n"
    "sys.stdout = keep\n" + ADD,
    "devnull by descriptor": "import os\nos.write(os.open(os.devnull, os.O_WRONLY), b'x')\n" + ADD,
    "stderr to devnull": "import os, sys\nsys.stderr = open('/dev/null', 'w')\nprint('x', file=sys.stderr)\n" + ADD,
    "buffer": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split())))",
    "readline of the buffer": "import sys\nr = sys.stdin.buffer.readline\nprint(int(r()) + int(r()))",
    "input is readline": "import sys\ninput = sys.stdin.readline\n" + ADD,
    "input is a lambda": "import sys\ninput = lambda: sys.stdin.readline().rstrip()\n" + ADD,
    "os.read": "import os\nprint(sum(map(int, os.read(0, 1 << 20).split())))",
    "os.read of its size": "import io, os\ninput = io.BytesIO(os.read(0, os.fstat(0).st_size)).readline\n" + ADD,
    "FastIO": "import os, sys\nfrom io import BytesIO, IOBase\nclass FastIO(IOBase):\n    newlines = 0\n"
    "    def __init__(self, file):\n        self._fd = file.fileno()\n        self.buffer = BytesIO()\n"
    "        self.writable = 'x' in file.mode or 'r' not in file.mode\n"
    "        self.write = self.buffer.write if self.writable else None\n"
    "    def readline(self):\n        while self.newlines == 0:\n"
    "            b = os.read(self._fd, max(os.fstat(self._fd).st_size, 8192))\n"
    "            self.newlines = b.count(b'\\n') + (not b)\n            p = self.buffer.tell()\n"
    "            self.buffer.seek(0, 2), self.buffer.write(b), self.buffer.seek(p)\n        self.newlines -= 1\n"
    "        return self.buffer.readline()\n"
    "    def flush(self):\n        if self.writable:\n            os.write(self._fd, self.buffer.getvalue())\n"
    "            self.buffer.truncate(0), self.buffer.seek(0)\n"
    "class IOWrapper(IOBase):\n    def __init__(self, file):\n        self.buffer = FastIO(file)\n"
    "        self.flush = self.buffer.flush\n        self.writable = self.buffer.writable\n"
    "        self.write = lambda s: self.buffer.write(s.encode('ascii'))\n"
    "        self.readline = lambda: self.buffer.readline().decode('ascii')\n"
    "sys.stdin, sys.stdout = IOWrapper(sys.stdin), IOWrapper(sys.stdout)\ninput = lambda: sys.stdin.readline()\n" + ADD,
    "mmap": "import mmap\nprint(sum(map(int, mmap.mmap(0, 0, access=mmap.ACCESS_READ).read().split())))",
    "seek": "import sys\nsys.stdin.read()\nsys.stdin.seek(0)\n" + ADD,
    "rewrapped input": "import io, sys\nsys.stdin = io.TextIOWrapper(sys.stdin.buffer, encoding='utf-8')\n" + ADD,
    "rewrapped output": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer)\n" + ADD,
    "detached output": "import codecs, sys\nsys.stdout = codecs.getwriter('utf-8')(sys.stdout.detach())\n" + ADD,
    "reconfigured": "import sys\nsys.stdin.reconfigure(encoding='utf-8')\nsys.stdout.reconfigure(line_buffering=True)\n"
    + ADD,
    "StringIO printed to __stdout__": "import io, sys\nsys.stdout = io.StringIO()\n" + ADD + "\n"
    "sys.__stdout__.write(sys.stdout.getvalue())",
    "names and modes": "import sys\nassert (sys.stdin.name, sys.stdin.mode, sys.stdout.mode) == ('<stdin>', 'r', 'w')\n"
    "assert sys.stdin is sys.__stdin__ and not sys.stdin.isatty() and sys.stdin.fileno() == 0\n" + ADD,
    "unclosed second stream": "import os\nw = os.fdopen(1, 'w')\nw.write(str(int(input()) + int(input())))",
    "closed output": ADD + "\nimport sys\nsys.stdout.close()",
    "closed input": "import sys\na, b = input(), input()\nsys.stdin.close()\nprint(int(a) + int(b))",
    "iterated": "import sys\nprint(sum(int(line) for line in sys.stdin))",
    "until EOFError": "n = 0\nwhile True:\n    try: n += int(input())\n    except EOFError: break\nprint(n)",
    "atexit": "import atexit\na, b = int(input()), int(input())\natexit.register(lambda: print(a + b))",
    "__del__": "class A:\n    def __del__(self): print(self.n)\na = A()\na.n = int(input()) + int(input())",
    "sys.exit": ADD + "\nimport sys\nsys.exit()",
    "exit(0)": ADD + "\nexit(0)",
    "quit in a function": "def main():\n    " + ADD + "\n    quit()\nmain()",
    "os._exit": "import os\nprint(int(input()) + int(input()), flush=True)\nos._exit(0)",
    "recursion in a thread": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 27)\n"
    "def f(n): return 0 if n == 0 else 1 + f(n - 1)\ndef main():\n    assert f(50000) == 50000\n    " + ADD + "\n"
    "t = threading.Thread(target=main)\nt.start()\nt.join()",
    "a thread that nobody joins": "import threading\ndef main():\n    " + ADD + "\n"
    "threading.Thread(target=main).start()",
    "64 threads": "import threading, time\nts = [threading.Thread(target=time.sleep, args=(.05,)) for _ in range(64)]\n"
    "[t.start() for t in ts]\n[t.join() for t in ts]\n" + ADD,
    "thread pool": "from concurrent.futures import ThreadPoolExecutor as T\n"
    "with T(8) as t: print(sum(t.map(int, open(0))))",
    "dummy pool": "from multiprocessing.dummy import Pool\nprint(sum(Pool(2).map(int, open(0))))",
    "process pool": "import multiprocessing as mp\nif __name__ == '__main__':\n"
    "    with mp.Pool(2) as p: print(sum(p.map(int, open(0))))",
    "process and queue": "import multiprocessing as mp\ndef f(q): q.put(int(input()) + int(input()))\n"
    "q = mp.Queue()\np = mp.Process(target=f, args=(q,))\np.start()\nprint(q.get())\np.join()\nassert p.exitcode == 0",
    "queue until None": "import multiprocessing as mp\nq = mp.Queue()\ndef f(q):\n"
    "    for _ in range(2): q.put(int(input()))\n    q.put(None)\np = mp.Process(target=f, args=(q,))\np.start()\n"
    "t = 0\nwhile (x := q.get()) is not None: t += x\np.join()\nq.close()\nq.join_thread()\n"
    "assert q.empty() and q.qsize() == 0\nprint(t)",
    "joinable queue": "import multiprocessing as mp\nq, out = mp.JoinableQueue(), mp.SimpleQueue()\ndef w():\n"
    "    while True:\n"
    "        out.put(q.get())\n        q.task_done()\nmp.Process(target=w, daemon=True).start()\n"
    "q.put(int(input()))\nq.put(int(input()))\nq.join()\nprint(out.get() + out.get())",
    "value with its lock": "from multiprocessing import Array, Process, Value\nv, a = Value('i', 0), Array('d', 2)\n"
    "def f(i, n):\n    with v.get_lock(): v.value += n\n    a[i] = n\n"
    "ps = [Process(target=f, args=(i, int(input()))) for i in range(2)]\n[p.start() for p in ps]\n"
    "[p.join() for p in ps]\nassert sum(a) == 7\nprint(v.value)",
    "process class": "import multiprocessing as mp\nclass W(mp.Process):\n    def __init__(s, q):\n"
    "        super().__init__()\n        s.q = q\n    def run(s): s.q.put(int(input()) + int(input()))\n"
    "q = mp.Queue()\nw = W(q)\nw.start()\nprint(q.get())\nw.join()\nassert w.exitcode == 0 and not w.is_alive()",
    "locks of processes": "import multiprocessing as mp\ne, l, r, s, b = mp.Event(), mp.Lock(), mp.RLock(), "
    "mp.Semaphore(2), mp.Barrier(1)\nwith l, r, r, s, mp.Condition() as c: pass\ne.set()\nassert e.wait(1)\nb.wait()\n"
    + ADD,
    "ended process": "import multiprocessing as mp, time\np = mp.Process(target=time.sleep, args=(60,))\np.start()\n"
    "p.terminate()\np.join()\nassert p.exitcode == -15\n" + ADD,
    "shared value": "import multiprocessing as mp\nv, l = mp.Value('i', 0), mp.Lock()\ndef f(n):\n"
    "    with l: v.value += n\nps = [mp.Process(target=f, args=(int(x),)) for x in open(0)]\n"
    "[p.start() for p in ps]\n[p.join() for p in ps]\nprint(v.value)",
    "manager": "import multiprocessing as mp\nwith mp.Manager() as m:\n"
    "    x = m.list(map(int, open(0)))\n    print(sum(x))",
    "process pool executor": "from concurrent.futures import ProcessPoolExecutor as P\n"
    "with P(2) as p: print(sum(p.map(int, open(0))))",
    "asyncio": "import asyncio\nasync def main(): print(int(input()) + await asyncio.to_thread(lambda: int(input())))\n"
    "asyncio.run(main())",
    "no such program": "import subprocess\ntry: subprocess.run(['nowhere'])\nexcept OSError: pass\n" + ADD,
    "alarm": "import signal\nsignal.signal(signal.SIGALRM, lambda *a: 1 / 0)\nsignal.alarm(2)\n" + ADD,
    "byte order mark": "\ufeff" + ADD,
    "coding cookie": "# -*- coding: latin-1 -*-\n" + ADD,
    "line ends of DOS": "a = int(input())\r\nb = int(input())\r\nprint(a + b)\r\n",
    "future": "from __future__ import annotations\n" + ADD,
    "__file__": "import os\nassert os.path.isabs(__file__) and os.path.dirname(__file__)\n" + ADD,
    "its own source": "assert 'own source' in open(__file__).read()  # its own source\n" + ADD,
    "getsource": "import inspect\ndef f(): pass\nassert 'pass' in inspect.getsource(f)\n" + ADD,
    "__main__": "import __main__\n__main__.n = 4\nassert __name__ == '__main__' and n == 4\n" + ADD,
    "pickled class": "import pickle\nclass A: pass\nassert isinstance(pickle.loads(pickle.dumps(A())), A)\n" + ADD,
    "dataclass": "from dataclasses import dataclass\n@dataclass(order=True, slots=True)\nclass P:\n    a: int\n"
    "print(P(int(input())).a + P(int(input())).a)",
    "huge integer": "a, b = int(input()), int(input())\nassert len(str(7**9999)) > 8000\nprint(a + b)",
    "pypyjit": "import pypyjit\npypyjit.set_param('max_unroll_recursion=-1')\n" + ADD,
    "an input file that is not there": "import os, sys\nif os.path.exists('input.txt'): sys.stdin = open('input.txt')\n"
    + ADD,
    "locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')\n" + ADD,
    "time zones": "import datetime, zoneinfo\ndatetime.datetime.now(zoneinfo.ZoneInfo('Europe/Paris'))\n" + ADD,
}

# These write files: they need the scratch that a mount namespace gives.
WITH_SCRATCH = {
    "find_library": "import ctypes.util\nctypes.util.find_library('c')\n" + ADD,
    "temporary file": "import tempfile\nwith tempfile.NamedTemporaryFile('w+') as f:\n"
    "    f.write(input())\n    f.seek(0)\n"
    "    print(int(f.read()) + int(input()))",
    "/tmp": "open('/tmp/x', 'w').write(input())\nprint(int(open('/tmp/x').read()) + int(input()))",
    "working directory": "open('x', 'w').write(input())\nprint(int(open('x').read()) + int(input()))",
    "copies": "import os, shutil\nopen('x', 'w').write(input())\nshutil.copy('x', 'y')\nshutil.copy2('y', 'z')\n"
    "os.chmod('z', 0o600)\nprint(int(open('z').read()) + int(input()))",
    "shelve": "import shelve\nwith shelve.open('s') as d: d['a'] = int(input())\n"
    "with shelve.open('s') as d: print(d['a'] + int(input()))",
    "sqlite": "import sqlite3\nc = sqlite3.connect('x.db')\n"
    "print(c.execute('select ? + ?', (int(input()), int(input())))"
    ".fetchone()[0])",
}
