"""The operations that builtin problems are composed of: their meaning, their source and how people say them.

An operation maps one value to another: `list` (of ints), `str` or `int`. `source` is a Python expression in `x`, with
`{k}` for the constant (2-9); `phrases` are paraphrases, with the same `{k}`. The meaning is the compiled source, so
what a problem asks for and what its reference does cannot drift apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

Kind = Literal["list", "str", "int"]
CONSTANTS = range(2, 10)


@dataclass(frozen=True, slots=True)
class Operation:
    takes: Kind
    gives: Kind
    source: str
    phrases: tuple[str, ...]

    @property
    def has_constant(self) -> bool:
        return "{k}" in self.source


@dataclass(frozen=True, slots=True)
class Stage:
    """An operation with its constant (None where it has none)."""

    operation: Operation
    k: int | None = None

    @property
    def source(self) -> str:
        return self.operation.source.format(k=self.k)

    def phrase(self, which: int) -> str:
        phrases = self.operation.phrases
        return phrases[which % len(phrases)].format(k=self.k)

    @property
    def function(self) -> Callable[[Any], Any]:
        return _compiled(self.source)


@cache
def _compiled(source: str) -> Callable[[Any], Any]:
    function: Callable[[Any], Any] = eval(f"lambda x: {source}")
    return function


def _ops(takes: Kind, gives: Kind, table: Mapping[str, tuple[str, ...]]) -> list[Operation]:
    return [Operation(takes, gives, source, phrases) for source, phrases in table.items()]


_LIST_TO_LIST = {
    "[v for v in x if v % 2 == 0]": ("keep the even ones", "keep only even numbers", "drop the odd ones"),
    "[v for v in x if v % 2 == 1]": ("keep the odd ones", "keep only odd numbers", "drop the even ones"),
    "[v for v in x if v > 0]": ("keep the positive ones", "keep only positive numbers"),
    "[v for v in x if v < 0]": ("keep the negative ones", "keep only negative numbers"),
    "[v for v in x if v > {k}]": ("keep those above {k}", "keep numbers greater than {k}"),
    "[v for v in x if v < {k}]": ("keep those below {k}", "keep numbers less than {k}"),
    "[v for v in x if v % {k} == 0]": ("keep multiples of {k}", "keep those divisible by {k}"),
    "[v for v in x if v % {k} != 0]": ("drop multiples of {k}", "drop those divisible by {k}"),
    "[v + {k} for v in x]": ("add {k} to each", "increase each by {k}", "plus {k}"),
    "[v - {k} for v in x]": ("subtract {k} from each", "decrease each by {k}", "minus {k}"),
    "[v * {k} for v in x]": ("multiply each by {k}", "scale each by {k}", "times {k}"),
    "[v // {k} for v in x]": ("floor divide each by {k}", "divide each by {k} rounding down"),
    "[v % {k} for v in x]": ("each modulo {k}", "take the remainder of each by {k}"),
    "[-v for v in x]": ("negate each", "flip the sign of each"),
    "[v * v for v in x]": ("square each", "each times itself"),
    "[abs(v) for v in x]": ("absolute value of each", "drop the sign of each"),
    "[min(v, {k}) for v in x]": ("cap each at {k}", "limit each to at most {k}"),
    "[max(v, {k}) for v in x]": ("raise each to at least {k}", "limit each to at least {k}"),
    "x[::-1]": ("reverse the list", "turn the order around"),
    "sorted(x)": ("sort ascending", "sort from small to large"),
    "sorted(x)[::-1]": ("sort descending", "sort from large to small"),
    "sorted(set(x))": ("sort the distinct ones", "sort ascending without repeats"),
    "list(dict.fromkeys(x))": ("drop repeats in order", "keep the first of each repeat"),
    "x[:{k}]": ("keep the first {k}", "take the first {k}"),
    "x[-{k}:]": ("keep the last {k}", "take the last {k}"),
    "x[{k}:]": ("drop the first {k}", "skip the first {k}"),
    "x[:-{k}]": ("drop the last {k}", "skip the last {k}"),
    "x[::2]": ("keep every second one", "take the even positions"),
    "x[1::2]": ("take the odd positions", "keep every second one from the second"),
    "x + x": ("append a copy of the list", "repeat the list"),
    "x + x[::-1]": ("append the reversed list", "mirror the list"),
    "[b - a for a, b in zip(x, x[1:])]": ("differences of neighbours", "subtract each from the next"),
    "[a + b for a, b in zip(x, x[1:])]": ("sums of neighbours", "add each to the next"),
}
_LIST_TO_INT = {
    "sum(x)": ("the sum", "the total"),
    "len(x)": ("the count", "how many there are"),
    "max(x, default=0)": ("the largest", "the maximum"),
    "min(x, default=0)": ("the smallest", "the minimum"),
    "len(set(x))": ("how many are distinct", "the count without repeats"),
    "sum(v * v for v in x)": ("the sum of squares", "the total of the squares"),
    "sum(v > {k} for v in x)": ("how many are above {k}", "the count greater than {k}"),
    "sum(v % 2 == 0 for v in x)": ("how many are even", "the count of even ones"),
    "sum(x[::2])": ("the sum of even positions", "the total of every second one"),
    "max(x, default=0) - min(x, default=0)": ("the spread", "largest minus smallest"),
}
_STR_TO_STR = {
    "x.upper()": ("make it uppercase", "capital letters"),
    "x.lower()": ("make it lowercase", "small letters"),
    "x.swapcase()": ("swap the case", "flip upper and lower case"),
    "x.title()": ("title case", "capitalise each word"),
    "x.strip()": ("strip the ends", "remove outer spaces"),
    "x[::-1]": ("reverse the text", "read it backwards"),
    "x[:{k}]": ("keep the first {k} characters", "cut the text after {k}"),
    "x[-{k}:]": ("keep the last {k} characters", "the text's last {k}"),
    "x[{k}:]": ("drop the first {k} characters", "skip {k} characters"),
    "x[::2]": ("every second character", "the text's even positions"),
    "x * {k}": ("repeat the text {k} times", "{k} copies of the text"),
    "x.replace(' ', '-')": ("spaces to dashes", "join words by dashes"),
    "x.replace(' ', '')": ("remove the spaces", "drop all spaces"),
    "''.join(c for c in x if c.isalpha())": ("keep the letters", "only letters"),
    "''.join(c for c in x if c.isdigit())": ("keep the digits", "only digits"),
    "''.join(c for c in x if c not in 'aeiou')": ("remove small vowels", "drop a e i o u"),
    "''.join(c for c in x if c in 'aeiou')": ("keep small vowels", "only a e i o u"),
    "''.join(sorted(x))": ("sort the characters", "characters in order"),
    "''.join(dict.fromkeys(x))": ("drop repeated characters", "each character once"),
    "''.join(c + c for c in x)": ("double each character", "write each character twice"),
    "' '.join(x.split()[::-1])": ("reverse the words", "words in reverse order"),
    "' '.join(sorted(x.split()))": ("sort the words", "words in order"),
}
_STR_TO_INT = {
    "len(x)": ("the length", "how many characters"),
    "len(x.split())": ("the number of words", "how many words"),
    "len(set(x))": ("how many distinct characters", "the number of different characters"),
    "sum(c in 'aeiou' for c in x)": ("how many small vowels", "the number of a e i o u"),
    "sum(c.isdigit() for c in x)": ("how many digits", "the number of digits"),
    "sum(c.isupper() for c in x)": ("how many capitals", "the number of uppercase letters"),
}
_STR_TO_LIST = {
    "[len(c) for c in x.split()]": ("the word lengths", "the length of each word"),
    "[ord(c) for c in x]": ("the character codes", "the code of each character"),
}
_INT_TO_INT = {
    "x + {k}": ("add {k}", "increase it by {k}"),
    "x - {k}": ("subtract {k}", "decrease it by {k}"),
    "x * {k}": ("multiply by {k}", "scale it by {k}"),
    "x // {k}": ("floor divide by {k}", "divide by {k} rounding down"),
    "x % {k}": ("modulo {k}", "the remainder by {k}"),
    "-x": ("negate it", "flip its sign"),
    "x * x": ("square it", "times itself"),
    "abs(x)": ("its absolute value", "drop its sign"),
    "min(x, {k})": ("cap it at {k}", "at most {k}"),
    "max(x, {k})": ("at least {k}", "raise it to {k}"),
    "len(str(abs(x)))": ("the number of its digits", "how many digits it has"),
}
_INT_TO_LIST = {
    "[int(c) for c in str(abs(x))]": ("its digits", "the list of its digits"),
    "list(range(x % 10))": ("the numbers below its remainder by 10", "count up to its remainder by 10"),
}

OPERATIONS: tuple[Operation, ...] = tuple(
    _ops("list", "list", _LIST_TO_LIST)
    + _ops("list", "int", _LIST_TO_INT)
    + _ops("str", "str", _STR_TO_STR)
    + _ops("str", "int", _STR_TO_INT)
    + _ops("str", "list", _STR_TO_LIST)
    + _ops("int", "int", _INT_TO_INT)
    + _ops("int", "list", _INT_TO_LIST)
)
