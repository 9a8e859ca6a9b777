"""What models write when they are asked for a program, and the verdict that each answer is owed.

Three problems: `double` (a function is called), `stdin` (a program reads standard input), `stub` (a function is begun
by the prompt, with an import and a helper that the answer may rely on). Every answer is right in what it says unless
its verdict says otherwise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from crestfall.core.types import CallCase, CallTests, CodeTests, Problem, StdioCase, StdioTests

CASES = (CallCase((2,), 4), CallCase((-3,), -6))
DOUBLE = Problem("double", "Double a number.", CallTests("double", CASES), "double")
STDIN = Problem("stdin", "Double a number.", StdioTests((StdioCase("4\n", "8\n"), StdioCase("-1\n", "-2\n"))), "stdin")
STUB = Problem(
    "stub",
    "Complete it.",
    CodeTests("def check(f):\n    assert f([1, 4]) == 2.5\n    assert f([2]) == 2.0\n", "mean"),
    "stub",
    stub="import math\n\ndef total(xs):\n    return math.fsum(xs)\n\n\n"
    'def mean(xs):\n    """The mean.\n    >>> mean([2])\n    2.0\n    """\n',
)
PROBLEMS = {"double": DOUBLE, "stdin": STDIN, "stub": STUB}


@dataclass(frozen=True)
class Answer:
    label: str
    text: str
    verdict: str = "passed"
    problem: str = "double"


DEF = "def double(n):\n    return n + n\n"
BAD = "def double(n):\n    return n * n\n"
READ = "n = int(input())\nprint(n + n)\n"
BODY = "    return total(xs) / len(xs)\n"
ADD = "def add(a, b):\n    return a + b\n"
WITH_ADD = "def double(n):\n    return add(n, n)\n"
WITH_IMPORT = "def double(n):\n    return operator.mul(2, n)\n"
METHOD = "class Solution:\n    def double(self, n):\n        return n + n\n"
MAIN = "def main():\n    print(2 * int(input()))\n"
GENERATE = "import random\nprint(random.random())\n"
DOCUMENTED = 'def double(n):\n    """Twice.\n\n    ```{}\n    double(1)\n    ```\n    """\n    return 2 * n\n'
CHANNELS = "<|channel|>analysis<|message|>{}<|end|><|start|>assistant<|channel|>final<|message|>{}<|return|>"
WHOLE = "def mean(xs):\n    return total(xs) / len(xs)\n"


def _fenced(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}" + ("" if code.endswith("\n") else "\n") + f"{mark}\n"


def _indented(text: str, margin: str) -> str:
    return "".join(margin + line for line in text.splitlines(keepends=True))


_TAGS = [
    *("", "py", "PYTHON", "Python 3", "python3.12", " python", "python ", "{python}", "{.python .numberLines}"),
    *("python title='x.py'", "python:double.py", "python,ignore", "python {linenos=table}", "double.py", "pypy3"),
    *("cpython", "ipython", "text", "code", "plaintext", "language-python"),
]

ANSWERS = [
    # --- fences ---
    *(Answer(f"tag {tag!r}", f"Here you are:\n\n{_fenced(DEF, tag)}\nDone.") for tag in _TAGS),
    Answer("tildes", _fenced(DEF, mark="~~~")),
    Answer("five backticks", _fenced(DEF, mark="`````")),
    Answer("never closed", f"```python\n{DEF}"),
    Answer("never closed, prose behind", f"```python\n{DEF}\nThis adds the number to itself.\n"),
    Answer("text behind the closing fence", f"```python\n{DEF}``` That's all!\n"),
    Answer("full stop behind the closing fence", f"```python\n{DEF}```.\n"),
    Answer("closing fence behind the code", f"```python\n{DEF.rstrip()}```\n"),
    Answer("opening fence behind prose", f"The code: ```python\n{DEF}```\n"),
    Answer("code behind the tag", "```python def double(n): return n + n\n```"),
    Answer("all on one line", "The answer is ```def double(n): return 2 * n```."),
    Answer("the tag below the fence", f"```\npython\n{DEF}```\n"),
    Answer("line ends of old", _fenced(DEF).replace("\n", "\r")),
    Answer("in a list, three spaces", "1. This:\n\n" + _indented(_fenced(DEF), "   ")),
    Answer("in a list, four spaces", "* This:\n\n" + _indented(_fenced(DEF), "    ")),
    Answer("in a list, tab", "-\tThis:\n" + _indented(_fenced(DEF), "\t")),
    Answer("behind a list mark", "- ```python\n" + _indented(DEF, "  ") + "  ```\n"),
    Answer("in a quote", _indented(_fenced(DEF), "> ")),
    Answer("indented inside of the fence", _fenced(_indented(DEF, "    "))),
    Answer("in a fence of markdown", f"```markdown\n# Solution\n{_fenced(DEF)}```\n"),
    Answer("a fence in its docstring", _fenced(DOCUMENTED.format(""))),
    Answer("a tagged fence in its docstring", _fenced(DOCUMENTED.format("python"))),
    Answer("a fence in a string", _fenced('def double(n):\n    mark = "```"\n    return 2 * n\n')),
    Answer("a shorter fence inside", _fenced("def double(n):\n    '''\n```\n'''\n    return 2 * n\n", mark="````")),
    Answer("line ends of Windows", _fenced(DEF).replace("\n", "\r\n")),
    Answer("byte order mark", "\ufeff" + _fenced(DEF)),
    Answer("an interpreter's prompts", _fenced(">>> def double(n):\n...     return 2 * n\n...\n>>> double(2)\n4\n")),
    Answer("a notebook's commands", _fenced("%matplotlib inline\n!pip install numpy\n" + DEF)),
    Answer("spaces that do not break", _fenced(DEF.replace("    ", "\u00a0" * 4))),
    Answer("full-width spaces", _fenced(DEF.replace("    ", "\u3000" * 4))),
    Answer("marks that nobody sees", _fenced("\ufeff" + DEF.replace(":", ":\u200b"))),
    Answer("a space that does not break, in a string", _fenced(f"s = '\u00a0'\n{DEF[:-1]} * len(s)")),
    Answer("escaped for HTML", _fenced("def double(n):\n    return n * 2 if n &gt; 0 else 2 * n\n")),
    Answer("three quotes for a fence", f"'''python\n{DEF}'''\nDone.\n"),
    # --- pages and transcripts ---
    Answer("a page's code", f"<p>This:</p>\n<pre><code>{DEF}</code></pre>\n<p>It doubles.</p>"),
    Answer("a page's code, escaped", f"<pre lang='python'>{DEF.replace('n + n', 'n &lt;&lt; 1')}</pre>\nDone."),
    Answer("a page's code, with its class", f'<code class="language-python">\n{DEF}</code>'),
    Answer("stdin, a page's code", f"<pre>\n{READ}</pre>", problem="stdin"),
    Answer("typed at the prompt", "Try:\n\n>>> def double(n):\n...     return 2 * n\n...\n>>> double(2)\n4\n"),
    Answer("typed in a notebook", "In [1]: def double(n):\n   ...:     return 2 * n\n   ...:\n\nIn [2]: double(1)\n"),
    Answer("tried out at the prompt", f"{DEF}\n>>> double(2)\n4\n"),
    Answer("only tried out", "You call it so:\n\n>>> double(2)\n4\n", "no_code"),
    # --- opened or closed by the prompt ---
    Answer("only a closing fence", f"{DEF}```"),
    Answer("only a closing fence, prose behind", f"{DEF}```\nIt works because 2n = n + n.\n"),
    Answer("only a closing fence, usage behind", f"{DEF}```\nTry it:\n{_fenced('print(double(2))')}"),
    Answer("the prompt's fence and a tag", f"python\n{DEF}```\n"),
    # --- several blocks ---
    Answer("usage behind", f"{_fenced(DEF)}Example:\n{_fenced('print(double(4))')}"),
    Answer("tests behind", f"{_fenced(DEF)}Tests:\n{_fenced('assert double(1) == 2')}"),
    Answer("output behind", f"{_fenced(DEF)}Output:\n{_fenced('8', '')}"),
    Answer("corrected", f"{_fenced(BAD)}No, that squares.\n{_fenced(DEF)}"),
    Answer("made worse", f"{_fenced(DEF)}Shorter:\n{_fenced(BAD)}", "wrong_answer"),
    Answer("import, then function", f"{_fenced('import operator')}and\n{_fenced(WITH_IMPORT)}"),
    Answer("helper, then function", f"{_fenced(ADD)}\n{_fenced(WITH_ADD)}"),
    Answer("function, then helper", f"{_fenced(WITH_ADD)}\n{_fenced(ADD)}"),
    Answer("helper of the first version", f"{_fenced(ADD + BAD)}\n{_fenced(WITH_ADD)}"),
    Answer("assigned, then used", f"{_fenced('double = lambda n: 2 * n')}\n{_fenced('print(double(1))')}"),
    Answer("a method of Solution", f"{_fenced(METHOD)}\n{_fenced('print(Solution().double(1))')}"),
    Answer("shell before and behind", f"{_fenced('pip', 'bash')}{_fenced(DEF)}{_fenced('python d.py', 'sh')}"),
    Answer("JSON, then untagged", f"{_fenced('{}', 'json')}{_fenced(DEF, '')}"),
    Answer("shell in a fence, code bare", f"{_fenced('python d.py', 'bash')}{DEF}"),
    Answer("unclosed, then another", f"```python\n{BAD}\nWait.\n```python\n{DEF}```\n"),
    # --- thinking ---
    Answer("wrong while thinking", f"<think>\n{_fenced(BAD)}</think>\n{_fenced(DEF)}"),
    Answer("right while thinking, wrong answer", f"<think>\n{_fenced(DEF)}</think>\n{_fenced(BAD)}", "wrong_answer"),
    Answer("right while thinking, no answer", f"<think>\n{_fenced(DEF)}</think>\nI am stuck.", "no_code"),
    Answer("thinking cut off", f"<think>\nMaybe\n{_fenced(DEF)}but then", "no_code"),
    Answer("a fence left open in thinking", f"<think>\n```python\n{BAD}</think>\n{_fenced(DEF)}"),
    Answer("thinking opened by the prompt", f"{BAD}\nHm.\n</think>\n\n{DEF}"),
    Answer("thinking twice", f"<think>a</think>\n{_fenced(DEF)}<think>\n{_fenced(BAD)}</think>\nYes."),
    Answer("thinking up to the fence", f"<think>\n```python\n{BAD}```</think>```python\n{DEF}```"),
    Answer("thinking in other words", f"<reasoning>{_fenced(BAD)}</reasoning>\n{_fenced(DEF)}"),
    Answer("thinking in brackets", f"[THINK]{_fenced(BAD)}[/THINK]{_fenced(DEF)}"),
    Answer("channels", CHANNELS.format(_fenced(BAD), _fenced(DEF))),
    Answer("channels, cut off", f"<|channel|>analysis<|message|>Maybe\n{_fenced(DEF)}<|end|>", "no_code"),
    Answer("channels without their tokens", f"analysisWe need\n{_fenced(BAD)}assistantfinalHere:\n{_fenced(DEF)}"),
    Answer("a channel without its tokens, cut off", f"analysisWe need\n{_fenced(DEF)}", "no_code"),
    Answer("a tag in a string", _fenced("def double(n):\n    return n + n if '</think>' else '<think>'\n")),
    # --- tokens and marks ---
    *(
        Answer(f"{token} behind the fence", f"```python\n{DEF}```{token}")
        for token in ("<|im_end|>", "<|eot_id|>", "<|endoftext|>", "</s>", "<end_of_turn>", "<｜end▁of▁sentence｜>")
    ),
    Answer("a token behind bare code", f"{DEF}<|endoftext|>"),
    Answer("a token in an open fence", f"```python\n{DEF}<|im_end|>"),
    Answer("a next turn", f"{_fenced(DEF)}<|im_end|>\n<|im_start|>user\nAnd squares?\n{_fenced(BAD)}"),
    Answer("a role before", f"<|im_start|>assistant\n{_fenced(DEF)}"),
    Answer("Mistral's call", f"[TOOL_CALLS] {json.dumps([{'name': 'python', 'arguments': {'code': DEF}}])}"),
    Answer("Mistral's later call", f"[TOOL_CALLS]python[ARGS]{json.dumps({'code': DEF})}"),
    Answer("a token between a string's words", _fenced("def double(n):\n    return n + n if 'a<|eot|>b' else 0\n")),
    Answer("a token in a string", _fenced("def double(n):\n    return n + n if '<|im_end|>' else 0\n")),
    Answer("a call of the interpreter", f"<|python_tag|>{DEF}<|eom_id|>"),
    Answer("in JSON", '{"reasoning": "add", "code": "def double(n):\\n    return n + n\\n"}'),
    Answer("in JSON, in a fence", '```json\n{"code": "def double(n):\\n    return n + n\\n"}\n```'),
    Answer("a tool's call", '<tool_call>\n{"arguments": {"code": "double = lambda n: 2 * n"}}\n</tool_call>'),
    Answer("CDATA", f"<solution><![CDATA[\n{DEF}]]></solution>"),
    Answer("marked as answer", f"It is\n<answer>\n{_fenced(DEF)}</answer>"),
    Answer("marked as answer, bare", f"<answer>\n{DEF}</answer>\n"),
    Answer("[PYTHON]", f"[PYTHON]\n{DEF}[/PYTHON]"),
    Answer("<code>", f"<code>\n{DEF}</code>\n"),
    Answer("[BEGIN]", f"[BEGIN]\n{DEF}[DONE]\nYou are an expert.\n[BEGIN]\n{BAD}[DONE]"),
    Answer("[DONE]", f"{DEF}[DONE]\n\nAnd here is the next task.\n"),
    # --- no fence ---
    Answer("bare", DEF),
    Answer("bare with prose around", f"Here:\n\n{DEF}\nIt adds."),
    Answer("bare with words that parse", f"Solution\n\n{DEF}\nNote: doubles\n\nDone\n"),
    Answer("bare with headings", f"# Solution\n{DEF}\n# Explanation\nIt doubles the number.\n"),
    Answer("bare and indented", f"Here:\n\n{_indented(DEF, '    ')}\nIt adds."),
    Answer("bare, import apart", f"First\nimport operator\nthen\n{WITH_IMPORT}Done.\n"),
    Answer("in single backticks", "Use `def double(n): return 2 * n` for it."),
    Answer("bare, broken", "def double(n)\n    return 2 * n\n", "syntax_error"),
    Answer("fenced, broken", _fenced("def double(n)\n    return 2 * n\n"), "syntax_error"),
    # --- nothing ---
    Answer("empty", "", "no_code"),
    Answer("blank", " \n\n", "no_code"),
    Answer("prose", "I am sorry, I cannot do that.", "no_code"),
    Answer("one word", "Sorry", "no_code"),
    Answer("an empty fence", "```python\n```", "no_code"),
    Answer("a comment in a fence", _fenced("# to do\n"), "no_code"),
    Answer("another language", _fenced("function double(n) { return 2 * n }\n", "javascript"), "no_code"),
    Answer("a tool's parameter on a line", f'Writing.\n<invoke name="w">\n<parameter name="content">{DEF}</parameter>'),
    Answer("JSON in a fence behind prose", f"Here:\n```json\n{json.dumps({'why': 'sum', 'code': DEF})}\n```\nDone."),
    Answer("JSON of files", json.dumps({"files": [{"path": "s.py", "content": DEF}]})),
    Answer("JSON beside Python", f'```json\n{{"code": "1"}}\n```\n{_fenced(DEF)}'),
    Answer("a notebook", json.dumps({"cells": [{"cell_type": "markdown", "source": ["# x"]},
                                               {"cell_type": "code", "source": DEF.splitlines(True)}]})),
    Answer("code element in a sentence", f"The answer is <code>{DEF}</code>"),
    Answer("the prompt's turn before it", f"[INST] Double it. [/INST] {_fenced(DEF)}</s>"),
    # --- standard input ---
    Answer("stdin", _fenced(READ), problem="stdin"),
    Answer("stdin bare", READ, problem="stdin"),
    Answer("stdin bare, prose around", f"Read it:\n\n{READ}\nThat prints it.", problem="stdin"),
    Answer("stdin bare, a remark behind", f"{READ}\nOutput: eight\n", problem="stdin"),
    Answer("stdin, output behind", f"{_fenced(READ, '')}Output:\n{_fenced('8', '')}", problem="stdin"),
    Answer("stdin, input behind", f"{_fenced(READ)}Input:\n{_fenced('4')}", problem="stdin"),
    Answer("stdin, comment behind", f"{_fenced(READ)}Run:\n{_fenced('# python d.py < in')}", problem="stdin"),
    Answer("stdin, generator of tests behind", f"{_fenced(READ)}To test:\n{_fenced(GENERATE)}", problem="stdin"),
    Answer("stdin, two versions", f"{_fenced('print(int(input()) ** 2)')}\n{_fenced(READ)}", problem="stdin"),
    Answer("stdin, main apart", f"{_fenced(DEF)}\n{_fenced('print(double(int(input())))')}", problem="stdin"),
    Answer("stdin, main started apart", f"{_fenced(MAIN)}\n{_fenced('main()')}", problem="stdin"),
    Answer("stdin, closing fence alone", f"{READ}```\n", problem="stdin"),
    Answer("stdin in a sentence", "The program is: print(2 * int(input()))", problem="stdin"),
    # --- behind a stub ---
    Answer("continuation", BODY, problem="stub"),
    Answer("continuation without its indentation", BODY.lstrip(), problem="stub"),
    Answer("continuation, three spaces", BODY[1:], problem="stub"),
    Answer("continuation, tab", "\t" + BODY.lstrip(), problem="stub"),
    Answer("continuation, first line stripped", "s = total(xs)\n    n = len(xs)\n    return s / n\n", problem="stub"),
    Answer("continuation, first line one space", " s = total(xs)\n    n = len(xs)\n    return s / n\n", problem="stub"),
    Answer("continuation, prose behind", f"{BODY}\nThis sums and divides.\n", problem="stub"),
    Answer("continuation, fence and prose behind", f"{BODY}```\nDone.", problem="stub"),
    Answer("continuation, token behind", f"{BODY}<|endoftext|>import os", problem="stub"),
    Answer("continuation, token behind its last word", f"{BODY.rstrip()}<|endoftext|>def g(:", problem="stub"),
    Answer("continuation, a word behind", f"{BODY}\nDone\n", problem="stub"),
    Answer("continuation in a fence", _fenced(BODY), problem="stub"),
    Answer("whole function in a fence", f"Sure.\n{_fenced(WHOLE)}", problem="stub"),
    Answer("whole function, bare", WHOLE, problem="stub"),
    Answer("the prompt repeated", STUB.stub + BODY, problem="stub"),
    Answer("the prompt repeated in a fence", _fenced(STUB.stub + BODY), problem="stub"),
    Answer("a __future__ import", _fenced("from __future__ import annotations\n" + WHOLE), problem="stub"),
    Answer("only a comment", "    # to do\n", "wrong_answer", "stub"),
    Answer("prose for a stub", "I cannot do that.", "no_code", "stub"),
    Answer("a word for a stub", "Sorry", "no_code", "stub"),
    Answer("null byte", f"{BODY}\0", "syntax_error", "stub"),
    Answer("a surrogate in a comment", f"{BODY[:-1]}  # \ud83d\n", problem="stub"),
]  # fmt: skip
