"""Ordinary styles of test code: each passes a right program and fails a wrong one, beside the program or inside it."""

from __future__ import annotations

import pytest

from crestfall.core.types import CodeTests, Problem, Verdict
from crestfall.grading import CodeGrader, Limits

POINT = "class Point:\n    def __init__(self, x, y): self.x, self.y = x, y\n"
STACK = "class Stack:\n    def __init__(self): self.a = []\n    def push(self, x): self.a.append(x)\n"
OUT, IN = "outside", "inside"

# name -> where it runs, tests, a right program, a wrong one
STYLES = {
    "assert": (OUT, "assert f(2) == 4", "def f(x): return x * x", "def f(x): return x"),
    "message": (OUT, "assert f(2) == 4, f'gave {f(2)}'", "def f(x): return x * x", "def f(x): return x"),
    "check": (OUT, "def check(c):\n    assert c(2) == 4", "def f(x): return x * x", "def f(x): return x"),
    "check for": (
        OUT,
        "def check(g):\n    for a, b in [(1, 1), (3, 9)]:\n        assert g(a) == b, a",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "keywords": (OUT, "assert f(a=1, b=2) == 3", "def f(a, *, b): return a + b", "def f(a, *, b): return a - b"),
    "close": (
        OUT,
        "import math\nassert math.isclose(f(2), 2 ** .5, rel_tol=1e-9)",
        "def f(x): return x ** .5",
        "def f(x): return x",
    ),
    "abs": (OUT, "assert abs(f(2) - 1.41421356) < 1e-6", "def f(x): return x ** .5", "def f(x): return x"),
    "nan": (OUT, "import math\nassert math.isnan(f())", "def f(): return float('nan')", "def f(): return 0.0"),
    "sorted": (OUT, "assert sorted(f([2, 1])) == [1, 2]", "def f(x): return set(x)", "def f(x): return [1]"),
    "map": (OUT, "assert list(map(f, [1, 2])) == [1, 4]", "def f(x): return x * x", "def f(x): return x"),
    "all of a generator": (
        OUT,
        "assert all(f(i) == i * i for i in range(5))",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "in place": (OUT, "a = [3, 1]\nf(a)\nassert a == [1, 3]", "def f(a): a.sort()", "def f(a): sorted(a)"),
    "deque in place": (
        OUT,
        "from collections import deque\nd = deque([1, 2])\nf(d)\nassert list(d) == [2, 1]",
        "def f(d): d.reverse()",
        "def f(d): pass",
    ),
    "bytearray in place": (
        OUT,
        "b = bytearray(b'ab')\nf(b)\nassert b == bytearray(b'ba')",
        "def f(b): b.reverse()",
        "def f(b): pass",
    ),
    "Decimal": (
        OUT,
        "from decimal import Decimal\nassert f(Decimal('0.1')) == Decimal('0.3')",
        "def f(d): return d * 3",
        "def f(d): return d",
    ),
    "Counter": (
        OUT,
        "from collections import Counter\nassert f(Counter('aab')) == Counter('aabb')",
        "def f(c):\n    c['b'] += 1\n    return c",
        "def f(c): return c",
    ),
    "defaultdict": (
        OUT,
        "d = f()\nassert d['x'] == 0",
        "from collections import defaultdict\ndef f(): return defaultdict(int)",
        "def f(): return {}",
    ),
    "dates": (
        OUT,
        "import datetime\nassert f(datetime.date(2024, 1, 31)) == datetime.date(2024, 2, 1)",
        "import datetime\ndef f(d): return d + datetime.timedelta(days=1)",
        "def f(d): return d",
    ),
    "regular expression": (
        OUT,
        "import re\nassert f(re.compile('a+'), 'caat') == 'aa'",
        "def f(r, s): return r.search(s)[0]",
        "def f(r, s): return s",
    ),
    "builtin handed over": (
        OUT,
        "assert f(max, int) == 3",
        "def f(g, t): return g(1, t('3'))",
        "def f(g, t): return 1",
    ),
    "iterator handed over": (OUT, "assert f(iter([1, 2])) == 3", "def f(i): return sum(i)", "def f(i): return 0"),
    "ValueError": (
        OUT,
        "try:\n    f(-1)\n    assert False\nexcept ValueError as e:\n    assert 'negative' in str(e)",
        "def f(x): raise ValueError('negative')",
        "def f(x): raise ValueError('x')",
    ),
    "KeyError's arguments": (
        OUT,
        "try:\n    f()\n    assert False\nexcept KeyError as e:\n    assert e.args == ('k',)",
        "def f(): return {}['k']",
        "def f(): raise KeyError",
    ),
    "an exception derived from Python's": (
        OUT,
        "try:\n    f()\n    assert False\nexcept ValueError:\n    pass",
        "class MyError(ValueError): pass\ndef f(): raise MyError('x')",
        "class MyError(Exception): pass\ndef f(): raise MyError('x')",
    ),
    "generator": (
        OUT,
        "g = f(2)\nassert next(g) == 0 and list(g) == [1]",
        "def f(n): yield from range(n)",
        "def f(n): yield n",
    ),
    "closure": (OUT, "assert f(2)(3) == 5", "def f(a): return lambda b: a + b", "def f(a): return lambda b: a"),
    "an object built for the program": (
        OUT,
        "n = Node(1)\nn.next = Node(2)\nassert f(n) == 3",
        "class Node:\n    def __init__(self, v): self.v, self.next = v, None\ndef f(n): return n.v + n.next.v",
        "class Node:\n    def __init__(self, v): self.v, self.next = v, None\ndef f(n): return n.v",
    ),
    "unittest": (
        OUT,
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self): self.n = 2\n"
        "    def test_a(self): self.assertEqual(f(self.n), 4)\n"
        "    def test_b(self):\n        with self.assertRaises(ValueError): f('x')\n"
        "if __name__ == '__main__':\n    unittest.main()",
        "def f(x):\n    if isinstance(x, str): raise ValueError\n    return x * x",
        "def f(x): return x * 2",
    ),
    "unittest, subtests": (
        OUT,
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self):\n        for i in range(3):\n"
        "            with self.subTest(i=i): self.assertAlmostEqual(f(i), i * i)",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "pytest": (
        OUT,
        "import pytest\nfrom solution import f\n@pytest.mark.parametrize('a,b', [(1, 1), (2, 4)])\n"
        "def test_f(a, b):\n    assert f(a) == pytest.approx(b)\n"
        "def test_error():\n    with pytest.raises(ValueError, match='neg'): f(-1)",
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x * x",
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
    ),
    "pytest class": (
        OUT,
        "from my_solution import f as g\nclass TestF:\n    def setup_method(self): self.n = 3\n"
        "    def test_f(self): assert g(self.n) == 9",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "check without an entry point": (
        OUT,
        "def check(candidate):\n    assert candidate(2) == 4",
        "import math\ndef f(x): return math.prod([x, x])",
        "def f(x): return x",
    ),
    "methods": (
        IN,
        "s = Stack()\ns.push(1)\ns.push(2)\nassert s.pop() == 2 and len(s) == 1",
        STACK + "    def pop(self): return self.a.pop()\n    def __len__(self): return len(self.a)",
        STACK + "    def pop(self): return self.a[0]\n    def __len__(self): return len(self.a)",
    ),
    "equality": (
        IN,
        "assert Point(1, 2) == Point(1, 2) and Point(1, 2) != Point(1, 3)",
        POINT + "    def __eq__(self, o): return (self.x, self.y) == (o.x, o.y)",
        POINT,
    ),
    "operators": (
        IN,
        "p = Point(1, 2) + Point(3, 4) * 2\nassert (p.x, p.y) == (7, 10) and -p == p.neg() and p[0] == 7",
        POINT + "    def __add__(self, o): return Point(self.x + o.x, self.y + o.y)\n"
        "    def __mul__(self, n): return Point(self.x * n, self.y * n)\n"
        "    def __neg__(self): return self * -1\n    def neg(self): return self * -1\n"
        "    def __eq__(self, o): return (self.x, self.y) == (o.x, o.y)\n    def __getitem__(self, i): return self.x",
        POINT + "    def __add__(self, o): return self\n    def __mul__(self, n): return self",
    ),
    "repr, str, format, hash": (
        IN,
        "p = Point(1, 2)\nassert repr(p) == 'P1' and f'{p}' == 'P1' and len({p, Point(1, 2)}) == 2",
        POINT + "    def __repr__(self): return f'P{self.x}'",
        POINT,
    ),
    "isinstance": (
        IN,
        "assert isinstance(make(), Dog) and issubclass(Dog, Animal)",
        "class Animal: pass\nclass Dog(Animal): pass\ndef make(): return Dog()",
        "class Animal: pass\nclass Dog(Animal): pass\ndef make(): return 1",
    ),
    "its own exception": (
        IN,
        "try:\n    f(1)\n    assert False\nexcept TooLarge as e:\n    assert e.limit == 1",
        "class TooLarge(Exception):\n    def __init__(self, n): self.limit = n\ndef f(n): raise TooLarge(n)",
        "class TooLarge(Exception):\n    def __init__(self, n): self.limit = 0\ndef f(n): raise TooLarge(n)",
    ),
    "only that it is raised": (
        IN,
        "try:\n    f(1)\nexcept MyError:\n    pass\nelse:\n    raise AssertionError('nothing raised')",
        "class MyError(Exception): pass\ndef f(x): raise MyError",
        "class MyError(Exception): pass\ndef f(x): pass",
    ),
    "context manager": (
        IN,
        "with Timer() as t:\n    assert not t.done\nassert t.done",
        "class Timer:\n    done = False\n    def __enter__(self): return self\n"
        "    def __exit__(self, *a): self.done = True",
        "class Timer:\n    done = False\n    def __enter__(self): return self\n    def __exit__(self, *a): pass",
    ),
    "contextlib": (
        IN,
        "log = []\nwith f(log):\n    log.append('in')\nassert log == ['a', 'in', 'z']",
        "from contextlib import contextmanager\n@contextmanager\ndef f(log):\n"
        "    log.append('a')\n    yield\n    log.append('z')",
        "from contextlib import contextmanager\n@contextmanager\ndef f(log): yield",
    ),
    "async": (
        IN,
        "import asyncio\nassert asyncio.run(f(2)) == 4",
        "import asyncio\nasync def f(x):\n    await asyncio.sleep(0)\n    return x * x",
        "async def f(x): return x",
    ),
    "async test": (
        IN,
        "async def test_f():\n    assert await f(2) == 4",
        "async def f(x): return x * x",
        "async def f(x): 0",
    ),
    "async unittest": (
        IN,
        "import unittest\nclass T(unittest.IsolatedAsyncioTestCase):\n"
        "    async def test_f(self): self.assertEqual(await f(2), 4)",
        "async def f(x): return x * x",
        "async def f(x): return x",
    ),
    "decorator": (
        IN,
        "@twice\ndef g(x):\n    return x + 1\nassert g(1) == 3 and g.__name__ == 'g'",
        "import functools\ndef twice(fn):\n    @functools.wraps(fn)\n    def w(x): return fn(fn(x))\n    return w",
        "def twice(fn): return lambda x: fn(fn(x))",
    ),
    "callback": (
        IN,
        "assert f(lambda x: x + 1, [1]) == [2]",
        "def f(g, a): return [g(x) for x in a]",
        "def f(g, a): return a",
    ),
    "callback that counts": (
        IN,
        "calls = []\ndef note(x):\n    calls.append(x)\nf(note)\nassert calls == [0, 1]",
        "def f(g):\n    for i in range(2): g(i)",
        "def f(g): g(0)",
    ),
    "generator protocol": (
        IN,
        "g = f()\nnext(g)\nassert g.send(3) == 6\ng.close()",
        "def f():\n    x = 0\n    while True: x = yield 2 * x",
        "def f():\n    while True: yield 0",
    ),
    "properties": (
        IN,
        "c = Circle(2)\nc.r = 3\nassert c.area == 9\ntry:\n    c.r = -1\n    assert False\nexcept ValueError: pass",
        "class Circle:\n    def __init__(self, r): self.r = r\n    area = property(lambda self: self._r ** 2)\n"
        "    @property\n    def r(self): return self._r\n    @r.setter\n    def r(self, v):\n"
        "        if v < 0: raise ValueError\n        self._r = v",
        "class Circle:\n    def __init__(self, r): self.r = r\n    area = property(lambda self: self.r ** 2)",
    ),
    "dataclass": (
        IN,
        "import dataclasses\np = Point(1, 2)\nassert dataclasses.asdict(p) == {'x': 1, 'y': 2} and p == Point(1, 2)\n"
        "assert sorted([Point(2, 0), Point(1, 5)])[0].x == 1",
        "from dataclasses import dataclass\n@dataclass(order=True)\nclass Point:\n    x: int\n    y: int",
        "from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int\n    y: int",
    ),
    "enum": (
        IN,
        "assert f() == Color.RED and Color['RED'].value == 1 and len(Color) == 2",
        "from enum import Enum\nclass Color(Enum):\n    RED, BLUE = 1, 2\ndef f(): return Color.RED",
        "from enum import Enum\nclass Color(Enum):\n    RED, BLUE = 1, 2\ndef f(): return 1",
    ),
    "namedtuple": (
        IN,
        "p = f()\nassert p.x == 1 and p == (1, 2)",
        "from collections import namedtuple\ndef f(): return namedtuple('P', 'x y')(1, 2)",
        "def f(): return 1, 2",
    ),
    "subclass of list": (
        IN,
        "a = f()\na.push(1)\nassert a == [1] and a.top == 1",
        "class L(list):\n    push = list.append\n    top = property(lambda self: self[-1])\ndef f(): return L()",
        "class L(list):\n    push = list.append\n    top = 0\ndef f(): return L()",
    ),
    "iterator class": (
        IN,
        "assert list(Countdown(3)) == [3, 2, 1] and 2 in Countdown(3)",
        "class Countdown:\n    def __init__(self, n): self.n = n\n    def __iter__(self):\n"
        "        yield from range(self.n, 0, -1)",
        "class Countdown:\n    def __init__(self, n): self.n = n\n    def __iter__(self): yield self.n",
    ),
    "abstract base class": (
        IN,
        "try:\n    Shape()\n    assert False\nexcept TypeError:\n    pass\n"
        "class Square(Shape):\n    def area(self): return 4\nassert Square().describe() == 'area 4'",
        "import abc\nclass Shape(abc.ABC):\n    @abc.abstractmethod\n    def area(self): ...\n"
        "    def describe(self): return f'area {self.area()}'",
        "class Shape:\n    def describe(self): return f'area {self.area()}'",
    ),
    "singleton": (
        IN,
        "assert Config() is Config()",
        "class Config:\n    _i = None\n    def __new__(cls):\n        cls._i = cls._i or super().__new__(cls)\n"
        "        return cls._i",
        "class Config: pass",
    ),
    "class of the tests handed over": (
        IN,
        "class Item:\n    def __init__(self, v): self.v = v\nassert f([Item(2), Item(3)]) == 5",
        "def f(items): return sum(i.v for i in items)",
        "def f(items): return len(items)",
    ),
    "namedtuple of the tests": (
        IN,
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\nassert f(P(1, 2)) == 3",
        "def f(p): return p.x + p.y",
        "def f(p): return p.x",
    ),
    "printed text": (
        IN,
        "import contextlib, io\nb = io.StringIO()\nwith contextlib.redirect_stdout(b):\n    f('x')\n"
        "assert b.getvalue() == 'hello x\\n'",
        "def f(n): print('hello', n)",
        "def f(n): print(n)",
    ),
    "capsys": (
        IN,
        "def test_f(capsys):\n    f('x')\n    assert capsys.readouterr().out == 'hello x\\n'",
        "def f(n): print('hello', n)",
        "def f(n): print(n)",
    ),
    "capfd": (
        IN,
        "def test_f(capfd):\n    f('x')\n    assert capfd.readouterr().out == 'hello x\\n'",
        "def f(x): print('hello', x)",
        "def f(x): print(x)",
    ),
    "caplog": (
        IN,
        "import logging\ndef test_f(caplog):\n    with caplog.at_level(logging.INFO):\n        f('x')\n"
        "    assert 'hello x' in caplog.text and caplog.messages == ['hello x']\n"
        "    assert caplog.records[0].levelname == 'INFO'\n    caplog.clear()\n    assert not caplog.records",
        "import logging\ndef f(x): logging.getLogger(__name__).info('hello %s', x)",
        "def f(x): pass",
    ),
    "a decorator that gives a mock": (
        IN,
        "from unittest.mock import patch\n@patch('solution.g', return_value=3)\n@patch('solution.h', 2)\n"
        "def test_f(g, tmp_path):\n    assert f() == 5\n    g.assert_called_once()",
        "def g(): raise OSError\nh = 1\ndef f(): return g() + h",
        "def g(): raise OSError\nh = 1\ndef f(): return 5",
    ),
    "depth of recursion": (
        IN,
        "import sys\nsys.setrecursionlimit(5000)\nassert f(3000) == 3000",
        "def f(n): return n and 1 + f(n - 1)",
        "def f(n): return 1",
    ),
    "a row that is another one": (
        IN,
        "g = f(2)\ng[0][0] = 1\nassert g == [[1, 0], [0, 0]]",
        "def f(n): return [[0] * n for _ in range(n)]",
        "def f(n): return [[0] * n] * n",
    ),
    "a result that is kept": (
        IN,
        "a = f()\na.append(1)\nassert f() == []",
        "def f(): return []",
        "x = []\ndef f(): return x",
    ),
    "sorted result": (
        OUT,
        "a = f(3)\na.sort()\nassert a == [0, 1, 2]",
        "def f(n): return [*range(n)][::-1]",
        "def f(n): return [*range(n + 1)]",
    ),
    "monkeypatch": (
        IN,
        "def test_f(monkeypatch):\n    monkeypatch.setattr('builtins.input', lambda *a: '5')\n    assert f() == 5",
        "def f(): return int(input())",
        "def f(): return 4",
    ),
    "setup_class": (
        OUT,
        "class TestF:\n    @classmethod\n    def setup_class(cls): cls.x = 3\n"
        "    def test_f(self): assert f(self.x) == 9",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "setup_module": (
        OUT,
        "def setup_module(module):\n    global X\n    X = 3\ndef test_f(): assert f(X) == 9",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "setup_function": (
        OUT,
        "def setup_function():\n    global X\n    X = 3\ndef test_f(): assert f(X) == 9",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "fixture for all": (
        IN,
        "import pytest\nclass TestF:\n    @pytest.fixture(autouse=True)\n    def setup(self): self.x = 3\n"
        "    @pytest.fixture\n    def y(self): return 9\n    def test_f(self, y): assert f(self.x) == y",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "an enumeration of the tests": (
        IN,
        "import enum\nclass C(enum.IntEnum):\n    A = 3\nassert f(C.A) == 3",
        "def f(c): return int(c)",
        "def f(c): return 4",
    ),
    "fixture with parameters": (
        IN,
        "import pytest\n@pytest.fixture(params=[1, 2, 3], scope='module')\ndef n(request):\n    yield request.param\n"
        "@pytest.mark.parametrize('power', [2])\ndef test_f(n, power): assert f(n) == n ** power",
        "def f(x): return x * x",
        "def f(x): return x if x > 2 else x * x",
    ),
    "used fixtures": (
        IN,
        "import pytest\nseen = []\n@pytest.fixture\ndef see(): seen.append(3)\n"
        "@pytest.mark.usefixtures('see')\nclass TestF:\n    def test_f(self): assert f(seen[0]) == 9",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "warns": (
        IN,
        "import pytest\ndef test_f():\n    with pytest.warns(UserWarning, match='old'):\n        f()",
        "import warnings\ndef f(): warnings.warn('too old')",
        "import warnings\ndef f(): warnings.warn('new')",
    ),
    "skipif": (
        OUT,
        "import pytest, sys\n@pytest.mark.skipif(sys.version_info < (3, 6), reason='old')\n"
        "def test_f(): assert f(3) == 9\n"
        "@pytest.mark.skip\ndef test_g(): assert f(3) == 1",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "unittest, one skipped": (
        OUT,
        "import unittest\nclass T(unittest.TestCase):\n    @unittest.skip('later')\n"
        "    def test_a(self): self.assertEqual(f(3), 1)\n"
        "    def test_b(self): self.assertEqual(f(3), 9)",
        "def f(x): return x * x",
        "def f(x): return x",
    ),
    "fixture": (
        IN,
        "import pytest\n@pytest.fixture\ndef stack():\n    s = Stack()\n    s.push(1)\n    yield s\n"
        "class TestStack:\n    def test_pop(self, stack): assert stack.pop() == 1",
        STACK + "    def pop(self): return self.a.pop()",
        STACK + "    def pop(self): return 0",
    ),
    "mock": (
        IN,
        "from unittest.mock import MagicMock, patch\nm = MagicMock(return_value=3)\nassert f(m) == 3\n"
        "m.assert_called_once_with(1)\nwith patch('builtins.print') as p:\n    g()\np.assert_called_once_with('hi')",
        "def f(m): return m(1)\ndef g(): print('hi')",
        "def f(m): return m(2)\ndef g(): print('hi')",
    ),
    "patched helper": (
        IN,
        "from unittest.mock import patch\nwith patch('solution.helper', return_value=7):\n    assert f() == 7",
        "def helper(): return 1\ndef f(): return helper()",
        "def helper(): return 1\ndef f(): return 1",
    ),
    "seeded": (
        IN,
        "import random\nrandom.seed(1)\na = f()\nrandom.seed(1)\nassert a == f() and a == random.Random(1).random()",
        "import random\ndef f(): return random.random()",
        "import random\ndef f(): return random.Random().random()",
    ),
    "signature": (
        IN,
        "import inspect\nassert list(inspect.signature(f).parameters) == ['a', 'b'] and f.__doc__ == 'Adds.'",
        "def f(a, b):\n    'Adds.'\n    return a + b",
        "def f(x, y): return x + y",
    ),
    "type hints": (
        IN,
        "import typing\nassert typing.get_type_hints(f) == {'x': int}",
        "def f(x: int): pass",
        "def f(x: str): pass",
    ),
    "unittest with a runner": (
        IN,
        "import unittest\nclass T(unittest.TestCase):\n    def test_a(self): self.assertEqual(f(2), 4)\n"
        "r = unittest.TextTestRunner().run(unittest.defaultTestLoader.loadTestsFromTestCase(T))\n"
        "assert r.wasSuccessful()",
        "def f(x): return x * x",
        "def f(x): return x * 3",
    ),
    "threads": (
        IN,
        "import threading\nc = Counter()\nts = [threading.Thread(target=c.add) for _ in range(8)]\n"
        "[t.start() for t in ts]\n[t.join() for t in ts]\nassert c.n == 8",
        "class Counter:\n    n = 0\n    def add(self): self.n += 1",
        "class Counter:\n    n = 0\n    def add(self): pass",
    ),
}
# Results that are objects of the program: they say what they are, and are compared with each other by the program.
_POINT = """
class P:
    def __init__(self, x): self.x = x
    def __str__(self): return f"P({self.x})"
    def __format__(self, spec): return f"{self.x:{spec}}"
    def __int__(self): return self.x
    def __eq__(self, other): return self.x == other.x
    def __lt__(self, other): return self.x < other.x
    def __hash__(self): return self.x
    def __add__(self, other): return P(self.x + other.x)
    def __neg__(self): return P(-self.x)
    def __reversed__(self): return iter([self.x])
    __repr__, __index__ = __str__, __int__
"""
OBJECTS = {
    test: (OUT, f"assert {test}", f"{_POINT}def f(x): return P(x)", f"{_POINT}def f(x): return P(x * x + 1)")
    for test in (
        *("str(f(1)) == 'P(1)'", "f'{f(1)}' == '1'", "repr([f(1)]) == '[P(1)]'", "format(f(1), '03d') == '001'"),
        *("int(f(1)) == 1", "[5, 6, 7][f(1)] == 6", "str(sum([f(2)], f(1))) == 'P(3)'", "str(-f(1)) == 'P(-1)'"),
        *("str(sorted([f(2), f(1)])) == '[P(1), P(2)]'", "f(1) == f(1) != f(2) and int(f(1)) == 1"),
        *("len({f(1), f(1)}) == int(f(1))", "list(reversed(f(1))) == [1]", "max(map(int, [f(1), f(2)])) == 2"),
    )
} | {
    "views of a dict": (
        *(OUT, "assert list(f({'b': 1, 'a': 2})) == ['b', 'a']\nassert f({1: 2}) == {1}\nassert g(f({1: 2})) == 1"),
        *("def f(d): return d.keys()\ndef g(k): return len(k)", "def f(d): return sorted(d)\ndef g(k): return len(k)"),
    ),
}

# What the program is given is the tests' own: it may keep it, and change it in a later call.
_EACH, _EACH_WRONG = "def each(a, f):\n    for x in a: f(x)", "def each(a, f): pass"
_KEEP, _KEEP_WRONG = "def keep(a): return lambda x: a.append(x)", "def keep(a): return lambda x: None"
SHARED = {
    "a method": (IN, "seen = []\neach([1, 2], seen.append)\nassert seen == [1, 2]", _EACH, _EACH_WRONG),
    "a method by name": (IN, "seen = []\nuse = seen.append\neach([1], f=use)\nassert seen == [1]", _EACH, _EACH_WRONG),
    "a part of a call": (
        *(IN, "from functools import partial\nseen = []\neach([1], partial(seen.append))\nassert seen == [1]"),
        *(_EACH, _EACH_WRONG),
    ),
    "a function that keeps a list": (IN, "a = []\ng = keep(a)\ng(1)\nassert a == [1]", _KEEP, _KEEP_WRONG),
    "a list that changes later": (
        *(IN, "a = [1]\ng = count(a)\na.append(2)\nassert g() == 2"),
        *("def count(a): return lambda: len(a)", "def count(a):\n    n = len(a)\n    return lambda: n"),
    ),
    "a module that keeps a list": (
        *(IN, "a = []\nkeep(a)\nadd(3)\nassert a == [3]"),
        *("def keep(a): global kept; kept = a\ndef add(x): kept.append(x)", "def keep(a): pass\ndef add(x): pass"),
    ),
    "a result that changes later": (
        *(IN, "a = log()\nadd(3)\nassert a == [3]"),
        *("kept = []\ndef log(): return kept\ndef add(x): kept.append(x)", "def log(): return []\ndef add(x): pass"),
    ),
    "a part by name": (
        *(IN, "a = [[1], [2]]\nb = a[0]\nf(a)\nassert b == [1] and a[0] == [9]"),
        *("def f(a): a[0] = [9]", "def f(a): a[0][:] = [9]"),
    ),
    "by keyword, in a tuple": (
        *(OUT, "a, b = [], []\nf(x=a, y=(b,))\nassert (a, b) == ([1], [2])"),
        *("def f(x, y):\n    x.append(1)\n    y[0].append(2)", "def f(x, y): x.append(1)"),
    ),
    "looked at after the same call": (
        *(OUT, "a = [3, 1]\nassert f(a) is None\nassert a == [1, 3]\nb = [2]\nassert f(b) is None\nassert b == [2]"),
        *("def f(a): a.sort()", "def f(a): return sorted(a)"),
    ),
    "an iterator over its own": (
        *(OUT, "assert total(zip(evens(2), evens(3))) == 4"),
        *("def evens(n):\n    for i in range(n): yield 2 * i\ndef total(x): return sum(map(sum, x))",),
        *("def evens(n): return [2] * n\ndef total(x): return sum(map(sum, x))",),
    ),
}
NUMPY = {
    "array handed over": (
        OUT,
        "import numpy as np\nassert f(np.array([1, 2])) == 3",
        "def f(a): return a.sum()",
        "def f(a): return 0",
    ),
    "array back": (
        OUT,
        "import numpy as np\nassert np.array_equal(f(np.zeros((2, 2))), np.ones((2, 2)))\n"
        "np.testing.assert_allclose(f(np.zeros(2)), [1, 1])",
        "def f(a): return a + 1",
        "def f(a): return a",
    ),
    "array in place": (
        OUT,
        "import numpy as np\na = np.arange(3)\nf(a)\nassert a.tolist() == [2, 1, 0] and a.dtype == np.int64",
        "def f(a): a[:] = a[::-1].copy()",
        "def f(a): pass",
    ),
}


@pytest.fixture(scope="module")
def grader():
    with CodeGrader(Limits(workers=1, cpu_seconds=2, wall_seconds=4, packages=("numpy",))) as grader:
        yield grader


def code(tests: str, program: str) -> Problem:
    entry = "f" if "def check(" in tests and "candidate" not in tests else None
    return Problem("t", "", CodeTests(tests, entry), "t")


@pytest.mark.parametrize("name", [*STYLES, *OBJECTS, *SHARED, *NUMPY])
def test_a_right_program_passes_and_a_wrong_one_fails(grader, name):
    where, tests, right, wrong = {**STYLES, **OBJECTS, **SHARED, **NUMPY}[name]
    grade = grader.grade(code(tests, right), right)
    assert grade.passed, grade
    assert grade.isolation == where
    failed = grader.grade(code(tests, right), wrong)
    assert failed.verdict in (Verdict.WRONG_ANSWER, Verdict.RUNTIME_ERROR), failed
    assert failed.isolation == where


UNSUPPORTED = {
    "fixture that nobody knows": "def test_f(mocker):\n    assert f(1) == mocker",
    "package that is not allowed": "import pandas as pd\nassert f(1) == pd.NA",
    "fails before the program is used": "x = 1 / 0\nassert f(x) == 1",
    "skipped": "import pytest\ndef test_f():\n    pytest.skip('later')\n    assert f(1) == 1",
    "all skipped": "import pytest\n@pytest.mark.skip\ndef test_f():\n    assert f(1) == 1",
    "all skipped, inside": "import pytest, sys\n@pytest.mark.skip\ndef test_f():\n    assert sys.x",
    "syntax": "assert f(1) ==",
    "printed verdicts": "print('PASS' if f(1) == 2 else 'FAIL')",
    "a comparison that nobody looks at": "def test_f():\n    return f(1) == 2",
    "a check that returns": "def check(candidate):\n    return candidate(1) == 2",
    "an assertion that always holds": "assert (f(1) == 2, 'wrong')",
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_what_is_not_supported_is_called_so(grader, name):
    with pytest.warns(UserWarning, match="not graded"):
        grade = grader.grade(code(UNSUPPORTED[name], ""), f"def f(x): return x  # {name}")
    assert grade.verdict is Verdict.UNSUPPORTED
    assert grade.detail
    assert grade.ungraded


@pytest.mark.parametrize("skip", ["import unittest\n    raise unittest.SkipTest", "import pytest\n    pytest.skip()"])
@pytest.mark.parametrize(
    "tests",
    [
        "import pytest\n@pytest.fixture\ndef x(): return 1\ndef test_f(x): assert f(x) == 1",
        "import unittest\nclass T(unittest.TestCase):\n    def test_f(self): self.assertEqual(f(lambda: 1), 1)",
    ],
)
def test_no_program_skips_its_tests(grader, tests, skip):
    grade = grader.grade(code(tests, ""), f"def f(x):\n    {skip}")
    assert grade.verdict is Verdict.RUNTIME_ERROR, grade


def test_running_inside_can_be_forbidden():
    with CodeGrader(Limits(workers=1, inside=False)) as grader:
        _, tests, right, _ = STYLES["equality"]
        with pytest.warns(UserWarning, match="forbidden"):
            assert grader.grade(code(tests, right), right).verdict is Verdict.UNSUPPORTED
        _, tests, right, _ = STYLES["check"]
        assert grader.grade(code(tests, right), right).passed


def test_an_assertion_that_fails_and_is_swallowed_fails(grader):
    problem = code("try:\n    assert f(2) == 4\nexcept Exception:\n    pass", "")
    assert grader.grade(problem, "def f(x): return 4").passed
    assert grader.grade(problem, "def f(x): return 5").verdict is Verdict.WRONG_ANSWER


def test_every_test_is_run_and_counted():
    tests = "assert f(1) == 1\nassert f(2) == 4\nassert f(3) == 9\nassert f(4) == 0"
    with CodeGrader(Limits(workers=1, every_test=True)) as grader:
        grade = grader.grade(code(tests, ""), "def f(x): return x * x if x != 2 else 1 / 0")
        assert grade.verdict is Verdict.RUNTIME_ERROR
        assert grade.share == 0.5
        assert [test.verdict for test in grade.tests] == [Verdict.RUNTIME_ERROR, Verdict.WRONG_ANSWER]
        functions = "class TestF:\n    def test_a(self): assert f(1) == 1\n    def test_b(self): assert f(2) == 1"
        grade = grader.grade(code(functions, ""), "def f(x): return x")
        assert grade.share == 0.5
        assert [test.name for test in grade.tests] == ["TestF.test_b"]
