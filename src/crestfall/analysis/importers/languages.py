"""Logs in other languages: the words for steps, scores and what is logged beside them, put into English.

Consoles of Chinese tutorials and tools most of all. Only words that name a counter or a measure are known; where a log
has none of them, its text is left as it is.
"""

from __future__ import annotations

import re

_WORDS = {
    "episode": "回合 局数 エピソード 에피소드 эпизод эпизода épisode episodio episódio",
    "epoch": "轮次 轮数 周期 エポック 에포크 эпоха époque epoche época",
    "step": "训练步数 全局步数 步数 步骤数 ステップ 스텝 шаг étape schritt schritte paso passo",
    "iteration": "迭代次数 迭代 反復 반복 итерация itération iteración iteração",
    "reward": "奖励 报酬 報酬 보상 награда вознаграждение récompense belohnung recompensa ricompensa",
    "return": "回报 累计回报 収益",
    "score": "得分 分数 评分 スコア 점수 оценка puntuación punteggio",
    "accuracy": "准确率 正确率 正解率 精度 정확도 точность précision genauigkeit precisión accuratezza",
    "success rate": "成功率 성공률 успешность réussite erfolgsrate erfolgsquote éxito",
    "pass rate": "通过率 合格率 통과율",
    "win rate": "胜率 勝率 승률",
    "train": "训练集 训练 学習 학습 обучение entraînement entrenamiento",
    "val": "验证集 验证 校验 検証 검증 валидация validación",
    "eval": "评估 评测 評価 평가 évaluation evaluación avaliação",
    "test": "测试集 测试 テスト 테스트 тест prueba",
    "mean": "平均 均值 평균 средняя среднее средний moyenne moyen mittlere durchschnittliche media média",
    "max": "最大 最高 최대 максимум",
    "min": "最小 最低 최소 минимум",
    "std": "标准差 標準偏差 표준편차",
    "loss": "损失 損失 손실 потери perte verlust pérdida perda perdita",
    "entropy": "熵 エントロピー 엔트로피 энтропия entropie entropía",
    "lr": "学习率 学習率 학습률",
    "length": "长度 長さ 길이 длина longueur länge longitud",
    "time": "耗时 用时 时间 時間 시간 время temps zeit tiempo",
    "divergence": "散度",
    "format": "格式",
    "total": "累计 总",
}
_ENGLISH = {word.lower(): english for english, words in _WORDS.items() for word in words.split()}
_BY_ITSELF = re.compile("[\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]")
_UNSPACED = re.compile(
    f"(?:{'|'.join(sorted((word for word in _ENGLISH if _BY_ITSELF.match(word)), key=len, reverse=True))})+"
)
"""Words that are written without spaces between them, one after the other."""
_ONE = re.compile(_UNSPACED.pattern.removesuffix("+"))
_RUN = re.compile("[\u0400-\u04ff\u4e00-\u9fff\u3040-\u30ff\uac00-\ud7af]+")
_LATIN = re.compile("[A-Za-z\u00c0-\u017f]+")
_TELLING = frozenset(
    word
    for english in ("episode", "epoch", "step", "reward", "accuracy", "success rate")
    for word in _WORDS[english].split()
    if _LATIN.fullmatch(word)
)
"""Words of languages in Latin letters that show, near the beginning of a log, that it is in one of them."""
_ORDINAL = re.compile(r"第\s*(\d+)\s*(?:/\s*\d+\s*)?(个?回合|轮|步|次迭代|次更新|代|幕|局|批)")
_COUNTED = {"轮": "epoch", "步": "step", "次迭代": "iteration", "次更新": "update", "代": "generation", "批": "batch"}
_WIDE = str.maketrans("：；，、（）［］＝％　｜", ":;,,()[]=% |")
_ASCII = bytes(range(128))
HEAD = 4096


def in_english(text: str) -> str:
    """The text with the known words of other languages replaced; as it is, where it has none."""
    if not text.isascii() and _RUN.search(text.encode(errors="replace").translate(None, _ASCII).decode()):
        text = _ORDINAL.sub(lambda m: f"{_COUNTED.get(m[2], 'episode')} {m[1]}", text.translate(_WIDE))
        text = _RUN.sub(_translated, text)
    if not _TELLING.isdisjoint(_LATIN.findall(text[:HEAD].lower())):
        text = _LATIN.sub(lambda m: _ENGLISH.get(m[0].lower(), m[0]), text)
    return text


def _translated(run: re.Match[str]) -> str:
    if english := _ENGLISH.get(run[0].lower()):
        return english
    before, after = run.string[run.start() - 1 : run.start()], run.string[run.end() : run.end() + 1]
    return _UNSPACED.sub(_spaced, before + run[0] + after)[len(before) : -1 if after else None]


def _spaced(match: re.Match[str]) -> str:
    words = " ".join(_ENGLISH[word] for word in _ONE.findall(match[0]))
    before, after = match.string[match.start() - 1 : match.start()], match.string[match.end() : match.end() + 1]
    return " " * before.isalnum() + words + " " * after.isalnum()


def decoded(data: bytes) -> str | None:
    """Bytes that are no UTF-8 as the text that they are in China's encoding, or Western Europe's, if known words stand
    in it."""
    for encoding in ("gb18030", "cp1252"):
        text = data.decode(encoding, errors="ignore")
        if in_english(text) != text:
            return text
    return None
