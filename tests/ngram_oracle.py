"""A third implementation of n-gram counts and their probabilities, with dicts and plain loops, for tests.

It imports nothing from charloom, and follows the section N-grams of docs/spec/mathematics.md sentence by
sentence, with no thought of speed. A context is a tuple of ids in the order of the text. A segment is a
pair (start, stop) of indices of the text; no context crosses the start of a segment. tests/oracle.py mixes
the logarithms of these probabilities into the logits.
"""

import math
import struct

BEGINNING = "beginning"  # stands for the character before the first one of a segment
FALLBACK = [0.5, 1.0, 1.5]  # discounts if the counts of counts give none
LEAST_PROBABILITY = 1e-30


class Counts:
    """The n-grams of a text. One column of `factors` and `shares` for the whole text, and one without each part.

    `contexts` has a list of contexts for each length, in the order of their ids from the last to the first.
    `followers[context]` is the list of the ids that follow the context, ascending. `factors[column][context]`
    and `shares[column][context, k]` are rounded to single precision.
    """

    def __init__(self, text, segments, K, N, parts, most_bytes=24_000_000):
        self.K, self.N, self.parts = K, N, parts
        self.counted = max((stop for _, stop in segments), default=0)
        occurrences = [found_contexts(text, segments, length) for length in range(N)]
        self.least, self.rare_from = 2, 3  # contexts of this length or longer must occur so often
        if self.size(occurrences) > most_bytes:
            self.rare_from = 1
            while self.size(occurrences) > most_bytes and self.least <= len(text):
                self.least += 1
        self.contexts = [
            sorted(self.tree(found), key=lambda context: context[::-1]) for found in occurrences
        ]
        self.contexts[0] = [()]  # the root is there even if the text is empty
        characters = sum(stop - start for start, stop in segments)
        self.discounts = [
            discounts(occurrences[length], self.contexts[length], characters, length == N - 1)
            for length in range(N)
        ]
        self.followers, self.factors, self.shares = {}, [], []
        for column in range(1 + parts):
            self.factors.append({})
            self.shares.append({})
            for length, contexts in enumerate(self.contexts):
                for context in contexts:
                    self.count(column, context, occurrences[length].get(context, []))

    def tree(self, found):
        """Return the contexts that count, of those of one length with their occurrences."""
        return [c for c, occurrences in found.items() if self.often(c, occurrences)]

    def often(self, context, occurrences):
        """Return whether a context with these occurrences counts."""
        return len(context) < self.rare_from or len(occurrences) >= self.least

    def size(self, occurrences):
        """Return the bytes of the tree in a model file: ids have the smallest type, and counts of up to K."""
        id_bytes, count_bytes = (
            1 if n < 256 else 2 if n < 65536 else 4 for n in (self.K - 1, self.K)
        )
        followers = [{k for _, k, _ in found[c]} for found in occurrences for c in self.tree(found)]
        contexts = max(1, len(followers))
        return contexts * (id_bytes + 2 * count_bytes + 4) + (id_bytes + 4) * sum(
            map(len, followers)
        )

    def count(self, column, context, occurrences):
        """Set the factor and the shares of one context in one column."""
        followers = sorted({k for _, k, _ in occurrences})
        self.followers[context] = followers
        kept = [o for o in occurrences if column == 0 or self.part(o[0]) != column - 1]
        if not self.often(context, kept):
            kept = []
        n = follower_counts(kept, len(context) == self.N - 1)
        D = self.discounts[len(context)]
        total, freed = sum(n.values()), 0.0
        for k in followers:
            freed += D[min(n[k], 3) - 1] if k in n else 0.0
            share = (n[k] - D[min(n[k], 3) - 1]) / total if k in n else 0.0
            self.shares[column][context, k] = single(share)
        self.factors[column][context] = single(freed / total if total else 1.0)

    def part(self, index):
        """Return the part of the character with this index of the text."""
        return self.parts * index // self.counted

    def column(self, index):
        """Return the column that predicts the character with this index in training."""
        return 1 + self.part(index) if self.parts and index < self.counted else 0

    def probabilities(self, read, column=0):
        """Return q after the ids `read`, the latest last; -1 stands for no id."""
        q = [1.0 / self.K] * self.K
        for length in range(self.N):
            context = tuple(read[len(read) - length :])
            if len(context) < length or -1 in context or context not in self.factors[column]:
                break
            q = [self.factors[column][context] * q_k for q_k in q]
            for k in self.followers[context]:
                q[k] += self.shares[column][context, k]
        return q

    def window_logs(self, x, recent, columns=None):
        """Return l[t][s][k] of a window with the ids x[t][s] after recent[s], and the last ids after the window."""
        logs, read = [], [list(ids) for ids in recent]
        for t in range(len(x)):
            logs.append([])
            for s in range(len(recent)):
                read[s].append(x[t][s])
                q = self.probabilities(read[s], columns[t][s] if columns else 0)
                logs[t].append([math.log(max(q_k, LEAST_PROBABILITY)) for q_k in q])
        return logs, [ids[len(ids) - (self.N - 1) :] for ids in read]


def single(number):
    """Return a number rounded to single precision."""
    return struct.unpack("f", struct.pack("f", number))[0]


def found_contexts(text, segments, length):
    """Return the occurrences of each context: the index of its character, its id, and the id before the context."""
    found = {}
    for start, stop in segments:
        for i in range(start + length, stop):
            before = text[i - length - 1] if i - length > start else BEGINNING
            found.setdefault(tuple(text[i - length : i]), []).append((i, text[i], before))
    return found


def follower_counts(occurrences, longest):
    """Return n_k of each id that follows a context."""
    times, before = {}, {}
    for _, k, previous in occurrences:
        times[k] = times.get(k, 0) + 1
        before.setdefault(k, set()).add(previous)
    return times if longest else {k: len(different) for k, different in before.items()}


def discounts(found, contexts, counted, longest):
    """Return D_1, D_2 and D_3 of a length from the occurrences of its contexts in `counted` characters."""
    m = [0] * 5
    for context in contexts:
        occurrences = found.get(context, [])
        counted -= len(occurrences)
        for n_k in follower_counts(occurrences, longest).values():
            m[n_k if n_k <= 4 else 0] += 1
    m[1] += counted
    if 0 in m[1:]:
        return FALLBACK
    y = m[1] / (m[1] + 2 * m[2])
    D = [i - (i + 1) * y * m[i + 1] / m[i] for i in (1, 2, 3)]
    return [D[i] if 0 < D[i] < i + 1 else FALLBACK[i] for i in range(3)]
