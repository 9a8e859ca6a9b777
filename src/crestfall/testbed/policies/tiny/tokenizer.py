"""Words of the spec and pieces of Python, each one token. The vocabulary is made from the builtin task grammar."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from crestfall.core.errors import InputError

PAD, EOS, CODE = 0, 1, 2
_SPECIAL = ("<pad>", "<eos>", "<code>")

# What a byte-pair encoding would merge: a statement's opening, a comprehension's `for`, a name with the parenthesis
# that follows it. Everything else is a character.
_PIECE = re.compile(
    r"\n    (?:x = |return |print\()?"
    r"| for \w in | if | not in | in | [-+*/%<>=!]+ "
    r"|'[^'\n]*'|\d|\.?[A-Za-z_]\w*\(?|::|[\s\S]"
)


def pieces(code: str) -> list[str]:
    """Cut source into pieces; their concatenation is the source."""
    return _PIECE.findall(code)


class Tokenizer:
    """Token ids of specs and programs. Ids below 3 are special; a vocabulary travels with the weights made for it."""

    def __init__(self, vocabulary: Sequence[str]) -> None:
        self.vocabulary = tuple(vocabulary)
        self._id = {token: i for i, token in enumerate(self.vocabulary)}

    @classmethod
    def build(cls, specs: Iterable[str], programs: Iterable[str]) -> Tokenizer:
        words = {word for spec in specs for word in spec.split()}
        code = {piece for program in programs for piece in pieces(program)}
        return cls([*_SPECIAL, *sorted(words | code)])

    def __len__(self) -> int:
        return len(self.vocabulary)

    def encode_spec(self, spec: str) -> list[int]:
        """Raises InputError for a word that is not in the vocabulary."""
        try:
            return [self._id[word] for word in spec.split()]
        except KeyError as error:
            reason = "it reads the builtin problems and no other text"
            raise InputError(f"policy tiny has no word {error}: {reason}") from None

    def encode_code(self, code: str) -> list[int]:
        """Raises KeyError for a piece that is not in the vocabulary."""
        return [self._id[piece] for piece in pieces(code)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids up to the first EOS. Special tokens and spec words come out as they are: a policy that writes
        them writes a program that does not parse."""
        out = []
        for i in ids:
            if i == EOS:
                break
            out.append(self.vocabulary[i])
        return "".join(out)
