"""Extract the program from an answer. docs/grading.md explains the rules ("Code in an answer").

1. Fenced blocks. Those tagged as Python if there are any, else those without a tag, or with one that is no language's.
   Without such blocks: what HTML or Python's prompt marks as code; the code that stands bare among the lines; then
   code in the middle of a sentence.
2. Of these the last that defines what the tests call (an answer that corrects itself means its last version); for
   standard input the last that reads it; else the last that does anything.
3. With it come the blocks that define what it uses and does not define (imports, helpers), in their order, and for
   standard input the block that starts it.
4. Nothing of the kind: the empty string, which is graded `no_code`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crestfall.grading.answers import answer_of
from crestfall.grading.bare import inline_code, page_code, reads_input, runs_of, transcript
from crestfall.grading.fences import Block, blocks_of, without_blocks
from crestfall.grading.source import Checker, acts, defines, given, needed


def extract_code(answer: str, entry_point: str | None = None) -> str:
    """The program in a chat answer, or the empty string."""
    text = answer_of(answer)
    return find_code(text, frozenset({entry_point} if entry_point else ()), Checker(len(text)))


def find_code(
    text: str, names: frozenset[str], check: Checker, continues: Callable[[str], bool] = lambda code: False
) -> str:
    """The program in a text without thinking and marks.

    Args:
        names: what the tests need of it; empty for a program that reads standard input.
        continues: whether a text is the rest of what the prompt began.
    """

    def is_code(body: str) -> bool:
        return check.mended(body) is not None or (bool(body.strip()) and continues(body))

    blocks = blocks_of(text, is_code)
    for pool in (_tagged(blocks, check, continues), _plain(blocks, is_code)):
        if pool:
            return _chosen([_mended(body, check) for body in pool], names, check, is_code)
    bare = without_blocks(text, blocks)
    whole = check.mended(bare)
    if whole is None:
        if pages := [page for page in page_code(bare) if is_code(page)]:
            return _chosen([_mended(page, check) for page in pages], names, check, is_code)
        if (typed := transcript(bare, check, names)) is not None:
            return typed
    runs = [whole] if whole is not None else runs_of(bare, check, continues)
    if runs and "\0" not in bare:  # no editor shows it, Python refuses it, and it is not for us to take out
        return _chosen(runs, names, check, is_code)
    if strange := [block.body for block in blocks if names and defines(block.body, names) and is_code(block.body)]:
        return _mended(strange[-1], check)
    if inline := inline_code(text, check, names):
        return inline[-1]
    broken = [block.body for block in blocks if block.kind == "plain" and block.body.strip()]
    return broken[-1] if broken else ""


def _tagged(blocks: Sequence[Block], check: Checker, continues: Callable[[str], bool]) -> list[str]:
    """Blocks tagged as Python, broken ones included, empty ones and those of comments alone not."""
    bodies = [_cut_off(block, check, continues) for block in blocks if block.kind == "python"]
    return [body for body in bodies if body.strip() and ((tree := check.tree(body)) is None or tree.body)]


def _plain(blocks: Sequence[Block], is_code: Callable[[str], bool]) -> list[str]:
    return [block.body for block in blocks if block.kind == "plain" and is_code(block.body)]


def _cut_off(block: Block, check: Checker, continues: Callable[[str], bool]) -> str:
    """A block's body; of one that no fence ends, and that is no program, the code at its beginning."""
    if block.closed or check.mended(block.body) is not None or continues(block.body):
        return block.body
    return next(iter(runs_of(block.body, check, continues)), block.body)


def _mended(body: str, check: Checker) -> str:
    return check.mended(body) or body


def _chosen(pool: list[str], names: frozenset[str], check: Checker, is_code: Callable[[str], bool]) -> str:
    """The program that a text's pieces of code make."""
    indices = range(len(pool))
    if names:  # `from solution import add` beside the block that defines it is a test or an example of use
        own = [i for i in indices if defines(pool[i], names, imports=False)]
        wanted = own or [i for i in indices if defines(pool[i], names)]
    else:
        wanted = [i for i in indices if reads_input(pool[i])]
    whole = [i for i in wanted if names or is_code(pool[i])] or [i for i in indices if is_code(pool[i])] or [*indices]
    main = whole[-1]
    taken = _with_helpers(pool, main, names if wanted else frozenset(), check)
    if not names:
        taken |= _starter(pool, taken, check)
    return "\n".join(pool[i] for i in sorted(taken))


def _with_helpers(pool: list[str], main: int, names: frozenset[str], check: Checker) -> set[int]:
    """The blocks that `main` needs: the nearest before it that gives a name that it uses, else the first behind it."""
    trees = [check.tree(body) for body in pool]
    gives = [given(tree) if tree is not None else set() for tree in trees]
    taken: set[int] = set()
    waiting = [main]
    while waiting:
        i = waiting.pop()
        taken.add(i)
        tree = trees[i]
        wanted = (needed(tree) if tree is not None else set()) | (names if i == main else set())
        for name in wanted - set().union(*(gives[j] for j in taken)):
            order = [*range(main - 1, -1, -1), *range(main + 1, len(pool))]
            giver = next((j for j in order if name in gives[j]), None)
            if giver is not None and giver not in taken:
                waiting.append(giver)
    return taken


def _starter(pool: list[str], taken: set[int], check: Checker) -> set[int]:
    """First later block that uses what the program defines, for a program that starts nothing itself."""
    trees = [check.tree(pool[i]) for i in taken]
    if any(tree is None or acts(tree) for tree in trees):
        return set()
    defined = set().union(*(given(tree) for tree in trees if tree is not None))
    for i in range(max(taken) + 1, len(pool)):
        tree = check.tree(pool[i])
        if tree is not None and acts(tree) and needed(tree) & defined:
            return {i}
    return set()
