"""Imports that LeetCode, and benchmarks made of its problems, put before a program: their starter code names `List`
and solutions call `Counter` or `inf` without an import of their own."""

from __future__ import annotations

from functools import cache
from typing import Any

# LiveCodeBench's header (lcb_runner/evaluation/testing_util.py); APPS, TACO and their successors have a part of it.
LEETCODE = """\
from string import *
from re import *
from datetime import *
from collections import *
from heapq import *
from bisect import *
from copy import *
from math import *
from random import *
from statistics import *
from itertools import *
from functools import *
from operator import *
from io import *
from sys import *
from json import *
from builtins import *
from typing import *
import string
import re
import datetime
import collections
import heapq
import bisect
import copy
import math
import random
import statistics
import itertools
import functools
import operator
import io
import sys
import json
"""


@cache
def names(header: str) -> dict[str, Any]:
    """The names that a header defines. Computed once per process: the zygote does so for `LEETCODE`, then it forks."""
    namespace: dict[str, Any] = {"__name__": "__header__"}
    exec(compile(header, "<header>", "exec", dont_inherit=True), namespace)
    return {name: value for name, value in namespace.items() if name not in ("__name__", "__builtins__")}
