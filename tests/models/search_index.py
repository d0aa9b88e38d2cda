"""An inverted index as plain as it gets: texts are lists of words, every question looks at every text."""

import math
from collections import Counter

K1, B = 1.2, 0.75


def norm_length(length):
    """What is left of a length after it was one byte: 4 significant bits beyond 24."""
    if length < 24:
        return length
    rest = length - 24
    bits = rest.bit_length()
    return length if bits <= 4 else 24 + (rest >> (bits - 4) << (bits - 4))


class Texts:
    def __init__(self, texts):
        self.texts = texts
        self.having = sum(1 for text in texts if text)
        self.average = sum(map(len, texts)) / max(self.having, 1)

    def df(self, word):
        return sum(word in text for text in self.texts)

    def idf(self, word):
        return math.log(1 + (self.having - self.df(word) + 0.5) / (self.df(word) + 0.5))

    def score(self, weight, frequency, text):
        factor = K1 * (1 - B + B * norm_length(len(text)) / self.average)
        return weight * frequency / (frequency + factor)

    def either(self, words):
        """Scores by document, of the documents that have any of the words."""
        weights = [self.idf(word) for word in words]
        found = {}
        for doc, text in enumerate(self.texts):
            often = Counter(text)
            some = [(w, often[word]) for w, word in zip(weights, words, strict=True) if word in often]
            if some:
                found[doc] = sum(self.score(w, frequency, text) for w, frequency in some)
        return found

    def every(self, words):
        return {doc: score for doc, score in self.either(words).items() if set(words) <= set(self.texts[doc])}

    def phrase(self, words):
        weight = sum(self.idf(word) for word in words)
        found = {}
        for doc, text in enumerate(self.texts):
            frequency = sum(text[i : i + len(words)] == words for i in range(len(text)))
            if frequency:
                found[doc] = self.score(weight, frequency, text)
        return found


def ranked(scores, k):
    """The best k documents: by score, then by document. Scores that differ in their last digits are equal."""
    return sorted(scores.items(), key=lambda hit: (-round(hit[1], 5), hit[0]))[:k]


def distance(a, b, transpositions=True):  # noqa: FBT002 -- as the kernel has it
    """Edits from a to b: insert, delete, replace, and swap neighbours (each once)."""
    rows = [list(range(len(b) + 1))]
    for i, x in enumerate(a, 1):
        row = [i]
        for j, y in enumerate(b, 1):
            best = min(rows[i - 1][j - 1] + (x != y), rows[i - 1][j] + 1, row[j - 1] + 1)
            if transpositions and i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                best = min(best, rows[i - 2][j - 2] + 1)
            row.append(best)
        rows.append(row)
    return rows[-1][-1]
