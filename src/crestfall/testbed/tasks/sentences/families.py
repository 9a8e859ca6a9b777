"""Families of one-line functions: what the docstring says is returned, and how. `{k}` is a whole number of 2 to 11.

A family takes a number x, a list of numbers xs or a text s. Two families that say the same of some k are told by what
they return: the source keeps one problem of each meaning.
"""

from __future__ import annotations

from typing import NamedTuple


class Family(NamedTuple):
    takes: str
    """The argument: `x`, `xs` or `s`."""
    says: str
    """Return value in words."""
    expression: str
    """Return value as a Python expression."""


_NUMBERS = (
    ("x plus {k}", "x + {k}"),
    ("x minus {k}", "x - {k}"),
    ("x times {k}", "x * {k}"),
    ("{k} minus x", "{k} - x"),
    ("the square of x plus {k}", "x * x + {k}"),
    ("the square of x minus {k}", "x * x - {k}"),
    ("x to the power of {k}", "x ** {k}"),
    ("the remainder of x divided by {k}", "x % {k}"),
    ("x divided by {k}, rounded down", "x // {k}"),
    ("the larger of x and {k}", "max(x, {k})"),
    ("the smaller of x and {k}", "min(x, {k})"),
    ("True if x is greater than {k}, else False", "x > {k}"),
    ("True if x is at most {k}, else False", "x <= {k}"),
    ("True if x is divisible by {k}, else False", "x % {k} == 0"),
    ("twice x plus {k}", "2 * x + {k}"),
    ("three times x minus {k}", "3 * x - {k}"),
    ("the absolute difference of x and {k}", "abs(x - {k})"),
    ("the absolute value of x plus {k}", "abs(x) + {k}"),
    ("the negative of x times {k}", "-x * {k}"),
    ("{k} if x is even, else x", "{k} if x % 2 == 0 else x"),
    ("x if x is positive, else {k}", "x if x > 0 else {k}"),
    ("a list of {k} copies of x", "[x] * {k}"),
    ("a list with x and {k}", "[x, {k}]"),
    ("x as a string repeated {k} times", "str(x) * {k}"),
    ("a list of the numbers from x to x plus {k}", "list(range(x, x + {k} + 1))"),
    ("a list of the first {k} multiples of x, starting with x itself", "[x * i for i in range(1, {k} + 1)]"),
)
_LISTS = (
    ("the sum of xs plus {k}", "sum(xs) + {k}"),
    ("the sum of xs times {k}", "sum(xs) * {k}"),
    ("the length of xs plus {k}", "len(xs) + {k}"),
    ("the length of xs times {k}", "len(xs) * {k}"),
    ("True if {k} is in xs, else False", "{k} in xs"),
    ("True if xs has more than {k} elements, else False", "len(xs) > {k}"),
    ("how often {k} occurs in xs", "xs.count({k})"),
    ("how many elements of xs are greater than {k}", "sum(v > {k} for v in xs)"),
    ("how many elements of xs are divisible by {k}", "sum(v % {k} == 0 for v in xs)"),
    ("the sum of the elements of xs that are greater than {k}", "sum(v for v in xs if v > {k})"),
    ("the elements of xs that are greater than {k}, as a list", "[v for v in xs if v > {k}]"),
    ("the elements of xs that are less than {k}, as a list", "[v for v in xs if v < {k}]"),
    ("the elements of xs that are divisible by {k}, as a list", "[v for v in xs if v % {k} == 0]"),
    ("xs without the elements equal to {k}", "[v for v in xs if v != {k}]"),
    ("a list with {k} added to each element of xs", "[v + {k} for v in xs]"),
    ("a list with each element of xs multiplied by {k}", "[v * {k} for v in xs]"),
    ("a list with the remainder of each element of xs divided by {k}", "[v % {k} for v in xs]"),
    ("the first {k} elements of xs", "xs[:{k}]"),
    ("the last {k} elements of xs", "xs[-{k}:]"),
    ("xs without its first {k} elements", "xs[{k}:]"),
    ("every element of xs at a position divisible by {k}", "xs[::{k}]"),
    ("xs repeated {k} times", "xs * {k}"),
    ("xs with {k} added at the end", "xs + [{k}]"),
    ("xs with {k} added at the front", "[{k}] + xs"),
    ("the {k} smallest elements of xs in ascending order", "sorted(xs)[:{k}]"),
    ("the {k} largest elements of xs in descending order", "sorted(xs, reverse=True)[:{k}]"),
)
_TEXTS = (
    ("s repeated {k} times", "s * {k}"),
    ("the length of s plus {k}", "len(s) + {k}"),
    ("the first {k} characters of s", "s[:{k}]"),
    ("the last {k} characters of s", "s[-{k}:]"),
    ("s without its first {k} characters", "s[{k}:]"),
    ("every character of s at a position divisible by {k}", "s[::{k}]"),
    ("True if s has more than {k} characters, else False", "len(s) > {k}"),
    ("s followed by the number {k}", "s + str({k})"),
    ("s with every space replaced by the digit {k}", 's.replace(" ", str({k}))'),
    ("the first {k} characters of s in upper case", "s[:{k}].upper()"),
    ("s in upper case, repeated {k} times", "s.upper() * {k}"),
    ("the first {k} words of s as a list", "s.split()[:{k}]"),
    ("how many words of s have more than {k} characters", "sum(len(w) > {k} for w in s.split())"),
    ("the words of s with more than {k} characters, as a list", "[w for w in s.split() if len(w) > {k}]"),
    ("the number of words in s plus {k}", "len(s.split()) + {k}"),
)

FAMILIES: tuple[Family, ...] = tuple(
    Family(takes, says, expression)
    for takes, some in (("x", _NUMBERS), ("xs", _LISTS), ("s", _TEXTS))
    for says, expression in some
)

INPUTS: dict[str, tuple[object, ...]] = {
    "x": (0, 1, 7, -3, 20, 12, -8, 5, 60),
    "xs": (
        [],
        [4],
        [3, 1, 2],
        [5, 12, 2, 8, 30, 8, -4],
        [11, 2, 2, 9, 10, 3, 7, 6, 5, 4, 8, 1, 12],
        [20, -6, 0, 15, 33, 14, 18, 40, 24, 9, 60, 55, 22],
    ),
    "s": (
        "",
        "a",
        "hello world",
        "the quick brown fox jumps",
        "one two three four five six seven eight nine ten eleven twelve",
        "Extraordinary international communications",
    ),
}
"""Arguments with which every function of a kind is tested, besides values close to its own k."""
